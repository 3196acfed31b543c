#include "smtp/job.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/mail/queue_id.h"

#include <stdio.h>
#include <unistd.h>

const char *
job_id(const struct job *job, char text[32])
{
    _Static_assert(QUEUE_ID_SIZE <= 32, "room for a queue id");
    return queue_id_text(job->delivery.attempt.id,
        job->profile.config->enable_long_queue_ids, text);
}

/* The service that the request names; main.cf where there is none. */
static void
find_profile(struct job *job, struct config_set *set)
{
    struct profile *p = &job->profile;
    const struct service *service;
    char name[256];

    p->set = config_hold(set);
    p->config = config_main(p->set);
    p->tag = log_tag();
    p->service = "smtp";
    snprintf(name, sizeof(name), SLICE_FMT, SLICE_ARG(job->delivery.transport));
    service = config_find_service(p->set, name, NULL);
    if (service == NULL)
        return;
    p->service = service->name;
    p->tag = service->log_tag;
    p->lmtp = strcmp(service->program, "lmtp") == 0;
    p->config = service->config;
}

static void
job_free(struct job *job)
{
    list_remove(&job->node);
    if (job->delivery.fd >= 0)
        close(job->delivery.fd);
    config_drop(job->profile.set);
    arena_clear(&job->arena);
    mem_free(job);
}

struct job *
job_new(struct request *r, struct config_set *set)
{
    struct job *job = mem_alloc(sizeof(*job));
    const struct delivery_answer none = { .destination = DESTINATION_OK };
    struct why why;
    struct msg m;
    size_t n;

    list_init(&job->node);
    arena_init(&job->arena, JOB_ARENA_MAX);
    job->request = r;
    job->delivery.fd = -1;
    job->times.start_us = clock_wall_us();
    if (delivery_decode(r->in, &job->arena, &job->delivery, &why) !=
        RESULT_OK) {
        log_error("DELIVER: %s", why.text);
        goto refuse;
    }
    n = job->delivery.recipient_count;
    job->states = arena_alloc(&job->arena, n * sizeof(job->states[0]) + 1);
    job->results = arena_alloc(&job->arena, n * sizeof(job->results[0]) + 1);
    if (job->states == NULL || job->results == NULL) {
        log_error("DELIVER: %zu recipients are too many", n);
        goto refuse;
    }
    job->unsettled = n;
    late_job_begin(&job->late, r);
    find_profile(job, set);
    return job;
refuse:
    /* An answer under no token: it is not to be waited for. */
    delivery_answer_encode(&none, &m);
    request_reply(r, &m);
    job_free(job);
    return NULL;
}

void
job_end(struct job *job, uint32_t idle_sessions)
{
    struct delivery_answer answer = {
        .attempt = job->delivery.attempt,
        .destination = job->destination,
        .destination_text = job->destination_text,
        .idle_sessions = idle_sessions,
        .results = job->results,
    };

    for (size_t i = 0; i < job->delivery.recipient_count; i++)
        if (job->states[i] == RCPT_SETTLED)
            job->results[answer.count++] = job->results[i];
    snprintf(answer.destination_status, sizeof(answer.destination_status), "%s",
        job->destination_status);
    late_job_end(&job->late, job->profile.set, &job->delivery, &answer);
    job_free(job);
}

/* A copy that lives as long as the job; a plain word when memory is short. */
static struct slice
keep(struct job *job, const char *text)
{
    struct slice copy;

    if (!arena_slice(&job->arena, slice_of(text), &copy))
        copy = SLICE_LIT("(no memory for the text)");
    return copy;
}

/*
 * The log shows how often the connection was used, what goes to qmgr does not:
 * notices and mailq speak of the host.
 */
static void
log_result(struct job *job, size_t i, const struct session *session)
{
    char relay[SESSION_NAME_MAX + 32];
    struct rcpt_result shown;

    if (job->profile.config->soft_bounce)
        rcpt_result_soften(&job->results[i]);
    shown = job->results[i];
    if (session != NULL && session->uses > 1) {
        snprintf(relay, sizeof(relay), "%s, conn_use=%u", session->relay,
            session->uses);
        shown.relay = slice_of(relay);
    }
    delivery_log(job->profile.tag, job->profile.config, &job->delivery,
        &job->delivery.recipients[i], &shown, &job->times);
}

/* The texts of what was said of recipient i; its outcome is not set. */
static void
note_excuse(struct job *job, size_t i, const struct excuse *excuse,
    const struct session *session)
{
    struct rcpt_result *r = &job->results[i];

    *r = (struct rcpt_result){ .text = keep(job, excuse->text) };
    snprintf(r->status, sizeof(r->status), "%s", excuse->status);
    if (session != NULL) {
        r->relay = keep(job, session->relay);
        r->remote = keep(job, session->host);
    }
    if (excuse->remote[0] != '\0')
        r->remote = keep(job, excuse->remote);
    if (excuse->diagnostic[0] != '\0') {
        r->diagnostic = keep(job, excuse->diagnostic);
        r->diagnostic_type = SLICE_LIT("smtp");
    }
}

