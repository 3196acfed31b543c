#include "smtpd/attribute.h"

#include "lib/base/clock.h"
#include "lib/mail/address.h"
#include "smtpd/session.h"

#include <time.h>

typedef void (*value_fn)(const struct session *s, struct buf *to);

static void
client(const struct session *s, struct buf *to)
{
    buf_add_text(to, s->peer.text);
}

static void
client_address(const struct session *s, struct buf *to)
{
    buf_add_text(to, s->peer.addr);
}

static void
client_port(const struct session *s, struct buf *to)
{
    if (s->peer.port == 0)
        buf_add_text(to, "unknown");
    else
        buf_add_format(to, "%u", s->peer.port);
}

static void
client_name(const struct session *s, struct buf *to)
{
    buf_add_text(to, s->peer.name);
}

static void
reverse_client_name(const struct session *s, struct buf *to)
{
    buf_add_text(to, session_reverse_name(s));
}

static void
helo_name(const struct session *s, struct buf *to)
{
    buf_add(to, slice_of(s->helo));
}

static void
local_time(const struct session *s, struct buf *to)
{
    time_t now = (time_t)clock_wall_s();
    char text[32] = "";
    struct tm tm;

    (void)s;
    if (localtime_r(&now, &tm) != NULL)
        (void)strftime(text, sizeof(text), "%b %d %H:%M:%S", &tm);
    buf_add_text(to, text);
}

static void
server_name(const struct session *s, struct buf *to)
{
    buf_add_text(to, s->config->myhostname);
}

static void
protocol(const struct session *s, struct buf *to)
{
    buf_add_text(to, session_protocol(s));
}

static void
sasl_username(const struct session *s, struct buf *to)
{
    buf_add(to, slice_of(s->login.user));
}

/* Addresses whole and in parts; "<>" where there is none. */

static void
whole(struct slice address, struct buf *to)
{
    buf_add(to, address.len == 0 ? SLICE_LIT("<>") : address);
}

static void
local_part(struct slice address, struct buf *to)
{
    struct slice local, domain;

    (void)address_split(address, &local, &domain);
    whole(local, to);
}

static void
domain_part(struct slice address, struct buf *to)
{
    struct slice local, domain;

    if (address_split(address, &local, &domain))
        buf_add(to, domain);
}

static void
sender(const struct session *s, struct buf *to)
{
    whole(s->mail.envelope.sender, to);
}

static void
sender_name(const struct session *s, struct buf *to)
{
    local_part(s->mail.envelope.sender, to);
}

static void
sender_domain(const struct session *s, struct buf *to)
{
    domain_part(s->mail.envelope.sender, to);
}

static void
recipient(const struct session *s, struct buf *to)
{
    whole(s->recipient, to);
}

static void
recipient_name(const struct session *s, struct buf *to)
{
    local_part(s->recipient, to);
}

static void
recipient_domain(const struct session *s, struct buf *to)
{
    domain_part(s->recipient, to);
}

static const struct {
    const char *name;
    value_fn value;
} attributes[] = {
    { "client", client },
    { "client_address", client_address },
    { "client_name", client_name },
    { "client_port", client_port },
    { "helo_name", helo_name },
    { "localtime", local_time },
    { "protocol_name", protocol },
    { "recipient", recipient },
    { "recipient_domain", recipient_domain },
    { "recipient_name", recipient_name },
    { "reverse_client_name", reverse_client_name },
    { "sasl_username", sasl_username },
    { "sender", sender },
    { "sender_domain", sender_domain },
    { "sender_name", sender_name },
    { "server_name", server_name },
};

void
attribute_add_filtered(const struct session *s, struct slice value,
    struct buf *to)
{
    const bool *allowed = s->profile->expansion_allowed;

    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];

        buf_add_octet(to, allowed[c] ? c : '_');
    }
}

bool
attribute_find(const struct session *s, struct slice name, struct buf *to)
{
    struct buf value;

    for (size_t i = 0; i < sizeof(attributes) / sizeof(attributes[0]); i++)
        if (slice_eq_text(name, attributes[i].name)) {
            buf_init(&value, ATTRIBUTE_MAX);
            attributes[i].value(s, &value);
            attribute_add_filtered(s, buf_slice(&value), to);
            buf_fini(&value);
            return true;
        }
    return false;
}
