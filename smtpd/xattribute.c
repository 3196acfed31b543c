#include "smtpd/xattribute.h"

#include "lib/base/buf.h"
#include "lib/base/num.h"
#include "lib/io/sock.h"
#include "lib/mail/address.h"
#include "lib/mail/xtext.h"

enum { ATTRIBUTES_MAX = 32 }; /* in one command */

const char xclient_attributes[] =
    "NAME ADDR PROTO HELO REVERSE_NAME PORT LOGIN DESTADDR DESTPORT";
const char xforward_attributes[] = "NAME ADDR PROTO HELO SOURCE PORT IDENT";

struct parse {
    struct arena *arena;
    struct xattributes *x;
};

static bool
any_value(struct parse *p, enum xattribute a)
{
    (void)p;
    (void)a;
    return true;
}

static bool
host_value(struct parse *p, enum xattribute a)
{
    struct slice name = p->x->of[a].value;

    return domain_is_valid(name) && name.ptr[0] != '-';
}

/* Normalized, so that tables are asked for it as for a client's own. */
static bool
address_value(struct parse *p, enum xattribute a)
{
    struct sock_addr addr;
    char text[SOCK_TEXT_MAX];

    return sock_addr_parse(p->x->of[a].value, 0, &addr) &&
        arena_slice(p->arena, slice_of(sock_addr_text(&addr, text)),
            &p->x->of[a].value);
}

static bool
port_value(struct parse *p, enum xattribute a)
{
    uint32_t port;

    if (!num_parse_u32(p->x->of[a].value, UINT16_MAX, &port))
        return false;
    if (a == XATTRIBUTE_PORT)
        p->x->port = (uint16_t)port;
    else
        p->x->destport = (uint16_t)port;
    return true;
}

static bool
protocol_value(struct parse *p, enum xattribute a)
{
    return slice_eq_nocase(p->x->of[a].value, SLICE_LIT("SMTP")) ||
        slice_eq_nocase(p->x->of[a].value, SLICE_LIT("ESMTP"));
}

static bool
source_value(struct parse *p, enum xattribute a)
{
    return slice_eq_nocase(p->x->of[a].value, SLICE_LIT("LOCAL")) ||
        slice_eq_nocase(p->x->of[a].value, SLICE_LIT("REMOTE"));
}

static const struct {
    const char *name;
    bool (*value)(struct parse *p, enum xattribute a);
} attributes[XATTRIBUTE_COUNT] = {
    [XATTRIBUTE_NAME] = { "NAME", host_value },
    [XATTRIBUTE_ADDR] = { "ADDR", address_value },
    [XATTRIBUTE_PORT] = { "PORT", port_value },
    [XATTRIBUTE_PROTO] = { "PROTO", protocol_value },
    [XATTRIBUTE_HELO] = { "HELO", any_value },
    [XATTRIBUTE_REVERSE_NAME] = { "REVERSE_NAME", host_value },
    [XATTRIBUTE_LOGIN] = { "LOGIN", any_value },
    [XATTRIBUTE_DESTADDR] = { "DESTADDR", address_value },
    [XATTRIBUTE_DESTPORT] = { "DESTPORT", port_value },
    [XATTRIBUTE_SOURCE] = { "SOURCE", source_value },
    [XATTRIBUTE_IDENT] = { "IDENT", any_value },
};

/* Is name one of a command's own? */
static bool
find(const char *known, struct slice name, enum xattribute *a)
{
    struct slice rest = slice_of(known), word;

    while (slice_word(&rest, " ", &word))
        if (slice_eq_nocase(word, name))
            for (*a = 0; *a < XATTRIBUTE_COUNT; (*a)++)
                if (slice_eq_text(word, attributes[*a].name))
                    return true;
    return false;
}

static bool
decode(struct parse *p, enum xattribute a, struct slice text)
{
    struct buf value;
    bool ok;

    buf_init(&value, XVALUE_MAX);
    ok = xtext_decode(text, &value) && value.len > 0 &&
        arena_slice(p->arena, buf_slice(&value), &p->x->of[a].value);
    buf_fini(&value);
    if (!ok)
        return false;
    if (slice_eq_nocase(p->x->of[a].value, SLICE_LIT("[UNAVAILABLE]"))) {
        p->x->of[a].state = XSTATE_UNAVAILABLE;
        return true;
    }
    if (slice_eq_nocase(p->x->of[a].value, SLICE_LIT("[TEMPUNAVAIL]"))) {
        p->x->of[a].state = XSTATE_TEMPORARILY;
        return true;
    }
    p->x->of[a].state = XSTATE_KNOWN;
    return attributes[a].value(p, a);
}

bool
xattributes_parse(const char *command, struct slice args, struct arena *arena,
    struct xattributes *x, struct refusal *no)
{
    const char *known = slice_eq_text(slice_of(command), "XCLIENT")
        ? xclient_attributes
        : xforward_attributes;
    struct parse p = { .arena = arena, .x = x };
    struct slice word;
    unsigned n = 0;

    *x = (struct xattributes){ .port = 0 };
    for (; slice_word(&args, " \t", &word) && n < ATTRIBUTES_MAX; n++) {
        size_t equals = slice_find(word, '=');
        struct slice name = slice_head(word, equals);
        enum xattribute a;

        if (equals == word.len)
            return refusal_set(no, 501, "5.5.4",
                "Error: attribute=value expected");
        if (!find(known, name, &a))
            return refusal_set(no, 501, "5.5.4",
                "Bad %s attribute name: " SLICE_FMT, command, SLICE_ARG(name));
        if (!decode(&p, a, slice_skip(word, equals + 1)))
            return refusal_set(no, 501, "5.5.4", "Bad %s syntax: " SLICE_FMT,
                attributes[a].name, SLICE_ARG(slice_skip(word, equals + 1)));
    }
    if (n == 0 || n == ATTRIBUTES_MAX)
        return refusal_set(no, 501, "5.5.4", "Syntax: %s attribute=value...",
            command);
    return true;
}
