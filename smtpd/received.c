#include "smtpd/received.h"

#include "lib/mail/address.h"
#include "lib/mail/date.h"
#include "smtpd/session.h"

/* "unknown [192.0.2.1]", "mx.example.com [IPv6:2001:db8::1]" */
static void
add_client(const struct client *peer, struct buf *to)
{
    buf_add_format(to, "%s [%s%s]", peer->name,
        strchr(peer->addr, ':') == NULL ? "" : "IPv6:", peer->addr);
}

void
received_header(const struct session *s, struct buf *to)
{
    const struct envelope *env = &s->mail.envelope;
    char id[QUEUE_ID_SIZE], date[DATE_SIZE];

    buf_add_format(to, "Received: from %s (",
        s->helo == NULL ? s->peer.name : s->helo);
    add_client(&s->peer, to);
    buf_add_format(to, ")\r\n\tby %s (%s) with %s id %s", s->config->myhostname,
        s->config->mail_name, session_protocol(s), session_queue_id(s, id));
    if (env->recipient_count == 1) {
        buf_add_text(to, "\r\n\tfor <");
        address_quote(env->recipients[0].address, to);
        buf_add_text(to, ">; ");
    } else {
        buf_add_text(to, ";\r\n\t");
    }
    buf_add_text(to, date_text(env->arrival_us / 1000000, date));
    buf_add_text(to, "\r\n");
}
