/*
 * virtual: mailboxes of users without accounts, by tables (virtual(8)).
 */
#include "lib/base/num.h"
#include "local/agent.h"
#include "local/lock_methods.h"
#include "local/maps.h"
#include "local/workers.h"

enum { VALUE_MAX = 4096 };

static enum result
not_a_user(struct slice address, struct why *why)
{
    return why_perm(why, "5.1.1", "unknown user: \"" SLICE_FMT "\"",
        SLICE_ARG(address));
}

/* A table that must have the recipient; what names the parameter. */
static enum result
look_up(const struct job *job, const char *what, const char *text,
    struct slice address, struct buf *value, struct why *why)
{
    switch (maps_find_mailbox(job->config, text, address, value, why)) {
    case TABLE_FOUND:
        return RESULT_OK;
    case TABLE_NOT_FOUND:
        return why_temp(why, "4.3.5",
            "recipient " SLICE_FMT ": not found in %s", SLICE_ARG(address),
            what);
    case TABLE_ERROR:
        break;
    }
    return why_temp(why, "4.3.5", "mail system configuration error");
}

static enum result
look_up_id(const struct job *job, const char *what, const char *text,
    struct slice address, uint32_t minimum, uint32_t *id, struct why *why)
{
    enum result res;
    struct buf value;

    buf_init(&value, VALUE_MAX);
    res = look_up(job, what, text, address, &value, why);
    if (res == RESULT_OK &&
        (!num_parse_u32(slice_trim(buf_slice(&value)), INT32_MAX, id) ||
            *id < minimum))
        res = why_temp(why, "4.3.5",
            "recipient " SLICE_FMT ": bad value \"%s\" in %s",
            SLICE_ARG(address), buf_text(&value), what);
    buf_fini(&value);
    return res;
}

static enum result
look_up_user(const struct job *job, struct slice address,
    struct keeper_user *user, struct why *why)
{
    const struct config *c = job->config;
    uint32_t uid, gid;
    enum result res;

    res = look_up_id(job, "virtual_uid_maps", c->virtual_uid_maps, address,
        (uint32_t)c->virtual_minimum_uid, &uid, why);
    if (res == RESULT_OK)
        res = look_up_id(job, "virtual_gid_maps", c->virtual_gid_maps, address,
            1, &gid, why);
    if (res == RESULT_OK)
        *user = (struct keeper_user){ .uid = uid, .gid = gid };
    return res;
}

/* virtual_mailbox_base and what the table said. */
static enum result
mailbox_path(const struct job *job, struct slice address, struct slice value,
    struct mailbox_store *s, struct why *why)
{
    const char *base = job->config->virtual_mailbox_base;

    value = slice_trim(value);
    if (base[0] != '/' || value.len == 0 ||
        memmem(value.ptr, value.len, "..", 2) != NULL)
        return why_temp(why, "4.3.5",
            "recipient " SLICE_FMT ": mailbox \"" SLICE_FMT
            "\" below virtual_mailbox_base \"%s\" is not usable",
            SLICE_ARG(address), SLICE_ARG(value), base);
    return job_set_path(job, s, slice_of(base), value, why);
}

static enum result
find_mailbox(const struct job *job, struct slice address,
    struct mailbox_store *s, struct why *why)
{
    enum result res = RESULT_OK;
    struct buf value;

    buf_init(&value, VALUE_MAX);
    switch (maps_find_mailbox(job->config, job->config->virtual_mailbox_maps,
        address, &value, why)) {
    case TABLE_FOUND:
        res = mailbox_path(job, address, buf_slice(&value), s, why);
        break;
    case TABLE_NOT_FOUND:
        res = not_a_user(address, why);
        break;
    case TABLE_ERROR:
        res = why_temp(why, "4.3.5", "mail system configuration error");
        break;
    }
    buf_fini(&value);
    return res;
}

/* Mailboxes here are the site's: what is wrong with one can be put right. */
static enum result
store(const struct job *job, const struct keeper_user *user,
    struct mailbox_store *s, struct why *why)
{
    enum result res = workers_store(user, s, job->deadline_ms, why);

    if (res == RESULT_OK)
        return res;
    if (s->kind == MAILBOX_MAILDIR)
        job_blame(why, "maildir delivery failed: ");
    else
        job_blame(why, "delivery failed to mailbox " SLICE_FMT ": ",
            SLICE_ARG(s->path));
    if (strcmp(why->status, "5.2.0") != 0)
        return res;
    why->status[0] = '4';
    return RESULT_TEMPFAIL;
}

void
deliver_to_virtual(const struct job *job, const struct delivery_recipient *rcpt,
    struct rcpt_result *r)
{
    const struct config *c = job->config;
    struct mailbox_store s = { .lock_tries = (uint32_t)c->deliver_lock_attempts,
        .lock_delay_ms = (uint64_t)c->deliver_lock_delay,
        .lock_stale_ms = (uint64_t)c->stale_lock_time,
        .size_limit = (uint64_t)c->virtual_mailbox_limit };
    struct slice address = rcpt->rcpt.address;
    struct keeper_user user;
    enum result res;
    struct why why;

    r->relay = job->d->transport;
    res = find_mailbox(job, address, &s, &why);
    if (res == RESULT_OK)
        res = look_up_user(job, address, &user, &why);
    if (res == RESULT_OK)
        res = lock_methods_parse(c->virtual_mailbox_lock, &s.locks, &why);
    if (res == RESULT_OK && !envelope_is_probe(&job->d->envelope)) {
        res = job_fill_store(job, rcpt, &s, &why);
        if (res == RESULT_OK)
            res = store(job, &user, &s, &why);
    }
    if (res == RESULT_OK)
        job_stored(job, r, s.kind);
    else
        job_failed(job, r, res, &why);
}

enum result
virtual_configure(struct config_set *set, struct why *why)
{
    for (size_t i = 0; i < config_service_count(set); i++) {
        const struct service *s = config_service(set, i);
        const struct config *c = s->config;
        uint32_t locks;

        if (strcmp(s->program, "virtual") != 0)
            continue;
        if (maps_check(c, c->virtual_mailbox_maps, why) != RESULT_OK ||
            maps_check(c, c->virtual_uid_maps, why) != RESULT_OK ||
            maps_check(c, c->virtual_gid_maps, why) != RESULT_OK ||
            lock_methods_parse(c->virtual_mailbox_lock, &locks, why) !=
                RESULT_OK)
            return RESULT_PERMFAIL;
    }
    return RESULT_OK;
}
