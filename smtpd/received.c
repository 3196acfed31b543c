#include "smtpd/received.h"

#include "lib/base/mem.h"
#include "lib/mail/address.h"
#include "lib/mail/date.h"
#include "smtpd/session.h"

/* "from helo (mx.example.com [IPv6:2001:db8::1])" */
static void
add_client(const struct session *s, struct buf *to)
{
    const struct client *peer = &s->peer;

    buf_add_format(to, "from %s (%s [%s%s])\r\n\t",
        s->helo == NULL ? peer->name : s->helo, peer->name,
        strchr(peer->addr, ':') == NULL ? "" : "IPv6:", peer->addr);
    if (s->config->smtpd_sasl_authenticated_header && s->login.user != NULL) {
        char *user = helo_clean(s, slice_of(s->login.user));

        buf_add_format(to, "(Authenticated sender: %s)\r\n\t", user);
        mem_free(user);
    }
}

void
received_header(const struct session *s, struct buf *to)
{
    const struct envelope *env = &s->mail.envelope;
    char id[QUEUE_ID_SIZE], date[DATE_SIZE];

    buf_add_text(to, "Received: ");
    if (!s->config->smtpd_hide_client_session)
        add_client(s, to);
    buf_add_format(to, "by %s (%s) ", s->config->myhostname,
        s->config->mail_name);
    if (!s->config->smtpd_hide_client_session)
        buf_add_format(to, "with %s%s%s%s ", s->mail.utf8 ? "UTF8" : "",
            s->mail.utf8 ? "SMTP" : session_protocol(s),
            s->esmtp && s->tls.on ? "S" : "",
            s->esmtp && s->login.user != NULL ? "A" : "");
    buf_add_format(to, "id %s", session_queue_id(s, id));
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
