#include "smtpd/local_message.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/mail/address.h"
#include "lib/mail/cleanup.h"
#include "lib/mail/date.h"
#include "lib/mail/login_sender.h"
#include "smtpd/esmtp.h"
#include "smtpd/profile.h"
#include "smtpd/room.h"
#include "smtpd/session.h"
#include "smtpd/unstuff.h"

enum { RECEIVED_MAX = 4096 };

static void
log_begin(struct config_set *set, const char *service, const char *id,
    uid_t uid, struct slice sender)
{
    struct buf from;

    buf_init(&from, RECEIVED_MAX);
    address_quote(sender, &from);
    log_write(LOG_LEVEL_INFO, config_tag_of_service(set, service, "pickup"),
        "%s: uid=%ju from=<" SLICE_FMT ">", id, (uintmax_t)uid,
        SLICE_ARG(buf_slice(&from)));
    buf_fini(&from);
}

static void
prepend_received(struct cleanup *c, const struct config *config, const char *id,
    uid_t uid, int64_t arrival_us)
{
    char date[DATE_SIZE];
    struct buf received;

    buf_init(&received, RECEIVED_MAX);
    buf_add_format(&received,
        "Received: by %s (%s, from userid %ju)\r\n\tid %s; %s\r\n",
        config->myhostname, config->mail_name, (uintmax_t)uid, id,
        date_text(arrival_us / 1000000, date));
    cleanup_prepend(c, buf_slice(&received));
    buf_fini(&received);
}

/* Lines end with LF or CRLF; there are no dots to take off. */
static enum result
copy_content(struct drop_reader *reader, int64_t deadline, struct cleanup *c,
    struct why *why)
{
    struct slice in, run;
    struct unstuff u;

    unstuff_init(&u, UNSTUFF_RAW);
    for (;;) {
        enum result res = drop_read_content(reader, deadline, &in, why);

        if (res != RESULT_OK)
            return res;
        if (in.len == 0)
            break;
        while (unstuff_next(&u, &in, &run) == UNSTUFF_RUN)
            cleanup_content(c, run);
    }
    if (unstuff_finish(&u, &run))
        cleanup_content(c, run);
    return RESULT_OK;
}

enum result
local_message_submit(struct config_set *set, struct drop_reader *reader,
    int64_t deadline, uid_t uid, struct envelope *env, struct arena *arena,
    char id[QUEUE_ID_SIZE], struct why *why)
{
    const char *service = config_main(set)->pickup_service_name;
    const struct config *config = config_of_service(set, service);
    const struct cleanup_options options = {
        .set = set,
        .service = config->cleanup_service_name,
        .own_client = true,
    };
    struct cleanup *c;
    uint32_t overrides;
    bool no_unknown;
    enum result res;

    res = login_sender_check(config_main(set), uid, env->sender, why);
    if (res != RESULT_OK)
        return res;
    res = receive_override_parse(config->receive_override_options, &overrides,
        &no_unknown, why);
    if (res != RESULT_OK)
        return res;
    room_pause(set, config->cleanup_service_name);
    env->flags |= overrides |
        (esmtp_autodetects_utf8(config, "sendmail") ? ENVELOPE_UTF8 : 0U);
    env->arrival_us = clock_wall_us();
    res = submission_next_id(clock_now_ms() + LEASE_WAIT_MS, &env->id, why);
    if (res != RESULT_OK)
        return res;
    (void)queue_id_text(env->id, config_main(set)->enable_long_queue_ids, id);
    res = cleanup_begin(&options, env, arena, &c, why);
    if (res != RESULT_OK)
        return res;
    log_begin(set, service, id, uid, env->sender);
    prepend_received(c, config, id, uid, env->arrival_us);
    res = copy_content(reader, deadline, c, why);
    if (res != RESULT_OK) {
        cleanup_abort(c);
        return res;
    }
    return cleanup_end(c, clock_now_ms() + SUBMIT_WAIT_MS, why);
}
