#include "local/alias.h"

#include "lib/base/clock.h"
#include "lib/mail/queue_id.h"
#include "lib/mail/resubmit.h"
#include "local/maps.h"

#include <stdio.h>

enum {
    VALUE_MAX = 64 * 1024 * 1024, /* a big list in one alias */
    ADDRESS_MAX = 2048,
    NAME_MAX_OCTETS = 512,
    VERIFY_TEXT_MAX = 1000,
};

static const char owner_prefix[] = "owner-";

enum result
alias_find(const struct job *job, struct slice name, struct buf *value,
    bool *found, struct why *why)
{
    *found = false;
    switch (maps_find(job->config, job->config->alias_maps, name, value, why)) {
    case TABLE_FOUND:
        *found = true;
        return RESULT_OK;
    case TABLE_NOT_FOUND:
        return RESULT_OK;
    case TABLE_ERROR:
        break;
    }
    return why_temp(why, "4.3.0", "alias database unavailable");
}

/*
 * Quoted text keeps commas and blanks; quotes around the whole of a command or
 * file name are the alias file's own, those of a local part belong to it but
 * the internal form is without them: either way they go.
 */
bool
alias_next(struct slice *rest, struct buf *address)
{
    bool quoted = false;
    size_t i;

    buf_clear(address);
    while (rest->len > 0 && strchr(", \t\r\n", rest->ptr[0]) != NULL)
        *rest = slice_skip(*rest, 1);
    if (rest->len == 0)
        return false;
    for (i = 0; i < rest->len; i++) {
        char c = rest->ptr[i];

        if (c == '"') {
            quoted = !quoted;
        } else if (quoted && c == '\\' && i + 1 < rest->len) {
            buf_add_octet(address, (unsigned char)rest->ptr[++i]);
        } else if (!quoted && c == ',') {
            break;
        } else {
            buf_add_octet(address, (unsigned char)c);
        }
    }
    *rest = slice_skip(*rest, i);
    buf_truncate(address, slice_trim(buf_slice(address)).len);
    return true;
}

/* Not built yet: mail for them waits, and says why. */
static bool
is_special(struct slice address)
{
    return address.len > 0 &&
        (address.ptr[0] == '|' || address.ptr[0] == '/' ||
            slice_starts_nocase(address, SLICE_LIT(":include:")));
}

static struct slice
without_brackets(struct slice address)
{
    size_t open = slice_find(address, '<');
    size_t close = slice_rfind(address, '>');

    if (open < address.len && close < address.len && open < close)
        return slice_trim(
            (struct slice){ address.ptr + open + 1, close - open - 1 });
    return address;
}

/*
 * An alias that names itself means the mailbox of that name, as if it were
 * written with a backslash: "root: root, admin@example.com".
 */
static bool
is_itself(const struct delivery_recipient *rcpt, struct slice name,
    struct slice address)
{
    return slice_eq_nocase(address, name) ||
        slice_eq_nocase(address, rcpt->rcpt.address);
}

static enum result
literal(const struct job *job, struct slice *address, struct why *why)
{
    char *text = arena_alloc(job->arena, address->len + 1);

    if (text == NULL)
        return why_temp(why, "4.3.0", "no memory for an alias");
    text[0] = '\\';
    memcpy(text + 1, address->ptr, address->len);
    *address = (struct slice){ text, address->len + 1 };
    return RESULT_OK;
}

static enum result
add_addresses(const struct job *job, const struct delivery_recipient *rcpt,
    struct slice name, struct slice value, struct envelope *env,
    struct why *why)
{
    struct recipient to = rcpt->rcpt;
    enum result res = RESULT_OK;
    struct buf address;

