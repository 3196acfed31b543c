#include "local/agent.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/daemon/daemon.h"
#include "lib/mail/address.h"
#include "lib/mail/delivery_log.h"
#include "lib/mail/late_report.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    JOB_MEMORY = 64 * 1024 * 1024,
};

/* Programs of master.cf that are folded into local. */
static const struct program {
    const char *name;
    deliver_fn deliver;
} programs[] = {
    { "local", deliver_to_user },
    { "virtual", deliver_to_virtual },
};

static deliver_fn
program_of(const struct service *service)
{
    for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++)
        if (strcmp(programs[i].name, service->program) == 0)
            return programs[i].deliver;
    return NULL;
}

void
job_sent(const struct job *job, struct rcpt_result *r, const char *text)
{
    (void)job;
    r->outcome = OUTCOME_SENT;
    memcpy(r->status, "2.0.0", sizeof("2.0.0"));
    r->text = slice_of(text);
}

void
job_stored(const struct job *job, struct rcpt_result *r, enum mailbox_kind kind)
{
    bool maildir = kind == MAILBOX_MAILDIR;

    if (envelope_is_probe(&job->d->envelope))
        job_sent(job, r,
            maildir ? "delivers to maildir" : "delivers to mailbox");
    else
        job_sent(job, r,
            maildir ? "delivered to maildir" : "delivered to mailbox");
}

void
job_failed(const struct job *job, struct rcpt_result *r, enum result res,
    const struct why *why)
{
    char *text = arena_text(job->arena, slice_of(why->text));

    r->outcome = res == RESULT_PERMFAIL ? OUTCOME_BOUNCED : OUTCOME_DEFERRED;
    memcpy(r->status, why->status, sizeof(r->status));
    if (r->status[0] == '\0')
        memcpy(r->status, res == RESULT_PERMFAIL ? "5.3.0" : "4.3.0",
            sizeof("5.3.0"));
    r->text = slice_of(text == NULL ? "delivery failed" : text);
}

void
job_blame(struct why *why, const char *format, ...)
{
    char reason[sizeof(why->text)];
    va_list ap;
    int n;

    memcpy(reason, why->text, sizeof(reason));
    va_start(ap, format);
    n = vsnprintf(why->text, sizeof(why->text), format, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof(why->text))
        (void)snprintf(why->text + n, sizeof(why->text) - (size_t)n, "%s",
            reason);
}

/* Has this message been at the recipient before? (prepend_delivered_header) */
static bool
was_delivered_to(struct slice header, struct slice address)
{
    struct slice line, name = SLICE_LIT("delivered-to:");

    while (slice_line(&header, &line))
        if (slice_starts_nocase(line, name) &&
            slice_eq_nocase(slice_trim(slice_skip(line, name.len)), address))
            return true;
    return false;
}

enum result
job_set_path(const struct job *job, struct mailbox_store *s,
    struct slice directory, struct slice name, struct why *why)
{
    struct buf path;
    bool kept;

    buf_init(&path, PATH_MAX - 1);
    buf_add(&path, directory);
    if (!slice_ends_nocase(directory, SLICE_LIT("/")))
        buf_add_octet(&path, '/');
    buf_add(&path, name);
    kept = !buf_failed(&path) && path.ptr[0] == '/' &&
        arena_slice(job->arena, buf_slice(&path), &s->path);
    buf_fini(&path);
    if (!kept)
        return why_temp(why, "4.3.5",
            "mailbox \"" SLICE_FMT "\" in \"" SLICE_FMT "\" is not usable",
            SLICE_ARG(slice_head(name, 200)),
            SLICE_ARG(slice_head(directory, 200)));
    s->kind = MAILBOX_MBOX;
    if (s->path.ptr[s->path.len - 1] == '/') {
        s->kind = MAILBOX_MAILDIR;
        s->path.len--;
    }
    return RESULT_OK;
}

enum result
job_check_loop(const struct job *job, const struct delivery_recipient *rcpt,
    struct why *why)
{
    if (!was_delivered_to(job->d->header, rcpt->rcpt.address))
        return RESULT_OK;
    return why_perm(why, "5.4.6", "mail forwarding loop for " SLICE_FMT,
        SLICE_ARG(rcpt->rcpt.address));
}

bool
job_prepends_delivered(const struct job *job, const char *where)
{
    struct slice rest = slice_of(job->config->prepend_delivered_header), word;

    while (config_list_next(&rest, &word))
        if (slice_eq_nocase(word, slice_of(where)))
            return true;
    return false;
}

static void
add_line(struct buf *to, const char *name, struct slice address, char open,
    char close)
{
    buf_add_text(to, name);
    if (open != '\0')
        buf_add_octet(to, (unsigned char)open);
    address_quote(address, to);
    if (close != '\0')
        buf_add_octet(to, (unsigned char)close);
    buf_add_text(to, "\r\n");
}

enum result
job_fill_store(const struct job *job, const struct delivery_recipient *rcpt,
    struct mailbox_store *s, struct why *why)
{
    const struct delivery *d = job->d;
    struct buf top;
    bool kept;

