#include "bounce/notify.h"

#include "bounce/report.h"
#include "bounce/requeue.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/daemon/daemon.h"
#include "lib/mail/address.h"
#include "lib/mail/content.h"
#include "lib/mail/queue_id.h"
#include "lib/mail/resubmit.h"

#include <unistd.h>

enum {
    JOB_MEMORY = 64 * 1024 * 1024,
    REPORT_MAX = 32 * 1024 * 1024,
};

struct job {
    struct config_set *set;
    const struct config *config;
    const char *tag;
    const struct notice *n;
    struct arena *arena;
    int64_t deadline_ms;
    uint32_t *indexes; /* of all recipients */
};

/* Postfix's services for the kinds of notices; all of program bounce. */
static const char *const services[] = {
    [NOTICE_FAILURE] = "bounce",
    [NOTICE_DELAY] = "defer",
    [NOTICE_SUCCESS] = "trace",
    [NOTICE_VERIFY] = "trace",
    [NOTICE_REQUEUE] = "pickup",
};

static const char *const log_words[] = {
    [NOTICE_FAILURE] = "non-delivery",
    [NOTICE_DELAY] = "delay",
    [NOTICE_SUCCESS] = "delivery status",
    [NOTICE_VERIFY] = "delivery status",
};

/* notify_classes that send the postmaster a copy. */
static const char *const copy_classes[] = {
    [NOTICE_FAILURE] = "bounce",
    [NOTICE_DELAY] = "delay",
    [NOTICE_SUCCESS] = "",
    [NOTICE_VERIFY] = "",
};

static bool
has_class(const struct job *job, const char *class)
{
    struct slice rest = slice_of(job->config->notify_classes), word;

    while (config_list_next(&rest, &word))
        if (slice_eq_nocase(word, slice_of(class)))
            return true;
    return false;
}

static enum result
add_returned(const struct report *report, struct cleanup *c, struct why *why)
{
    const struct notice *n = report->n;
    struct content content = { .header = n->header,
        .body = n->body,
        .fd = n->fd,
        .length = n->body_length,
        .crc = n->body_crc };

    if (!report_returns_body(report)) {
        cleanup_content(c, n->header);
        content.step = CONTENT_STEP_END;
    }
    return resubmit_content(&content, c, why);
}

static void
add_received(const struct job *job, uint64_t id, struct cleanup *c)
{
    struct buf line;

    buf_init(&line, 4096);
    resubmit_received(job->config, id, &line);
    cleanup_prepend(c, buf_slice(&line));
    buf_fini(&line);
}

/* The notice itself, streamed into clean-up; c is ended or aborted. */
static enum result
write_notice(const struct job *job, const struct report *report,
    struct cleanup *c, struct why *why)
{
    enum result res = RESULT_OK;
    struct buf text;

    add_received(job, report->id, c);
    buf_init(&text, REPORT_MAX);
    report_begin(report, &text);
    if (buf_failed(&text))
        res = why_temp(why, "4.3.1", "no memory for a notice");
    cleanup_content(c, buf_slice(&text));
    if (res == RESULT_OK)
        res = add_returned(report, c, why);
    buf_clear(&text);
    report_end(report, &text);
    cleanup_content(c, buf_slice(&text));
    buf_fini(&text);
    if (res == RESULT_OK)
        return cleanup_end(c, job->deadline_ms, why);
    cleanup_abort(c);
    return res;
}

/*
 * Send one notice from sender to the address to; settles may be NULL. RESULT_OK
 * when it is in the queue, and what it settles is settled.
 */
