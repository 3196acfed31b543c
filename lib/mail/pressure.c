#include "lib/mail/pressure.h"

#include "lib/base/fields.h"

struct coded {
    uint32_t level;
};

static const struct field fields[] = {
    { ATTR_KIND, FIELD_U32, offsetof(struct coded, level), PRESSURE_FULL },
    { 0 },
};

void
pressure_encode(enum pressure level, struct msg *m)
{
    struct coded c = { .level = level };

    msg_init(m, MESSAGE_PRESSURE);
    fields_encode(fields, &c, &m->body);
}

bool
pressure_decode(struct slice in, enum pressure *level)
{
    struct coded c = { 0 };

    if (!fields_decode(fields, in, &c))
        return false;
    *level = (enum pressure)c.level;
    return true;
}
