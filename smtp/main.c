/*
 * smtp - the SMTP and LMTP client: smtp(8), lmtp(8).
 *
 * qmgr hands it one message for one destination at a time, many at once, each
 * on a fiber of its own; it asks lookup for addresses, keeps sessions open
 * where there is demand, and answers what became of each recipient. It runs
 * without any right.
 */
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/daemon/daemon.h"
#include "lib/mail/late_report.h"
#include "smtp/deliver.h"

/* What this process is: set once, before it serves. */
static struct client client;

static enum result
configure(struct config_set *set, struct why *why)
{
    struct own_addresses *own = NULL;
    struct why own_why;

    if (client.idle == NULL)
        return why_perm(why, "4.3.0", "not ready");
    /* Loops are told by greeting as well: no reason to deliver nothing. */
    if (own_addresses_open(config_main(set), &own, &own_why) != RESULT_OK)
        log_warning("own addresses: %s", own_why.text);
    own_addresses_close(client.own);
    client.own = own;
    /* Their settings are of yesterday. */
    idle_close(client.idle);
    return RESULT_OK;
}

static void
serve_deliver(struct request *r)
{
    deliver(&client, r, daemon_config());
}

/*
 * Deliveries under way may end until the deadline; what has not by then is cut
 * short; qmgr takes back what has no result.
 */
static void
drain(int64_t deadline_ms)
{
    enum { STEP_MS = 20, CUT_MS = 1000 };

    client.draining = true;
    idle_close(client.idle);
    while ((client.job_count > 0 || idle_leaving(client.idle) > 0) &&
        clock_now_ms() < deadline_ms - CUT_MS)
        fiber_sleep_until(clock_now_ms() + STEP_MS);
    list_foreach (it, &client.jobs)
        fiber_cancel(LIST_ENTRY(it, struct job, node)->fiber);
    while (client.job_count > 0 && clock_now_ms() < deadline_ms)
        fiber_sleep_until(clock_now_ms() + STEP_MS);
}

int
main(int argc, char **argv)
{
    static const struct link_handler handlers[] = {
        { MESSAGE_DELIVER, serve_deliver, SERVE_FIBER },
        { MESSAGE_NONE },
    };
    static const struct daemon_options options = {
        .role = ROLE_SMTP,
        .configure = configure,
        .handlers = handlers,
        .peer_up = late_report_peer_up,
        .peer_gone = late_report_peer_gone,
        .drain = drain,
    };

    list_init(&client.jobs);
    client.idle = idle_new();
    daemon_init(argc, argv, &options);
    return daemon_run();
}
