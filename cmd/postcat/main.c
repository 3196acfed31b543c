/*
 * postcat - show a message of the queue.
 */
#include "lib/base/tlv.h"
#include "lib/daemon/command.h"
#include "lib/mail/envelope.h"
#include "lib/mail/queue_control.h"
#include "lib/mail/queue_id.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { FAILURE = 1, ARENA_MAX = 512 * 1024 * 1024 };

enum { SHOW_ENVELOPE = 1, SHOW_HEADER = 2, SHOW_BODY = 4 };

struct cat {
    unsigned show;
    const char *name; /* as the user wrote it */
    char title[80];   /* "hold/D05F0A760F9" */
    bool in_body;     /* the body has begun */
    bool held_cr;     /* the last piece ended with a CR */
};

static void
usage(void)
{
    command_fail(FAILURE,
        "usage: postcat [-b (body text)] [-c config_dir] "
        "[-d (decimal record type)] [-e (envelope records)] "
        "[-h (header text)] [-q (access queue)] [-v] [file(s)...]");
}

/* CRLF as the queue has it becomes a line end as files have it. */
static void
put_lines(struct cat *c, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        char o = text.ptr[i];

        if (c->held_cr && o != '\n')
            (void)putchar('\r');
        c->held_cr = o == '\r';
        if (!c->held_cr)
            (void)putchar(o);
    }
}

static void
put_named(const char *name, struct slice value)
{
    if (value.len > 0)
        (void)printf("named_attribute: %s=" SLICE_FMT "\n", name,
            SLICE_ARG(value));
}

static void
put_attributes(const struct envelope *env)
{
    put_named("envelope_id", env->envid);
    put_named("rewrite_context", env->rewrite);
    put_named("log_client_name", env->client_name);
    put_named("log_client_address", env->client_addr);
    put_named("log_client_port", env->client_port);
    put_named("log_helo_name", env->helo);
    put_named("log_protocol_name", env->protocol);
    put_named("sasl_username", env->sasl_user);
    if (env->filter.len > 0)
        (void)printf("content_filter: " SLICE_FMT "\n", SLICE_ARG(env->filter));
    if (env->sender_name.len > 0)
        (void)printf("sender_fullname: " SLICE_FMT "\n",
            SLICE_ARG(env->sender_name));
    (void)printf("sender: " SLICE_FMT "\n", SLICE_ARG(env->sender));
}

/*
 * Who is still to be reached is among item's, in the same order. What was an
 * alias for others stands for nobody.
 */
static void
put_recipients(const struct envelope *env, const struct queue_item *item)
{
    size_t open = 0;

    for (size_t i = 0; i < env->recipient_count; i++) {
        const struct recipient *r = &env->recipients[i];
        bool is_open = open < item->recipient_count &&
            slice_eq(item->recipients[open].address, r->address);

        if (r->expanded != 0)
            continue;
        open += is_open;
        put_named("dsn_orig_rcpt", r->orcpt);
        if (r->notify != 0)
            (void)printf("named_attribute: notify_flags=%u\n", r->notify);
        (void)printf("original_recipient: " SLICE_FMT "\n",
            SLICE_ARG((r->original.len > 0 ? r->original : r->address)));
        (void)printf("%s: " SLICE_FMT "\n",
            is_open ? "recipient" : "done_recipient", SLICE_ARG(r->address));
    }
}

static void
put_envelope(const struct cat *c, const struct envelope *env,
    const struct queue_item *item)
{
    time_t arrival = (time_t)(env->arrival_us / 1000000);
    char date[32];
    struct tm tm;

    (void)localtime_r(&arrival, &tm);
    (void)strftime(date, sizeof(date), "%a %b %e %H:%M:%S %Y", &tm);
    (void)printf("*** ENVELOPE RECORDS %s ***\n", c->title);
    (void)printf("message_size: %15llu %15d %15zu %15d %15llu %15d\n",
        (unsigned long long)env->size, 0, env->recipient_count, 0,
        (unsigned long long)env->size, 0);
    (void)printf("message_arrival_time: %s\n", date);
    put_attributes(env);
    put_recipients(env, item);
}