/* results[i] has its texts: say what they mean, and log. */
static void
settle(struct job *job, size_t i, enum outcome outcome,
    const struct session *session)
{
    struct rcpt_result *r = &job->results[i];

    r->index = job->delivery.recipients[i].index;
    r->outcome = outcome;
    r->when_us = clock_wall_us();
    job->states[i] = RCPT_SETTLED;
    job->unsettled--;
    job->times.done_us = r->when_us;
    log_result(job, i, session);
}

void
job_settle(struct job *job, size_t i, enum outcome outcome,
    const struct excuse *excuse, const struct session *session)
{
    note_excuse(job, i, excuse, session);
    settle(job, i, outcome, session);
}

void
job_sent(struct job *job, size_t i, const struct session *session)
{
    struct rcpt_result *r = &job->results[i];
    struct buf line;

    buf_init(&line, EXCUSE_REPLY_MAX + 16);
    reply_one_line(&session->reply, EXCUSE_REPLY_MAX, &line);
    *r = (struct rcpt_result){ .text = keep(job, buf_text(&line)) };
    buf_fini(&line);
    snprintf(r->status, sizeof(r->status), "%s", session->reply.status);
    r->relay = keep(job, session->relay);
    r->remote = keep(job, session->host);
    r->diagnostic = r->text;
    r->diagnostic_type = SLICE_LIT("smtp");
    r->next_hop_tells = (session->features & SESSION_DSN) != 0;
    /* An LMTP server that does not know DSN may be the end of the way. */
    if (!job->profile.lmtp || !job->profile.config->lmtp_assume_final ||
        r->next_hop_tells != 0)
        r->action = DSN_RELAYED;
    settle(job, i, OUTCOME_SENT, session);
}

/*
 * Left to the next host. What was said of it is kept: it is better than what
 * the last host's refusal to connect would say.
 */
static void
leave_open(struct job *job, size_t i, const struct excuse *excuse,
    const struct session *session)
{
    note_excuse(job, i, excuse, session);
    job->states[i] = RCPT_OPEN;
}

void
job_fail_recipient(struct job *job, size_t i, const struct excuse *excuse,
    const struct session *session)
{
    char id[32];

    if (!excuse_is_soft(excuse)) {
        job_settle(job, i, OUTCOME_BOUNCED, excuse, session);
    } else if (job->final) {
        job_settle(job, i, OUTCOME_DEFERRED, excuse, session);
    } else {
        log_write(LOG_LEVEL_INFO, job->profile.tag, "%s: %s", job_id(job, id),
            excuse->text);
        leave_open(job, i, excuse, session);
    }
}

/* least is the state from which on a recipient is concerned. */
static void
fail_from(struct job *job, enum rcpt_state least, const struct excuse *excuse,
    const struct session *session)
{
    bool leave = excuse_is_soft(excuse) && !job->final;
    char id[32];

    if (leave)
        log_write(LOG_LEVEL_INFO, job->profile.tag, "%s: %s", job_id(job, id),
            excuse->text);
    for (size_t i = 0; i < job->delivery.recipient_count; i++) {
        if (job->states[i] == RCPT_SETTLED || job->states[i] < least)
            continue;
        if (leave)
            leave_open(job, i, excuse, session);
        else
            job_fail_recipient(job, i, excuse, session);
    }
}

void
job_fail(struct job *job, const struct excuse *excuse,
    const struct session *session)
{
    fail_from(job, RCPT_OPEN, excuse, session);
}

bool
job_return(struct job *job, const struct excuse *excuse)
{
    char id[32];

    if (job->delivery.may_return == 0 || !excuse_is_soft(excuse))
        return false;
    log_write(LOG_LEVEL_INFO, job->profile.tag, "%s: %s", job_id(job, id),
        excuse->text);
    for (size_t i = 0; i < job->delivery.recipient_count; i++) {
        if (job->states[i] == RCPT_SETTLED)
            continue;
        note_excuse(job, i, excuse, NULL);
        job->results[i].index = job->delivery.recipients[i].index;
        job->results[i].outcome = OUTCOME_RETURNED;
        job->states[i] = RCPT_SETTLED;
        job->unsettled--;
    }
    return true;
}

void
job_fail_accepted(struct job *job, const struct excuse *excuse,
    const struct session *session)
{
    fail_from(job, RCPT_ACCEPTED, excuse, session);
}

void
job_destination(struct job *job, enum destination_state state,
    const struct excuse *excuse)
{
    if (state == DESTINATION_OK || job->destination == DESTINATION_DEAD)
        return;
    job->destination = state;
    snprintf(job->destination_status, sizeof(job->destination_status), "%s",
        excuse->status);
    job->destination_text = keep(job, excuse->text);
}

void
job_reopen(struct job *job)
{
    for (size_t i = 0; i < job->delivery.recipient_count; i++)
        if (job->states[i] != RCPT_SETTLED)
            job->states[i] = RCPT_OPEN;
}

void
job_fail_rest(struct job *job)
{
    for (size_t i = 0; i < job->delivery.recipient_count; i++) {
        if (job->states[i] == RCPT_SETTLED)
            continue;
        if (job->results[i].text.len == 0)
            note_excuse(job, i, &job->excuse, NULL);
        settle(job, i,
            job->results[i].status[0] == '4' ? OUTCOME_DEFERRED
                                             : OUTCOME_BOUNCED,
            NULL);
    }
}
