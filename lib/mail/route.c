#include "lib/mail/route.h"

#include "lib/base/fields.h"
#include "lib/daemon/daemon.h"

#define OF(name) offsetof(struct route_question, name)
static const struct field question_fields[] = {
    { ATTR_SENDER, FIELD_SLICE, OF(sender), MESSAGE_SMALL },
    { ATTR_ADDRESS, FIELD_SLICE, OF(recipient), MESSAGE_SMALL },
    { ATTR_KIND, FIELD_U32, OF(use), ROUTE_OF_PROBE },
    { 0, FIELD_U32, 0, 0 },
};
#undef OF

static const struct field route_fields[] = {
    { ATTR_CLASS, FIELD_U32, offsetof(struct route, class), CLASS_DEFAULT },
    { ATTR_TRANSPORT, FIELD_TEXT, offsetof(struct route, transport),
        sizeof(((struct route *)0)->transport) },
    { ATTR_NEXTHOP, FIELD_TEXT, offsetof(struct route, nexthop),
        ROUTE_TEXT_MAX },
    { ATTR_ADDRESS, FIELD_TEXT, offsetof(struct route, address),
        ROUTE_TEXT_MAX },
    { 0 },
};

/* The outcome of a question: what the answer says besides its content. */
struct verdict {
    uint32_t result;
    struct why why;
};

static const struct field verdict_fields[] = {
    { ATTR_RESULT, FIELD_U32, offsetof(struct verdict, result),
        RESULT_PERMFAIL },
    { ATTR_STATUS, FIELD_TEXT, offsetof(struct verdict, why.status),
        sizeof(((struct why *)0)->status) },
    { ATTR_TEXT, FIELD_TEXT, offsetof(struct verdict, why.text),
        sizeof(((struct why *)0)->text) },
    { 0 },
};

void
route_ask_encode(const struct route_question *q, struct msg *m)
{
    msg_init(m, MESSAGE_RESOLVE);
    fields_encode(question_fields, q, &m->body);
}

enum result
route_ask_decode(struct slice in, struct route_question *q, struct why *why)
{
    *q = (struct route_question){ SLICE_LIT(""), SLICE_LIT(""), ROUTE_OF_MAIL };
    if (!fields_decode(question_fields, in, q))
        return why_perm(why, "5.3.0", "malformed question");
    return RESULT_OK;
}

void
route_encode(enum result res, const struct route *route, const struct why *why,
    struct msg *m)
{
    struct verdict v = { .result = res };

    msg_init(m, MESSAGE_RESOLVED);
    if (res != RESULT_OK)
        v.why = *why;
    fields_encode(verdict_fields, &v, &m->body);
    if (res == RESULT_OK)
        fields_encode(route_fields, route, &m->body);
}

enum result
route_decode(struct slice in, struct route *route, struct why *why)
{
    struct verdict v = { 0 };
    struct route read = { 0 };

    if (!fields_decode(verdict_fields, in, &v) ||
        !fields_decode(route_fields, in, &read))
        return why_temp(why, "4.3.0", "address resolver failure");
    if (v.result != RESULT_OK) {
        *why = v.why;
        return (enum result)v.result;
    }
    if (read.transport[0] == '\0')
        return why_temp(why, "4.3.0", "address resolver failure");
    *route = read;
    return RESULT_OK;
}

enum result
route_resolve(const struct route_question *q, int64_t deadline,
    struct route *route, struct why *why)
{
    struct msg_in *answer;
    enum result res;
    struct msg m;

    route_ask_encode(q, &m);
    if (daemon_call(ROLE_LOOKUP, &m, true, deadline, &answer) != LINK_OK)
        return why_temp(why, "4.3.0", "address resolver failure");
    res = route_decode(answer->body, route, why);
    msg_in_free(answer);
    return res;
}
