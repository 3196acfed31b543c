#include "lib/ipc/protocol.h"

#include <stddef.h>

/* clang-format off */
static const struct message_rule rules[MESSAGE_COUNT] = {
#define X(name, from, to, kind, answer, octets, fds)                           \
    [MESSAGE_##name] = { #name, from, to, kind, MESSAGE_##answer, octets, fds },
    MESSAGES(X)
#undef X
};
/* clang-format on */

static const char *const role_names[ROLE_COUNT] = {
    [ROLE_MASTER] = "master",
    [ROLE_SMTPD] = "smtpd",
    [ROLE_QMGR] = "qmgr",
    [ROLE_SMTP] = "smtp",
    [ROLE_LOCAL] = "local",
    [ROLE_BOUNCE] = "bounce",
    [ROLE_LOOKUP] = "lookup",
    [ROLE_SPAWN] = "spawn",
    [ROLE_COMMAND] = "command",
    [ROLE_WORKER] = "worker",
};

const struct message_rule *
message_rule(uint32_t type)
{
    if (type == MESSAGE_NONE || type >= MESSAGE_COUNT)
        return NULL;
    return &rules[type];
}

const char *
role_name(enum role role)
{
    return (unsigned)role < ROLE_COUNT ? role_names[role] : "unknown";
}
