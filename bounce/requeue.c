#include "bounce/requeue.h"

#include "lib/base/log.h"
#include "lib/mail/queue_id.h"
#include "lib/mail/resubmit.h"

#include <unistd.h>

enum {
    RECEIVED_MAX = 4096,
    /* What the message keeps; milters have seen it, filters are those of now. */
    KEPT_FLAGS = ENVELOPE_8BIT | ENVELOPE_UTF8 | ENVELOPE_LOCAL |
        ENVELOPE_INTERNAL | ENVELOPE_NO_MAPPING | ENVELOPE_TRACE |
        ENVELOPE_VERIFY | ENVELOPE_PROBE,
};

/*
 * A virtual alias made several of one: it is that one again, unless some of
 * them were delivered, when only who is left may go through it.
 */
static enum result
add_recipients(const struct notice *n, struct arena *arena,
    struct envelope *env, struct why *why)
{
    enum result res = RESULT_OK;

    for (size_t i = 0; i < n->recipient_count && res == RESULT_OK; i++) {
        struct recipient rcpt = n->recipients[i].rcpt;
        size_t seen = 0;

        if (rcpt.original.len > 0)
            rcpt.address = rcpt.original;
        while (seen < env->recipient_count &&
            !slice_eq(env->recipients[seen].address, rcpt.address))
            seen++;
        if (seen == env->recipient_count)
            res = envelope_add_recipient(env, arena, &rcpt, why);
    }
    return res;
}

static void
log_begin(struct config_set *set, const char *service, const struct notice *n,
    uint64_t id)
{
    bool long_ids = config_main(set)->enable_long_queue_ids;
    char text[QUEUE_ID_SIZE], old[QUEUE_ID_SIZE];

    log_write(LOG_LEVEL_INFO, config_tag_of_service(set, service, "pickup"),
        "%s: uid=%ju from=<" SLICE_FMT "> orig_id=%s",
        queue_id_text(id, long_ids, text), (uintmax_t)getuid(),
        SLICE_ARG(n->envelope.sender),
        queue_id_text(n->envelope.id, long_ids, old));
}

static enum result
write_message(const struct config *config, const struct notice *n, uint64_t id,
    struct cleanup *c, struct why *why)
{
    struct content content = { .header = n->header,
        .body = n->body,
        .fd = n->fd,
        .length = n->body_length,
        .crc = n->body_crc };
    struct buf received;

    buf_init(&received, RECEIVED_MAX);
    resubmit_received(config, id, &received);
    cleanup_prepend(c, buf_slice(&received));
    buf_fini(&received);
    return resubmit_content(&content, c, why);
}

enum result
requeue(struct config_set *set, const struct notice *n, struct arena *arena,
    int64_t deadline_ms, const struct settlement *settles, struct why *why)
{
    const char *service = config_main(set)->pickup_service_name;
    const struct config *config = config_of_service(set, service);
    const struct cleanup_options options = {
        .set = set,
        .service = config->cleanup_service_name,
        .own_client = slice_eq_text(n->envelope.rewrite, "local"),
        .settles = settles,
    };
    struct envelope env = n->envelope;
    struct cleanup *c;
    enum result res;

    env.id = 0;
    env.hops = 0; /* counted anew */
    env.flags = (env.flags & KEPT_FLAGS) | ENVELOPE_NO_MILTERS;
    env.filter = env.drop_file = (struct slice){ "", 0 };
    env.recipients = NULL;
    env.recipient_count = env.recipient_room = 0;
    res = add_recipients(n, arena, &env, why);
    if (res == RESULT_OK)
        res = submission_next_id(deadline_ms, &env.id, why);
    if (res == RESULT_OK)
        res = cleanup_begin(&options, &env, arena, &c, why);
    if (res != RESULT_OK)
        return res;
    log_begin(set, service, n, env.id);
    res = write_message(config, n, env.id, c, why);
    if (res == RESULT_OK)
        return cleanup_end(c, deadline_ms, why);
    cleanup_abort(c);
    return res;
}
