/*
 * smtpd - the SMTP server: sessions, access control, clean-up of what they
 * bring; and the way into the queue for sendmail(1).
 */
#include "lib/daemon/daemon.h"
#include "lib/table/table.h"
#include "smtpd/explain.h"
#include "smtpd/pickup.h"
#include "smtpd/probe.h"
#include "smtpd/profile.h"
#include "smtpd/room.h"
#include "smtpd/sessions.h"

static enum result
configure(struct config_set *set, struct why *why)
{
    enum result res = profiles_compile(set, why);

    if (res == RESULT_OK && daemon_index() == 0)
        table_warn_unavailable();
    return res;
}

static void
serve(int fd, const struct sock_addr *client, const struct service *service,
    struct config_set *set, const char *public)
{
    if (public != NULL && slice_eq_text(slice_of(public), "public/pickup"))
        pickup_serve(fd, set);
    else
        sessions_serve(fd, client, service, set, public != NULL);
}

static enum result
begin(struct why *why)
{
    return pickup_begin(why);
}

static void
wake(const struct service *service)
{
    if (slice_eq_text(slice_of(service->program), "pickup"))
        pickup_wake();
}

static void
drain(int64_t deadline_ms)
{
    pickup_end();
    sessions_drain(deadline_ms);
    probes_drain(deadline_ms);
}

static void
peer_gone(struct peer *p)
{
    if (p->role == ROLE_QMGR)
        room_forget();
}

static void
peer_up(struct peer *p)
{
    if (p->role == ROLE_LOOKUP)
        sessions_count_again();
}

int
main(int argc, char **argv)
{
    static const struct link_handler handlers[] = {
        { MESSAGE_PRESSURE, room_told, SERVE_INLINE },
        { MESSAGE_NONE, NULL, SERVE_INLINE },
    };
    static const struct daemon_options options = {
        .role = ROLE_SMTPD,
        .configure = configure,
        .handlers = handlers,
        .peer_gone = peer_gone,
        .peer_up = peer_up,
        .serve = serve,
        .begin = begin,
        .wake = wake,
        .drain = drain,
    };

    if (explain_is_asked(argc, argv))
        return explain_main(argc, argv);
    daemon_init(argc, argv, &options);
    return daemon_run();
}
