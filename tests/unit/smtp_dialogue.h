/*
 * smtp_dialogue - a delivery to servers that play a script, and what is to become
 * of each recipient.
 */
#pragma once

#include "lib/base/crc32c.h"
#include "tests/unit/smtp_agent.h"

#include <sys/mman.h>

struct dialogue {
    const char *name;
    const char *nexthop; /* '%' stands for ":port", '#' for server 0's address,
                            '!' for server 1's */
    const char *recipients;
    const char *want; /* "sent 2.0.0 text|deferred 4.4.2 text": begins so */
    const char *scripts[SERVERS];
    const char *config;
    const char *content;   /* at the server; NULL: any */
    const char *log;       /* must be in it */
    const char *transport; /* NULL: smtp */
    unsigned deliveries;   /* one after the other; 0: one */
    enum destination_state destination;
    uint32_t flags;    /* of the envelope */
    const char *orcpt; /* of a@y, which the first recipient was */
    const char *body;
    unsigned blob; /* lines of a body that comes in a descriptor */
    bool bad_crc;  /* which is not what was lent */
    bool may_return;
};

static inline void
check_results(const struct dialogue *c, const struct delivery_answer *a)
{
    static const char *const words[] = { "", "sent", "deferred", "bounced",
        "expanded", "returned" };
    struct buf want, got;
    struct slice rest;

    buf_init(&want, 4096);
    buf_init(&got, 8192);
    expand(c->want, &want);
    rest = buf_slice(&want);
    for (size_t i = 0; i < a->count; i++) {
        const struct rcpt_result *r = &a->results[i];
        struct slice one = slice_head(rest, slice_find(rest, '|'));

        rest = slice_skip(rest, one.len + 1);
        buf_clear(&got);
        buf_add_format(&got, "%s %s " SLICE_FMT, words[r->outcome], r->status,
            SLICE_ARG(r->text));
        if (one.len == 0 || !slice_starts(buf_slice(&got), one))
            failure("recipient %zu: \"%s\", not \"" SLICE_FMT "\"", i,
                buf_text(&got), SLICE_ARG(one));
        if (r->index != i * 10 + 5)
            failure("recipient %zu has index %u", i, r->index);
    }
    if (rest.len > 0)
        failure("%zu recipients are too few", a->count);
    if (a->destination != c->destination)
        failure("destination is %d", a->destination);
    buf_fini(&want);
    buf_fini(&got);
}

/*
 * A body in a file, and what the server shall see of the message: lines with a
 * dot in front, some of them longer than a piece of content would be cut at.
 */
static inline void
make_blob(const struct dialogue *c, struct delivery *d, struct buf *want)
{
    struct buf body;

    buf_init(&body, 16 << 20);
    buf_add_text(want, "Subject: t\n\n");
    for (unsigned i = 0; i < c->blob; i++) {
        buf_add_format(&body, "%sline %u\r\n", i % 3 == 0 ? "." : "", i);
        buf_add_format(want, "%sline %u\n", i % 3 == 0 ? ".." : "", i);
    }
    d->fd = memfd_create("blob", MFD_CLOEXEC);
    if (write(d->fd, body.ptr, body.len) != (ssize_t)body.len)
        failure("blob");
    d->body = (struct slice){ 0 };
    d->body_length = body.len;
    d->body_crc = crc32c(0, body.ptr, body.len) ^ c->bad_crc;
    buf_fini(&body);
}

static inline void
deliver_once(const struct dialogue *c)
{
    const char *body = c->body != NULL ? c->body : "hello\r\n";
    struct delivery d = {
        .attempt = { .id = 0x12345, .nonce = 7, .number = 1 },
        .transport = slice_of(c->transport != NULL ? c->transport : "smtp"),
        .header = SLICE_LIT("Subject: t\r\n"),
        .body = slice_of(body),
        .fd = -1,
        .may_return = c->may_return,
    };
    struct delivery_answer answer;
    struct arena arena;
    struct buf nexthop, want;
    struct msg m;
    struct msg_in *in;
    struct why why;

    buf_init(&nexthop, 256);
    expand(c->nexthop, &nexthop);
    d.nexthop = buf_slice(&nexthop);
    d.envelope.id = d.attempt.id;
    d.envelope.sender = SLICE_LIT("s@client.test");
    d.envelope.flags = c->flags;
    d.envelope.size = 12 + strlen(body);
    add_recipients(c->recipients, &d);
    if (c->orcpt != NULL) {
        d.recipients[0].rcpt.original = SLICE_LIT("a@y");
        d.recipients[0].rcpt.orcpt = slice_of(c->orcpt);
    }
    buf_init(&want, 16 << 20);
    if (c->blob > 0)
        make_blob(c, &d, &want);
    delivery_encode(&d, &m);
    arena_init(&arena, 1 << 20);
    if (link_call(t.qmgr, &m, soon(), &in) != LINK_OK) {
        failure("no answer");
    } else {
        if (delivery_answer_decode(in->body, &arena, &answer, &why) !=
            RESULT_OK)
            failure("answer: %s", why.text);
        else
            check_results(c, &answer);
        msg_in_free(in);
    }
    if (c->blob > 0 && !c->bad_crc &&
        !slice_eq(buf_slice(&want), buf_slice(&servers.content)))
        failure("blob: %zu octets, not %zu", servers.content.len, want.len);
    arena_clear(&arena);
    buf_fini(&want);
    buf_fini(&nexthop);
}

static inline void
run_dialogue(void *arg)
{
    const struct dialogue *c = arg;
    struct fiber *fibers[SERVERS] = { NULL };

    open_link();
    for (unsigned i = 0; i < SERVERS; i++)
        if (servers.all[i].script != NULL)
            fibers[i] = fiber_spawn("server", serve, &servers.all[i]);
    for (unsigned i = 0; i < (c->deliveries > 0 ? c->deliveries : 1); i++)
        deliver_once(c);
    t.client.draining = true;
    idle_close(t.client.idle);
    while (idle_leaving(t.client.idle) > 0 || t.client.job_count > 0)
        fiber_yield();
    /* Scripts must be at their end; a connection that goes on reads QUIT. */
    for (unsigned i = 0; i < SERVERS; i++) {
        for (unsigned n = 0; n < 1000 && servers.all[i].script != NULL &&
             servers.all[i].script[0] != '\0';
             n++)
            fiber_yield();
        if (servers.all[i].script != NULL && servers.all[i].script[0] != '\0')
            failure("server %u: left over: %s", i, servers.all[i].script);
        if (fibers[i] != NULL)
            fiber_cancel(fibers[i]);
    }
    link_close(t.qmgr);
    link_close(t.agent);
}

static inline void
test_dialogue(const struct dialogue *c)
{
    print_message("  %s\n", c->name);
    begin(c->scripts, c->config != NULL ? c->config : "");
    run_in_sched(run_dialogue, c);
    if (c->content != NULL &&
        strcmp(buf_text(&servers.content), c->content) != 0)
        failure("content: \"%s\"", buf_text(&servers.content));
    if (c->log != NULL && strstr(logged, c->log) == NULL)
        failure("not in the log: %s", c->log);
    if (failed[0] != '\0')
        fail_msg("%s: %s\n%s", c->name, failed, logged);
    end();
}