static enum result
send_notice(const struct job *job, struct slice sender, struct slice to,
    bool postmaster, const struct settlement *settles, struct why *why)
{
    char text[QUEUE_ID_SIZE], new_text[QUEUE_ID_SIZE];
    bool long_ids = job->config->enable_long_queue_ids;
    struct recipient rcpt = { .address = to, .notify = NOTIFY_NEVER };
    struct envelope env = { .sender = sender,
        .arrival_us = clock_wall_us(),
        .flags = ENVELOPE_INTERNAL |
            (job->n->envelope.flags & (ENVELOPE_8BIT | ENVELOPE_UTF8)),
        .rewrite = SLICE_LIT("local") };
    const struct cleanup_options options = { .set = job->set,
        .service = job->config->cleanup_service_name,
        .own_client = true,
        .settles = settles };
    struct report report = { .config = job->config,
        .n = job->n,
        .to = to,
        .postmaster = postmaster,
        .now_s = clock_wall_s() };
    struct cleanup *c;
    enum result res;

    if (sender.len > 0) /* a double bounce that fails is told to nobody */
        rcpt.notify = 0;
    res = envelope_add_recipient(&env, job->arena, &rcpt, why);
    if (res == RESULT_OK)
        res = submission_next_id(job->deadline_ms, &env.id, why);
    if (res == RESULT_OK)
        res = cleanup_begin(&options, &env, job->arena, &c, why);
    if (res != RESULT_OK)
        return res;
    report.id = env.id;
    res = write_notice(job, &report, c, why);
    if (res == RESULT_OK)
        log_write(LOG_LEVEL_INFO, job->tag, "%s: %s %s notification: %s",
            queue_id_text(job->n->envelope.id, long_ids, text),
            postmaster ? "postmaster" : "sender", log_words[job->n->kind],
            queue_id_text(env.id, long_ids, new_text));
    return res;
}

/* No notice is due: the recipients are done all the same. */
static enum result
settle_only(const struct job *job, const struct settlement *settles,
    struct why *why)
{
    struct submission s = { .settles = settles,
        .settle_only = true,
        .blob.fd = -1 };

    return settles == NULL ? RESULT_OK
                           : submission_send(&s, job->deadline_ms, why);
}

static bool
anybody_wants(const struct notice *n)
{
    for (size_t i = 0; i < n->recipient_count; i++)
        if (report_wants(n, &n->recipients[i]))
            return true;
    return false;
}

static bool
is_double_bounce(const struct job *job, struct slice sender)
{
    struct slice local, domain;

    (void)address_split(sender, &local, &domain);
    return slice_eq_nocase(local, slice_of(job->config->double_bounce_sender));
}

static enum result
send_to_postmaster(const struct job *job, const char *address,
    const struct settlement *settles, struct why *why)
{
    struct buf sender;
    enum result res;

    buf_init(&sender, 4096);
    buf_add_format(&sender, "%s@%s", job->config->double_bounce_sender,
        job->config->myorigin);
    res = send_notice(job, buf_slice(&sender), slice_of(address), true, settles,
        why);
    buf_fini(&sender);
    return res;
}

static bool
is_report(const struct notice *n)
{
    return n->kind == NOTICE_SUCCESS || n->kind == NOTICE_VERIFY;
}

/*
 * The null sender is never answered: with class 2bounce the postmaster hears of
 * it. What was for the postmaster and fails ends here.
 */
static enum result
tell_somebody(const struct job *job, const struct settlement *settles,
    struct why *why)
{
    struct slice sender = job->n->envelope.sender;
    char text[QUEUE_ID_SIZE];

    if (is_report(job->n) &&
        (sender.len == 0 || is_double_bounce(job, sender))) {
        log_write(LOG_LEVEL_INFO, job->tag,
            "%s: not sending trace/success notification for %s-bounce message",
            queue_id_text(job->n->envelope.id,
                job->config->enable_long_queue_ids, text),
            sender.len == 0 ? "single" : "double");
        return settle_only(job, settles, why);
    }
    if (is_double_bounce(job, sender)) {
        log_write(LOG_LEVEL_WARNING, job->tag,
            "%s: undeliverable postmaster notification discarded",
            queue_id_text(job->n->envelope.id,
                job->config->enable_long_queue_ids, text));
        return settle_only(job, settles, why);
    }
    if (sender.len == 0 && job->n->kind == NOTICE_FAILURE &&
        has_class(job, "2bounce"))
        return send_to_postmaster(job, job->config->_2bounce_notice_recipient,
            settles, why);
    if (sender.len == 0 || !anybody_wants(job->n))
        return settle_only(job, settles, why);
    return send_notice(job, (struct slice){ "", 0 }, sender, false, settles,
        why);
}