    if (to.original.len == 0)
        to.original = rcpt->rcpt.address;
    to.notify = notify_of_expanded(to.notify);
    buf_init(&address, ADDRESS_MAX);
    while (res == RESULT_OK && alias_next(&value, &address)) {
        to.address = without_brackets(buf_slice(&address));
        if (is_itself(rcpt, name, to.address))
            res = literal(job, &to.address, why);
        if (res != RESULT_OK)
            break;
        if (buf_failed(&address))
            res = why_perm(why, "5.3.5", "alias expansion: address too long");
        else if (is_special(to.address))
            res = why_temp(why, "4.3.5",
                "alias expands to \"" SLICE_FMT
                "\": delivery to commands, files and :include: is not built",
                SLICE_ARG(to.address));
        else if (to.address.len > 0)
            res = envelope_add_recipient(env, job->arena, &to, why);
    }
    buf_fini(&address);
    return res;
}

/* What the sender asked for is not for the list's mail (RFC 3461, 5.2.7.2). */
static void
forget_dsn(struct envelope *env)
{
    env->envid = (struct slice){ "", 0 };
    env->ret = RET_UNSET;
    for (size_t i = 0; i < env->recipient_count; i++) {
        env->recipients[i].orcpt = (struct slice){ "", 0 };
        env->recipients[i].original = (struct slice){ "", 0 };
    }
}

/*
 * Errors of a list go to its owner: the sender becomes owner-NAME where such an
 * alias exists (or what it stands for, with expand_owner_alias).
 */
static enum result
set_owner(const struct job *job, struct slice name, struct envelope *env,
    struct why *why)
{
    char owner[NAME_MAX_OCTETS];
    struct buf value, one;
    enum result res;
    char *kept = NULL;
    bool found;
    int n = snprintf(owner, sizeof(owner), "%s" SLICE_FMT, owner_prefix,
        SLICE_ARG(name));

    if (env->sender.len == 0 || n < 0 || (size_t)n >= sizeof(owner) ||
        slice_starts_nocase(name, slice_of(owner_prefix)))
        return RESULT_OK;
    buf_init(&value, VALUE_MAX);
    buf_init(&one, ADDRESS_MAX);
    res = alias_find(job, slice_of(owner), &value, &found, why);
    if (res == RESULT_OK && found) {
        struct slice rest = buf_slice(&value);

        if (job->config->expand_owner_alias && alias_next(&rest, &one))
            kept = arena_text(job->arena, buf_slice(&one));
        else
            kept = arena_text(job->arena, slice_of(owner));
    }
    if (kept != NULL) {
        env->sender = slice_of(kept);
        forget_dsn(env);
    }
    buf_fini(&value);
    buf_fini(&one);
    return res;
}

static void
prepend_trace(const struct job *job, const struct delivery_recipient *rcpt,
    uint64_t id, struct cleanup *c)
{
    struct buf line;

    buf_init(&line, 8192);
    resubmit_received(job->config, id, &line);
    if (job_prepends_delivered(job, "forward"))
        buf_add_format(&line, "Delivered-To: " SLICE_FMT "\r\n",
            SLICE_ARG(rcpt->rcpt.address));
    cleanup_prepend(c, buf_slice(&line));
    buf_fini(&line);
}

static enum result
copy_content(const struct job *job, struct cleanup *c, struct why *why)
{
    struct content content = { .header = job->d->header,
        .body = job->d->body,
        .fd = job->d->fd,
        .length = job->d->body_length,
        .crc = job->d->body_crc };

    return resubmit_content(&content, c, why);
}

/*
 * A sender who asked for NOTIFY=SUCCESS is told here and now: that the alias was
 * expanded, or, of a list with an owner, that his part is done. Who asked for a
 * report (sendmail -v) learns where it went.
 */
static void
fill_told(const struct job *job, const struct delivery_recipient *rcpt,
    const struct envelope *env, struct slice forwarded,
    struct rcpt_result *told)
{
    bool asked = (rcpt->rcpt.notify & NOTIFY_SUCCESS) != 0;

    *told = (struct rcpt_result){
        .index = rcpt->index,
        .outcome = OUTCOME_SENT,
        .status = "2.0.0",
        .text = asked ? SLICE_LIT("alias expanded") : forwarded,
        .relay = job->d->transport,
        .when_us = clock_wall_us(),
        .action = DSN_RELAYED,
    };
    if (asked)
        told->action = slice_eq(env->sender, job->d->envelope.sender)
            ? DSN_EXPANDED
            : DSN_DELIVERED;
}

