/*
 * postqueue - list the queue and have deferred mail tried, for everybody.
 */
#include "cmd/postqueue/destinations.h"
#include "cmd/postqueue/listing.h"
#include "cmd/postqueue/options.h"
#include "cmd/postqueue/shape.h"
#include "lib/base/clock.h"
#include "lib/daemon/command.h"
#include "lib/mail/address.h"
#include "lib/mail/address_class.h"
#include "lib/mail/queue_control.h"
#include "lib/mail/queue_id.h"
#include "lib/table/table.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

enum { ITEM_ARENA_MAX = 512 * 1024 * 1024 };

static void
usage(void)
{
    command_fail(EX_UNAVAILABLE,
        "usage: postqueue -f | postqueue -i queueid | postqueue -j [filter...] "
        "| postqueue -p [filter...] | postqueue -s site | "
        "postqueue --destinations [-j] [destination] | "
        "postqueue --shape [-jlps] [-b buckets] [-m subdomains] [-n domains] "
        "[-t minutes] [-w width] [filter...] [queue...]");
}

static bool
take_item(void *context, struct slice in)
{
    struct listing *l = context;
    struct queue_item item;
    struct arena arena;
    struct why why;
    bool more = false;

    arena_init(&arena, ITEM_ARENA_MAX);
    if (queue_item_decode(in, &arena, &item, &why) == RESULT_OK) {
        listing_item(l, &item);
        more = ferror(l->to) == 0;
    }
    arena_clear(&arena);
    return more;
}

/* Connects, asks, and takes trouble to its end. */
static void
ask(const struct config_set *set, struct msg *m, queue_item_fn item,
    void *context, const char *unavailable)
{
    enum queue_reach reach;
    struct queue_done done;
    struct why why;
    int fd;

    if (queue_control_open(set, &reach, &fd, &why) != RESULT_OK)
        command_fail(EX_UNAVAILABLE, "%s - %s", unavailable, why.text);
    if (reach == QUEUE_OFFLINE && item != NULL)
        command_say(LOG_LEVEL_WARNING,
            "Mail system is down -- accessing queue directly");
    if (queue_control_ask(fd, m, item, context, &done, &why) != RESULT_OK)
        command_fail(EX_UNAVAILABLE, "%s - %s", unavailable, why.text);
    queue_control_close(fd);
    if (done.result != RESULT_OK && strcmp(done.why.status, "5.7.1") == 0)
        command_fail(EX_UNAVAILABLE, "%s", done.why.text);
    if (done.result != RESULT_OK)
        command_fail(EX_UNAVAILABLE, "%s - %s", unavailable, done.why.text);
}

/* What is asked of the whole queue. */
static void
ask_all(const struct config_set *set, enum message type,
    const struct options *o, queue_item_fn item, void *context)
{
    struct queue_request *r = calloc(1, sizeof(*r));
    struct msg m;

    if (r == NULL)
        command_fail(EX_OSERR, "no memory");
    r->queues = o->queues;
    r->filter = o->filter;
    if (type == MESSAGE_QUEUE_DESTINATIONS)
        r->site = slice_of(o->what);
    msg_init(&m, type);
    queue_request_encode(r, &m);
    free(r);
    ask(set, &m, item, context, "Queue report unavailable");
}

static void
list(const struct config_set *set, const struct options *o)
{
    struct listing l = {
        .to = stdout,
        .json = o->mode == MODE_JSON,
        .long_ids = config_main(set)->enable_long_queue_ids,
    };

    ask_all(set, MESSAGE_QUEUE_LIST, o, take_item, &l);
    listing_end(&l);
}

static bool
take_destination(void *context, struct slice in)
{
    struct destinations *l = context;
    struct queue_destination d;

    if (!queue_destination_decode(in, &d))
        return false;
    destinations_item(l, &d);
    return ferror(l->to) == 0;
}

static void
list_destinations(const struct config_set *set, const struct options *o)
{
    struct destinations l = { .to = stdout, .json = o->json };

    ask_all(set, MESSAGE_QUEUE_DESTINATIONS, o, take_destination, &l);
    destinations_end(&l);
}

