/*
 * bounce - tells senders what became of their mail: failure, delay and success
 * notices (RFC 3464). qmgr asks; the answer is a transaction that holds the
 * notice and settles the recipients that it is about.
 */
#include "bounce/notify.h"
#include "lib/daemon/daemon.h"

static enum result
configure(struct config_set *set, struct why *why)
{
    (void)set;
    (void)why;
    return RESULT_OK;
}

static const struct link_handler handlers[] = {
    { MESSAGE_NOTIFY, notify_serve, SERVE_FIBER },
    { 0 },
};

static const struct daemon_options options = {
    .role = ROLE_BOUNCE,
    .configure = configure,
    .handlers = handlers,
};

int
main(int argc, char **argv)
{
    daemon_init(argc, argv, &options);
    return daemon_run();
}