static void
take_envelope(struct cat *c, struct slice item, struct slice octets)
{
    struct queue_item head;
    struct envelope env;
    struct arena arena;
    struct why why;

    arena_init(&arena, ARENA_MAX);
    if (queue_item_decode(item, &arena, &head, &why) != RESULT_OK ||
        envelope_decode(octets, &arena, &env, &why) != RESULT_OK)
        command_fail(FAILURE, "%s: %s", c->name, why.text);
    (void)snprintf(c->title, sizeof(c->title), "%s/%s",
        queue_name_text(head.queue), c->name);
    if (c->show & SHOW_ENVELOPE) {
        put_envelope(c, &env, &head);
        (void)printf("*** MESSAGE CONTENTS %s ***\n", c->title);
    }
    arena_clear(&arena);
}

static void
begin_body(struct cat *c)
{
    if (!c->in_body && (c->show & SHOW_BODY))
        (void)putchar('\n');
    c->in_body = true;
}

static bool
take_piece(void *context, struct slice in)
{
    struct cat *c = context;
    struct slice whole = in;
    struct tlv t;

    while (tlv_next(&in, &t)) {
        if (t.tag == ATTR_ENVELOPE) {
            take_envelope(c, whole, t.value);
        } else if (t.tag == ATTR_HEADER && (c->show & SHOW_HEADER)) {
            put_lines(c, t.value);
        } else if (t.tag == ATTR_BODY) {
            begin_body(c);
            if (c->show & SHOW_BODY)
                put_lines(c, t.value);
        }
    }
    return ferror(stdout) == 0;
}

static int
show(struct config_set *set, struct cat *c)
{
    struct queue_request *r = calloc(1, sizeof(*r));
    enum queue_reach reach;
    struct queue_done done;
    struct msg m;
    struct why why;
    int fd;

    if (r == NULL)
        command_fail(FAILURE, "no memory");
    if (!queue_id_is_well_formed(slice_of(c->name)))
        command_fail(FAILURE, "bad mail queue ID: %s", c->name);
    if (!queue_id_parse(slice_of(c->name), &r->ids[0]))
        command_fail(FAILURE, "open queue file %s: %s", c->name,
            strerror(ENOENT));
    r->id_count = 1;
    if (queue_control_open(set, &reach, &fd, &why) != RESULT_OK)
        command_fail(FAILURE, "%s", why.text);
    msg_init(&m, MESSAGE_QUEUE_CAT);
    queue_request_encode(r, &m);
    free(r);
    if (queue_control_ask(fd, &m, take_piece, c, &done, &why) != RESULT_OK)
        command_fail(FAILURE, "%s: %s", c->name, why.text);
    queue_control_close(fd);
    if (done.result != RESULT_OK)
        command_fail(FAILURE, "open queue file %s: %s", c->name, done.why.text);
    begin_body(c);
    if (c->show & SHOW_ENVELOPE)
        (void)printf("*** HEADER EXTRACTED %s ***\n"
                     "*** MESSAGE FILE END %s ***\n",
            c->title, c->title);
    return fflush(stdout) == 0 ? EXIT_SUCCESS : FAILURE;
}

int
main(int argc, char **argv)
{
    struct cat c = { 0 };
    const char *config_dir = NULL;
    bool bad = false, in_queue = false;
    struct config_set *set;
    int option, status = EXIT_SUCCESS;

    while ((option = getopt(argc, argv, "bc:dehoqrv")) >= 0) {
        switch (option) {
        case 'b':
            c.show |= SHOW_BODY;
            break;
        case 'e':
            c.show |= SHOW_ENVELOPE;
            break;
        case 'h':
            c.show |= SHOW_HEADER;
            break;
        case 'q':
            in_queue = true;
            break;
        case 'c':
            config_dir = optarg;
            break;
        case 'v':
        case 'd': /* -d -o -r: what the records of Postfix's files are like */
        case 'o':
        case 'r':
            break;
        default:
            bad = true;
        }
    }
    set = command_begin("postcat", config_dir, FAILURE);
    (void)signal(SIGPIPE, SIG_IGN);
    if (bad || optind == argc)
        usage();
    if (!in_queue)
        command_fail(FAILURE, "%s: there are no queue files here, use -q",
            argv[optind]);
    if (c.show == 0)
        c.show = SHOW_ENVELOPE | SHOW_HEADER | SHOW_BODY;
    for (; optind < argc; optind++) {
        c.name = argv[optind];
        c.in_body = c.held_cr = false;
        status |= show(set, &c);
    }
    config_drop(set);
    return status;
}
