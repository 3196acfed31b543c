/*
 * etrn - ETRN (RFC 1985): send now what waits for a site. qmgr is asked at its
 * public socket, as postqueue -s does it.
 */
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/io/offload.h"
#include "lib/mail/address.h"
#include "lib/mail/queue_control.h"
#include "smtpd/access.h"
#include "smtpd/reply.h"
#include "smtpd/session.h"

#include <unistd.h>

/* A thread of a few is held as long, and the session cannot be ended. */
enum { CONNECT_MS = 10 * 1000, ANSWER_MS = 60 * 1000 };

struct flush {
    struct slice site;
    enum result result;
    struct why why;
};

/* On a thread that may block. */
static void
flush(void *arg)
{
    struct flush *f = arg;
    struct queue_request *ask;
    struct queue_done done;
    struct sock_addr addr;
    struct msg m;
    int fd;

    if (!sock_addr_unix("public/qmgr", &addr)) {
        f->result = why_temp(&f->why, "4.3.0", "public/qmgr: no such name");
        return;
    }
    f->result = sock_connect(&addr, NULL, clock_now_ms() + CONNECT_MS, &fd,
        &f->why);
    if (f->result != RESULT_OK)
        return;
    ask = mem_alloc(sizeof(*ask));
    ask->task = QUEUE_FLUSH_SITE;
    ask->site = f->site;
    msg_init(&m, MESSAGE_QUEUE_FLUSH);
    queue_request_encode(ask, &m);
    mem_free(ask);
    f->result = queue_control_ask_until(fd, &m, clock_now_ms() + ANSWER_MS,
        NULL, NULL, &done, &f->why);
    if (f->result == RESULT_OK && done.result != RESULT_OK) {
        f->result = done.result;
        f->why = done.why;
    }
    close(fd);
}

static bool
is_site(struct slice name)
{
    return domain_is_valid(name) || domain_is_literal(name);
}

/* fast_flush_domains: others would only cost us the search. */
static bool
may_be_flushed(struct session *s, struct slice site)
{
    struct why why;

    return match_list_find(s->profile->fast_flush_domains, site, &why) ==
        TABLE_FOUND;
}

static enum command_result
serve(struct session *s, struct slice site)
{
    struct flush f = { .site = site };

    if (!may_be_flushed(s, site)) {
        log_write(LOG_LEVEL_WARNING, s->profile->tag,
            "reject: ETRN " SLICE_FMT "... from %s",
            SLICE_ARG(slice_head(site, 100)), s->peer.text);
        reply(s, 459, "<" SLICE_FMT ">: service unavailable", SLICE_ARG(site));
        return COMMAND_BAD;
    }
    offload(flush, &f);
    if (f.result != RESULT_OK) {
        log_write(LOG_LEVEL_WARNING, s->profile->tag,
            "bad ETRN " SLICE_FMT "... from %s: %s",
            SLICE_ARG(slice_head(site, 100)), s->peer.text, f.why.text);
        reply(s, 458, "Unable to queue messages");
        return COMMAND_BAD;
    }
    reply(s, 250, "Queuing started");
    return COMMAND_GOOD;
}

enum command_result
command_etrn(struct session *s, struct slice args)
{
    enum command_result result;
    struct refusal no;
    struct slice word;

    if (s->mail.open) {
        reply(s, 503, "Error: MAIL transaction in progress");
        return COMMAND_BAD;
    }
    if (!slice_word(&args, " \t", &word) || args.len > 0) {
        reply(s, 500, "Syntax: ETRN domain");
        return COMMAND_BAD;
    }
    if (word.ptr[0] == '@' || word.ptr[0] == '#')
        word = slice_skip(word, 1);
    if (!is_site(word)) {
        reply(s, 501, "Error: invalid parameter syntax");
        return COMMAND_BAD;
    }
    if (!arena_slice(&s->mail.arena, word, &s->etrn)) {
        reply(s, 452, "4.3.1 Insufficient system storage");
        return COMMAND_BAD;
    }
    if (access_etrn(s, &no)) {
        result = serve(s, s->etrn);
    } else {
        reply_refusal(s, &no);
        result = COMMAND_BAD;
    }
    s->etrn.len = 0;
    session_reset(s);
    return result;
}
