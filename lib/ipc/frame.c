#include "lib/ipc/frame.h"

#include "lib/base/put.h"

#include <stdio.h>

void
frame_encode(const struct frame *f, char to[FRAME_HEAD])
{
    put_le32(to, f->length);
    put_le16(to + 4, f->type);
    put_le16(to + 6, f->fds);
    put_le32(to + 8, f->number);
}

void
frame_decode(struct slice octets, struct frame *f)
{
    f->length = get_le32(octets.ptr);
    f->type = get_le16(octets.ptr + 4);
    f->fds = get_le16(octets.ptr + 6);
    f->number = get_le32(octets.ptr + 8);
}

const char *
frame_refuse(const struct frame *f, enum role from, enum role to)
{
    const struct message_rule *rule = message_rule(f->type);

    if (rule == NULL)
        return "no such message";
    if ((rule->from & ROLE_BIT(from)) == 0)
        return "not its to send";
    if ((rule->to & ROLE_BIT(to)) == 0)
        return "not for us";
    if (f->length > rule->octets)
        return "too long";
    if (f->fds > rule->fds)
        return "too many descriptors";
    if ((rule->kind == KIND_ONE_WAY) != (f->number == 0))
        return "request number does not fit";
    return NULL;
}

const char *
frame_name(uint32_t type, char text[FRAME_NAME_MAX])
{
    const struct message_rule *rule = message_rule(type);

    if (rule != NULL)
        return rule->name;
    snprintf(text, FRAME_NAME_MAX, "message %u", type);
    return text;
}