static bool
take_shape_item(void *context, struct slice in)
{
    struct queue_item item;
    struct arena arena;
    struct why why;
    bool good;

    arena_init(&arena, ITEM_ARENA_MAX);
    good = queue_item_decode(in, &arena, &item, &why) == RESULT_OK;
    if (good)
        shape_add(context, &item);
    arena_clear(&arena);
    return good;
}

static void
show_shape(const struct config_set *set, const struct options *o)
{
    struct shape s;

    shape_init(&s, &o->shape, clock_wall_us());
    ask_all(set, MESSAGE_QUEUE_LIST, o, take_shape_item, &s);
    shape_print(&s, stdout);
    shape_fini(&s);
}

/* fast_flush_domains says for whom a site may be flushed. */
static void
check_site(const struct config_set *set, struct slice site)
{
    const struct config *config = config_main(set);
    struct match_list *sites;
    enum table_status found;
    struct why why;

    if (!domain_is_valid(site) && !domain_is_literal(site))
        command_fail(EX_UNAVAILABLE,
            "Cannot flush mail queue - invalid destination: \"" SLICE_FMT "\"",
            SLICE_ARG(site));
    if (match_list_open(config->fast_flush_domains, MATCH_DOMAIN,
            address_class_parent_matches(config, "fast_flush_domains"), config,
            &sites, &why) != RESULT_OK)
        command_fail(EX_UNAVAILABLE, "%s", why.text);
    found = match_list_find(sites, site, &why);
    match_list_close(sites);
    if (found == TABLE_ERROR)
        command_fail(EX_UNAVAILABLE, "%s", why.text);
    if (found != TABLE_FOUND)
        command_fail(EX_UNAVAILABLE,
            "Flush service is not configured for destination \"" SLICE_FMT "\"",
            SLICE_ARG(site));
}

static void
flush(const struct config_set *set, const struct options *o)
{
    struct queue_request *r = calloc(1, sizeof(*r));
    struct msg m;

    if (r == NULL)
        command_fail(EX_OSERR, "no memory");
    r->task = QUEUE_FLUSH_ALL;
    if (o->mode == MODE_FLUSH_ID) {
        if (!queue_id_is_well_formed(slice_of(o->what)))
            command_fail(EX_UNAVAILABLE,
                "Cannot flush queue ID - invalid name: \"%s\"", o->what);
        if (!queue_id_parse(slice_of(o->what), &r->ids[0]))
            r->ids[0] = 0; /* no message has it */
        r->task = QUEUE_FLUSH_ID;
        r->id_count = 1;
    } else if (o->mode == MODE_FLUSH_SITE) {
        r->task = QUEUE_FLUSH_SITE;
        r->site = slice_of(o->what);
        check_site(set, r->site);
    }
    msg_init(&m, MESSAGE_QUEUE_FLUSH);
    queue_request_encode(r, &m);
    free(r);
    ask(set, &m, NULL, NULL, "Cannot flush mail queue");
}

int
main(int argc, char **argv)
{
    struct options o;
    struct why why;
    enum result res = options_parse(argc, argv, clock_wall_us(), &o, &why);
    struct config_set *set = command_begin("postqueue", o.config_dir,
        EX_UNAVAILABLE);

    (void)signal(SIGPIPE, SIG_IGN);
    if (res != RESULT_OK && why.text[0] != '\0')
        command_fail(EX_USAGE, "%s", why.text);
    if (res != RESULT_OK)
        usage();
    switch (o.mode) {
    case MODE_LIST:
    case MODE_JSON:
        list(set, &o);
        break;
    case MODE_FLUSH:
    case MODE_FLUSH_ID:
    case MODE_FLUSH_SITE:
        flush(set, &o);
        break;
    case MODE_DESTINATIONS:
        list_destinations(set, &o);
        break;
    case MODE_SHAPE:
        show_shape(set, &o);
        break;
    case MODE_NONE:
        usage();
    }
    if (fflush(stdout) != 0)
        command_fail(EX_UNAVAILABLE, "output write error: %s", strerror(errno));
    config_drop(set);
    return EX_OK;
}