    buf_init(&top, 32768);
    add_line(&top, "Return-Path: ", d->envelope.sender, '<', '>');
    if (rcpt->rcpt.original.len > 0)
        add_line(&top, "X-Original-To: ", rcpt->rcpt.original, '\0', '\0');
    if (job_prepends_delivered(job, "file"))
        add_line(&top, "Delivered-To: ", rcpt->rcpt.address, '\0', '\0');
    kept = arena_slice(job->arena, buf_slice(&top), &s->top);
    buf_fini(&top);
    if (!kept)
        return why_temp(why, "4.3.0", "no memory for a delivery");
    s->sender = d->envelope.sender;
    s->content = (struct content){ .header = d->header,
        .body = d->body,
        .fd = d->fd < 0 ? -1 : fcntl(d->fd, F_DUPFD_CLOEXEC, 0),
        .length = d->body_length,
        .crc = d->body_crc };
    if (d->fd >= 0 && s->content.fd < 0)
        return why_errno(why, "message content");
    return RESULT_OK;
}

static void
deliver_to_nobody(const struct job *job, const struct delivery_recipient *rcpt,
    struct rcpt_result *r)
{
    struct why why;

    (void)rcpt;
    (void)why_temp(&why, "4.3.5",
        "mail transport unavailable: service " SLICE_FMT
        " runs %s, which is not built",
        SLICE_ARG(job->d->transport),
        job->service == NULL ? "nothing" : job->service->program);
    job_failed(job, r, RESULT_TEMPFAIL, &why);
}

#ifdef POSTERN_TEST_HOOKS
/*
 * A message that kills whoever delivers it, for tests/system/test_poison.py: by
 * a signal of a crash that is not reported as a bug of ours by a sanitizer.
 */
static void
die_of_poison(struct slice header)
{
    struct slice line;

    while (slice_line(&header, &line))
        if (slice_eq(line, SLICE_LIT("X-Postern-Test-Kill: yes")))
            (void)raise(SIGTRAP);
}
#else
static void
die_of_poison(struct slice header)
{
    (void)header;
}
#endif

/*
 * Returns how many results there are. When qmgr is gone no recipient more is
 * begun, and of the one at hand only success is told: a transaction of its, or
 * an answer to it, may have died with qmgr.
 */
static size_t
deliver_all(const struct job *job, const struct late_job *late,
    struct rcpt_result *results)
{
    deliver_fn deliver = job->service == NULL ? NULL : program_of(job->service);
    const char *tag = job->service == NULL ? NULL : job->service->log_tag;

    size_t count = 0;

    die_of_poison(job->d->header);
    if (deliver == NULL)
        deliver = deliver_to_nobody;
    for (size_t i = 0; i < job->d->recipient_count && !late_job_is_orphan(late);
         i++) {
        const struct delivery_recipient *rcpt = &job->d->recipients[i];
        struct delivery_times times = { .start_us = clock_wall_us() };
        struct rcpt_result *r = &results[count];

        *r = (struct rcpt_result){ .index = rcpt->index };
        deliver(job, rcpt, r);
        times.done_us = r->when_us = clock_wall_us();
        if (late_job_is_orphan(late) && r->outcome != OUTCOME_SENT &&
            r->outcome != OUTCOME_EXPANDED)
            break;
        if (job->config->soft_bounce)
            rcpt_result_soften(r);
        delivery_log(tag == NULL ? log_tag() : tag, job->config, job->d, rcpt,
            r, &times);
        count++;
    }
    return count;
}

static void
serve(struct request *r, struct arena *arena)
{
    struct config_set *set = config_hold(daemon_config());
    struct delivery_answer answer = { .destination = DESTINATION_OK };
    struct rcpt_result *results = NULL;
    struct delivery d;
    char *transport;
    struct why why = { .text = "no memory" };
    struct msg m;

    if (delivery_decode(r->in, arena, &d, &why) != RESULT_OK ||
        (transport = arena_text(arena, d.transport)) == NULL ||
        (results = arena_alloc(arena, d.recipient_count * sizeof(*results))) ==
            NULL) {
        log_warning("delivery request refused: %s", why.text);
        /* An answer under no token: it is not to be waited for. */
        delivery_answer_encode(&answer, &m);
        request_reply(r, &m);
    } else {
        struct job job = { .set = set, .d = &d, .arena = arena };
        struct late_job late;

        job.service = config_find_service(set, transport, NULL);
        job.config = job.service == NULL ? config_main(set)
                                         : job.service->config;
        job.deadline_ms = clock_now_ms() + DELIVERY_LOCAL_MS;
        late_job_begin(&late, r);
        answer.count = deliver_all(&job, &late, results);
        if (d.fd >= 0)
            close(d.fd);
        answer.attempt = d.attempt;
        answer.results = results;
        late_job_end(&late, set, &d, &answer);
    }
    config_drop(set);
}

void
agent_serve(struct request *r)
{
    struct arena arena;

    arena_init(&arena, JOB_MEMORY);
    serve(r, &arena);
    arena_clear(&arena);
}