static enum result
serve(const struct job *job, struct why *why)
{
    const struct notice *n = job->n;
    /* Delayed recipients stay what they are. */
    bool done = n->attempt.id != 0 && n->kind != NOTICE_DELAY;
    const char *postmaster = n->kind == NOTICE_DELAY
        ? job->config->delay_notice_recipient
        : job->config->bounce_notice_recipient;
    struct settlement settles = { .attempt = n->attempt,
        .indexes = job->indexes };
    struct why ignored;
    enum result res;

    for (size_t i = 0; i < n->recipient_count; i++)
        if (n->recipients[i].stays == 0)
            job->indexes[settles.count++] = n->recipients[i].index;
    done = done && settles.count > 0;
    if (n->kind == NOTICE_REQUEUE && !done) /* it would never end */
        return why_perm(why, "5.3.0", "nothing to settle");
    if (n->kind == NOTICE_REQUEUE && n->is_damaged)
        return why_perm(why, "5.3.0", "its content is damaged");
    if (n->kind == NOTICE_REQUEUE)
        return requeue(job->set, n, job->arena, job->deadline_ms, &settles,
            why);
    res = tell_somebody(job, done ? &settles : NULL, why);
    /* A copy that fails is not worth a second notice to the sender. */
    if (res == RESULT_OK && n->envelope.sender.len > 0 &&
        !is_double_bounce(job, n->envelope.sender) &&
        has_class(job, copy_classes[n->kind]) &&
        send_to_postmaster(job, postmaster, NULL, &ignored) != RESULT_OK)
        log_warning("postmaster copy not sent: %s", ignored.text);
    return res;
}

static void
answer(struct request *r, enum result res, const struct why *why)
{
    struct queue_answer a = { .result = res };
    struct msg m;

    if (res != RESULT_OK)
        a.why = *why;
    queue_answer_encode(MESSAGE_NOTIFIED, &a, &m);
    request_reply(r, &m);
}

/* Before it is passed on in part: what was damaged is left out. */
static bool
is_whole(const struct notice *n)
{
    struct content content = { .header = n->header,
        .body = n->body,
        .fd = n->fd,
        .length = n->body_length,
        .crc = n->body_crc };
    char *scratch = mem_alloc(CONTENT_PIECE);
    enum result res = RESULT_OK;
    struct slice piece;
    struct why why;

    content_rewind(&content);
    while (res == RESULT_OK && content.step != CONTENT_STEP_END)
        res = content_next(&content, scratch, &piece, &why);
    mem_free(scratch);
    return res == RESULT_OK;
}

void
notify_serve(struct request *r)
{
    struct config_set *set = config_hold(daemon_config());
    struct job job = { .set = set };
    char text[QUEUE_ID_SIZE];
    struct arena arena;
    enum result res;
    struct notice n = { .fd = -1 };
    struct why why;

    arena_init(&arena, JOB_MEMORY);
    job.arena = &arena;
    job.n = &n;
    job.deadline_ms = clock_now_ms() + NOTICE_TIME_MS;
    res = notice_decode(r->in, &arena, &n, &why);
    if (res == RESULT_OK) {
        job.config = config_of_service(set, services[n.kind]);
        job.tag = config_tag_of_service(set, services[n.kind], "bounce");
        if (n.fd >= 0 && !is_whole(&n))
            n.is_damaged = 1;
        job.indexes = arena_alloc(&arena,
            n.recipient_count * sizeof(*job.indexes));
        res = job.indexes == NULL
            ? why_temp(&why, "4.3.1", "no memory for a notice")
            : serve(&job, &why);
        if (n.fd >= 0)
            close(n.fd);
    }
    if (res != RESULT_OK)
        log_warning("%s: %s: %s",
            queue_id_text(n.envelope.id,
                config_main(set)->enable_long_queue_ids, text),
            n.kind == NOTICE_REQUEUE ? "not requeued" : "notice not sent",
            why.text);
    answer(r, res, &why);
    arena_clear(&arena);
    config_drop(set);
}
