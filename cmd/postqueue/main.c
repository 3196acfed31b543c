/*
 * postqueue - list the queue and have deferred mail tried, for everybody.
 */
#include "cmd/postqueue/listing.h"
#include "lib/daemon/command.h"
#include "lib/mail/queue_control.h"
#include "lib/mail/queue_id.h"
#include "lib/table/table.h"

#include <signal.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

enum { ITEM_ARENA_MAX = 512 * 1024 * 1024 };

struct options {
    const char *config_dir;
    int mode;         /* 'f', 'i', 'j', 'p', 's' */
    const char *what; /* id or site */
};

static void
usage(void)
{
    command_fail(EX_UNAVAILABLE,
        "usage: postqueue -f | postqueue -i queueid | postqueue -j | "
        "postqueue -p | postqueue -s site");
}

static struct options
parse_options(int argc, char **argv)
{
    struct options o = { 0 };
    int option;

    while ((option = getopt(argc, argv, "c:fi:jps:v")) >= 0) {
        switch (option) {
        case 'c':
            o.config_dir = optarg;
            break;
        case 'v':
            break;
        case 'f':
        case 'i':
        case 'j':
        case 'p':
        case 's':
            if (o.mode != 0)
                o.mode = '?';
            else
                o.mode = option;
            o.what = optarg;
            break;
        default:
            o.mode = '?';
        }
    }
    if (optind < argc)
        o.mode = '?';
    return o;
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
    if (queue_control_ask(fd, m, item, context, &done, &why) != RESULT_OK)
        command_fail(EX_UNAVAILABLE, "%s - %s", unavailable, why.text);
    queue_control_close(fd);
    if (done.result != RESULT_OK)
        command_fail(EX_UNAVAILABLE, "%s - %s", unavailable, done.why.text);
}

static void
list(const struct config_set *set, bool json)
{
    struct listing l = {
        .to = stdout,
        .json = json,
        .long_ids = config_main(set)->enable_long_queue_ids,
    };
    struct queue_request *r = calloc(1, sizeof(*r));
    struct msg m;

    if (r == NULL)
        command_fail(EX_OSERR, "no memory");
    r->queues = QUEUE_ALL;
    msg_init(&m, MESSAGE_QUEUE_LIST);
    queue_request_encode(r, &m);
    free(r);
    ask(set, &m, take_item, &l, "Queue report unavailable");
    listing_end(&l);
}

/* fast_flush_domains says for whom a site may be flushed. */
static void
check_site(const struct config_set *set, struct slice site)
{
    const struct config *config = config_main(set);
    struct match_list *sites;
    struct why why;

    if (match_list_open(config->fast_flush_domains, MATCH_DOMAIN, true, config,
            &sites, &why) != RESULT_OK)
        command_fail(EX_TEMPFAIL, "%s", why.text);
    if (match_list_find(sites, site, &why) != TABLE_FOUND)
        command_fail(EX_UNAVAILABLE,
            "Flush service is not configured for destination \"" SLICE_FMT "\"",
            SLICE_ARG(site));
    match_list_close(sites);
}

static void
flush(const struct config_set *set, const struct options *o)
{
    struct queue_request *r = calloc(1, sizeof(*r));
    struct msg m;

    if (r == NULL)
        command_fail(EX_OSERR, "no memory");
    r->task = QUEUE_FLUSH_ALL;
    if (o->mode == 'i') {
        if (!queue_id_parse(slice_of(o->what), &r->ids[0]))
            command_fail(EX_UNAVAILABLE, "invalid mail queue id: %s", o->what);
        r->task = QUEUE_FLUSH_ID;
        r->id_count = 1;
    } else if (o->mode == 's') {
        r->task = QUEUE_FLUSH_SITE;
        r->site = slice_of(o->what);
        if (r->site.len == 0)
            command_fail(EX_UNAVAILABLE, "Cannot flush mail queue - no site");
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
    struct options o = parse_options(argc, argv);
    struct config_set *set = command_begin("postqueue", o.config_dir,
        EX_UNAVAILABLE);

    (void)signal(SIGPIPE, SIG_IGN);
    switch (o.mode) {
    case 'p':
    case 'j':
        list(set, o.mode == 'j');
        break;
    case 'f':
    case 'i':
    case 's':
        flush(set, &o);
        break;
    default:
        usage();
    }
    if (fflush(stdout) != 0)
        command_fail(EX_IOERR, "write error on standard output");
    config_drop(set);
    return EX_OK;
}