static enum result
submit(const struct job *job, const struct delivery_recipient *rcpt,
    const struct envelope *env, struct slice forwarded, struct why *why)
{
    struct rcpt_result told;
    const struct settlement settles = { .attempt = job->d->attempt,
        .indexes = &rcpt->index,
        .count = 1,
        .result = &told };
    const struct cleanup_options options = { .set = job->set,
        .service = job->config->cleanup_service_name,
        .own_client = slice_eq_text(env->rewrite, "local"),
        .settles = &settles };
    struct cleanup *c;
    enum result res;

    fill_told(job, rcpt, env, forwarded, &told);
    res = cleanup_begin(&options, env, job->arena, &c, why);
    if (res != RESULT_OK)
        return res;
    prepend_trace(job, rcpt, env->id, c);
    res = copy_content(job, c, why);
    if (res != RESULT_OK) {
        cleanup_abort(c);
        return res;
    }
    return cleanup_end(c, job->deadline_ms, why);
}

static enum result
forwarded_text(const struct job *job, uint64_t id, struct slice *text,
    struct why *why)
{
    char id_text[QUEUE_ID_SIZE], line[QUEUE_ID_SIZE + 32];

    (void)snprintf(line, sizeof(line), "forwarded as %s",
        queue_id_text(id, job->config->enable_long_queue_ids, id_text));
    return arena_slice(job->arena, slice_of(line), text)
        ? RESULT_OK
        : why_temp(why, "4.3.0", "no memory for an alias");
}

static enum result
expand(const struct job *job, const struct delivery_recipient *rcpt,
    struct slice name, struct slice value, struct slice *forwarded,
    struct why *why)
{
    const uint32_t dropped = ENVELOPE_HOLD | ENVELOPE_TRACE;
    struct envelope env = job->d->envelope;
    enum result res;

    env.recipients = NULL;
    env.recipient_count = env.recipient_room = 0;
    /*
     * Whoever released it from hold did not mean its copies to be held, and a
     * report is of the delivery to the alias.
     */
    env.flags = (env.flags | ENVELOPE_INTERNAL) & ~dropped;
    env.drop_file = (struct slice){ "", 0 };
    env.arrival_us = clock_wall_us();
    res = job_check_loop(job, rcpt, why);
    if (res == RESULT_OK)
        res = add_addresses(job, rcpt, name, value, &env, why);
    if (res == RESULT_OK && env.recipient_count == 0)
        res = why_perm(why, "5.3.5", "alias \"" SLICE_FMT "\" is empty",
            SLICE_ARG(name));
    if (res == RESULT_OK)
        res = set_owner(job, name, &env, why);
    if (res == RESULT_OK)
        res = submission_next_id(job->deadline_ms, &env.id, why);
    if (res == RESULT_OK)
        res = forwarded_text(job, env.id, forwarded, why);
    if (res == RESULT_OK)
        res = submit(job, rcpt, &env, *forwarded, why);
    return res;
}

/* Whom it stands for is not asked: each could be verified by itself. */
static void
verify(const struct job *job, struct slice value, struct rcpt_result *r)
{
    struct buf text;
    char *kept;

    buf_init(&text, VERIFY_TEXT_MAX + 16);
    buf_add_text(&text, "aliased to ");
    buf_add(&text, slice_head(slice_trim(value), VERIFY_TEXT_MAX));
    kept = arena_text(job->arena, buf_slice(&text));
    buf_fini(&text);
    job_sent(job, r, kept == NULL ? "aliased" : kept);
}

void
alias_deliver(const struct job *job, const struct delivery_recipient *rcpt,
    struct slice name, struct slice value, struct rcpt_result *r)
{
    struct slice forwarded;
    enum result res;
    struct why why;

    if (envelope_is_probe(&job->d->envelope)) {
        verify(job, value, r);
        return;
    }
    res = expand(job, rcpt, name, value, &forwarded, &why);
    if (res != RESULT_OK) {
        job_failed(job, r, res, &why);
        return;
    }
    job_sent(job, r, "");
    r->text = forwarded;
    r->outcome = OUTCOME_EXPANDED;
}
