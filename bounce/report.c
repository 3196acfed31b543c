#include "bounce/report.h"

#include "lib/base/printable.h"
#include "lib/mail/address.h"
#include "lib/mail/date.h"
#include "lib/mail/queue_id.h"

#include <stdio.h>

enum { WRAP_AT = 79, OUTCOME_MAX = 16384 };

/* What the kinds of notices say. */
static const struct wording {
    const char *subject;
    const char *copy_subject; /* to the postmaster */
    const char *text;         /* after the line that names the host */
    const char *returned;     /* what comes back, in the third part's name */
    uint32_t notify;          /* enum dsn_notify that asks for it */
} wordings[] = {
    [NOTICE_FAILURE] = { "Undelivered Mail Returned to Sender",
        "Postmaster Copy: Undelivered Mail",
        "Your message could not be delivered to the recipients named below,\r\n"
        "and no further attempt will be made. What was sent, or its header,\r\n"
        "is attached together with a report for programs.\r\n"
        "\r\n"
        "If you need help, write to postmaster and include this notice.\r\n",
        "Undelivered Message", NOTIFY_FAILURE },
    [NOTICE_DELAY] = { "Delayed Mail (still being retried)",
        "Postmaster Warning: Delayed Mail",
        "This is a warning only: there is nothing that you have to do.\r\n"
        "\r\n"
        "Your message could not be delivered so far to the recipients named\r\n"
        "below. Delivery will be tried again for some time.\r\n",
        "Undelivered Message", NOTIFY_DELAY },
    [NOTICE_SUCCESS] = { "Successful Mail Delivery Report", NULL,
        "Your message was delivered to the recipients named below, or passed\r\n"
        "on to a system that does not report delivery.\r\n",
        "Message", NOTIFY_SUCCESS },
    [NOTICE_VERIFY] = { "Mail Delivery Status Report", NULL,
        "This is the delivery report that you asked for.\r\n", "Message",
        NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY },
};

bool
report_wants(const struct notice *n, const struct notice_recipient *r)
{
    uint32_t notify = r->rcpt.notify;

    /* RFC 3461 section 4.1: without NOTIFY failures and delays are told. */
    if (notify == 0)
        notify = NOTIFY_FAILURE | NOTIFY_DELAY;
    return n->kind == NOTICE_VERIFY ||
        ((notify & NOTIFY_NEVER) == 0 &&
            (notify & wordings[n->kind].notify) != 0);
}

static bool
is_report(const struct notice *n)
{
    return n->kind == NOTICE_SUCCESS || n->kind == NOTICE_VERIFY;
}

static const char *
action_word(const struct notice *n, const struct rcpt_result *r)
{
    static const char *const sent[] = {
        [DSN_DELIVERED] = "delivered",
        [DSN_RELAYED] = "relayed",
        [DSN_EXPANDED] = "expanded",
    };

    if (envelope_is_probe(&n->envelope))
        return r->outcome == OUTCOME_SENT ? "deliverable" : "undeliverable";
    if (is_report(n) && r->outcome == OUTCOME_SENT)
        return sent[r->action];
    /* Of a report of sendmail -v it is the outcome that says. */
    return n->kind == NOTICE_DELAY || r->outcome == OUTCOME_DEFERRED ? "delayed"
                                                                     : "failed";
}

bool
report_returns_body(const struct report *r)
{
    const struct notice *n = r->n;

    if (n->is_damaged || (r->postmaster && n->envelope.sender.len > 0))
        return false;
    return n->kind == NOTICE_FAILURE && n->envelope.ret != RET_HDRS &&
        n->envelope.size <= (uint64_t)r->config->bounce_size_limit;
}

static const char *
id_text(const struct report *r, uint64_t id, char text[QUEUE_ID_SIZE])
{
    return queue_id_text(id, r->config->enable_long_queue_ids, text);
}

static void
add_address(struct slice address, struct buf *to)
{
    struct buf quoted;

    buf_init(&quoted, 8192);
    address_quote(address, &quoted);
    printable_add(buf_slice(&quoted), to);
    buf_fini(&quoted);
}

/* The sender where a place has to be filled: notices have none. */
static void
add_sender(const struct report *r, struct buf *to)
{
    if (r->n->envelope.sender.len > 0)
        add_address(r->n->envelope.sender, to);
    else
        buf_add_format(to, "MAILER-DAEMON@%s", r->config->myorigin);
}

static void
add_boundary(const struct report *r, struct buf *to)
{
    char text[QUEUE_ID_SIZE];

    buf_add_format(to, "%s.%lld/%s", id_text(r, r->n->envelope.id, text),
        (long long)r->now_s, r->config->myhostname);
}

static void
begin_part(const struct report *r, const char *description, const char *type,
    struct buf *to)
{
    buf_add_text(to, "\r\n--");
    add_boundary(r, to);
    buf_add_format(to, "\r\nContent-Description: %s\r\nContent-Type: %s\r\n",
        description, type);
}

static void
add_encoding(const struct report *r, struct buf *to)
{
    if ((r->n->envelope.flags & ENVELOPE_8BIT) != 0)
        buf_add_text(to, "Content-Transfer-Encoding: 8bit\r\n");
}

/* Text of the peer's in lines of bearable length, each begun with indent. */
static void
add_wrapped(struct slice text, size_t column, const char *indent,
    struct buf *to)
{
    struct slice word;
    bool first = true;

    while (slice_word(&text, " \t\r\n", &word)) {
        if (!first && column + 1 + word.len > WRAP_AT) {
            buf_add_text(to, "\r\n");
            buf_add_text(to, indent);
            column = strlen(indent);
        } else if (!first) {
            buf_add_octet(to, ' ');
            column++;
        }
        printable_add(word, to);
        column += word.len;
        first = false;
    }
    buf_add_text(to, "\r\n");
}

/* What went well, or was only tried, has the way that it went. */
static void
add_way(const struct report *r, const struct rcpt_result *result,
    struct buf *to)
{
    if (!is_report(r->n) || result->relay.len == 0)
        return;
    buf_add_text(to, "delivery via ");
    buf_add(to, result->relay);
    buf_add_text(to, ": ");
}

/* The text with the way before it. */
static void
add_outcome(const struct report *r, const struct rcpt_result *result,
    size_t column, struct buf *to)
{
    struct buf whole;

    buf_init(&whole, OUTCOME_MAX);
    add_way(r, result, &whole);
    buf_add(&whole, result->text);
    add_wrapped(buf_failed(&whole) ? result->text : buf_slice(&whole), column,
        "    ", to);
    buf_fini(&whole);
}

static void
add_header(const struct report *r, struct buf *to)
{
    const struct config *c = r->config;
    char text[QUEUE_ID_SIZE], date[DATE_SIZE];

    buf_add_format(to, "Date: %s\r\n", date_text(r->now_s, date));
    buf_add_format(to, "From: Mail Delivery System <MAILER-DAEMON@%s>\r\n",
        c->myorigin);
    buf_add_format(to, "Subject: %s\r\nTo: ",
        r->postmaster ? wordings[r->n->kind].copy_subject
                      : wordings[r->n->kind].subject);
    add_address(r->to, to);
    buf_add_format(to,
        "\r\nAuto-Submitted: %s\r\n"
        "MIME-Version: 1.0\r\n"
        "Content-Type: multipart/report; report-type=delivery-status;\r\n"
        "\tboundary=\"",
        r->postmaster ? "auto-generated" : "auto-replied");
    add_boundary(r, to);
    buf_add_text(to, "\"\r\n");
    add_encoding(r, to);
    buf_add_format(to, "Message-Id: <%s.%s@%s>\r\n",
        id_text(r, r->n->envelope.id, text),
        r->n->kind == NOTICE_DELAY ? "delay" : "report", c->myhostname);
}

static void
add_for_people(const struct report *r, struct buf *to)
{
    begin_part(r, "Notification", "text/plain; charset=utf-8", to);
    add_encoding(r, to);
    buf_add_text(to, "\r\n");
    if (!r->postmaster)
        buf_add_format(to, "This is the mail system at host %s.\r\n\r\n%s",
            r->config->myhostname, wordings[r->n->kind].text);
    if (r->n->is_damaged)
        buf_add_text(to,
            "\r\nYour message was damaged in our queue: what of it cannot be "
            "trusted is\r\nnot attached.\r\n");
    for (size_t i = 0; i < r->n->recipient_count; i++) {
        const struct notice_recipient *rcpt = &r->n->recipients[i];
        size_t start;

        if (!r->postmaster && !report_wants(r->n, rcpt))
            continue;
        buf_add_text(to, "\r\n");
        start = to->len;
        buf_add_octet(to, '<');
        add_address(rcpt->rcpt.address, to);
        buf_add_octet(to, '>');
        if (rcpt->rcpt.original.len > 0 &&
            !slice_eq(rcpt->rcpt.original, rcpt->rcpt.address)) {
            buf_add_text(to, " (expanded from <");
            add_address(rcpt->rcpt.original, to);
            buf_add_text(to, ">)");
        }
        buf_add_text(to, ": ");
        add_outcome(r, &rcpt->result, to->len - start, to);
    }
}

/* What an agent or a client said stays in its line. */
static void
add_line(struct buf *to, const char *name, struct slice text)
{
    buf_add_text(to, name);
    printable_add(text, to);
    buf_add_text(to, "\r\n");
}

static void
add_for_programs_of(const struct report *r, const struct notice_recipient *rcpt,
    struct buf *to)
{
    const struct rcpt_result *result = &rcpt->result;
    bool foreign = result->diagnostic.len > 0 &&
        result->diagnostic_type.len > 0;
    struct slice type = foreign ? result->diagnostic_type
                                : slice_of(r->config->mail_name);
    char date[DATE_SIZE];

    buf_add_text(to, "\r\nFinal-Recipient: rfc822; ");
    add_address(rcpt->rcpt.address, to);
    if (rcpt->rcpt.orcpt.len > 0) {
        buf_add_text(to, "\r\nOriginal-Recipient: ");
        printable_add(rcpt->rcpt.orcpt, to);
    } else if (rcpt->rcpt.original.len > 0) {
        buf_add_text(to, "\r\nOriginal-Recipient: rfc822;");
        add_address(rcpt->rcpt.original, to);
    }
    buf_add_format(to, "\r\nAction: %s\r\n", action_word(r->n, result));
    add_line(to, "Status: ", slice_of(result->status));
    if (result->remote.len > 0)
        add_line(to, "Remote-MTA: dns; ", result->remote);
    buf_add_text(to, foreign ? "Diagnostic-Code: " : "Diagnostic-Code: X-");
    printable_add(type, to);
    buf_add_text(to, "; ");
    if (result->diagnostic.len > 0)
        add_wrapped(result->diagnostic,
            sizeof("Diagnostic-Code: X-; ") + type.len, "    ", to);
    else
        add_outcome(r, result, sizeof("Diagnostic-Code: X-; ") + type.len, to);
    if (r->n->kind == NOTICE_DELAY)
        buf_add_format(to, "Will-Retry-Until: %s\r\n",
            date_text(r->n->will_retry_until_us / 1000000, date));
}

static void
add_for_programs(const struct report *r, struct buf *to)
{
    const struct envelope *env = &r->n->envelope;
    char text[QUEUE_ID_SIZE], date[DATE_SIZE];

    begin_part(r, "Delivery report", "message/delivery-status", to);
    buf_add_format(to, "\r\nReporting-MTA: dns; %s\r\n", r->config->myhostname);
    if (env->envid.len > 0)
        add_line(to, "Original-Envelope-Id: ", env->envid);
    buf_add_format(to, "X-%s-Queue-ID: %s\r\n", r->config->mail_name,
        id_text(r, env->id, text));
    buf_add_format(to, "X-%s-Sender: rfc822; ", r->config->mail_name);
    add_sender(r, to);
    buf_add_format(to, "\r\nArrival-Date: %s\r\n",
        date_text(env->arrival_us / 1000000, date));
    for (size_t i = 0; i < r->n->recipient_count; i++)
        if (r->postmaster || report_wants(r->n, &r->n->recipients[i]))
            add_for_programs_of(r, &r->n->recipients[i], to);
}

void
report_begin(const struct report *r, struct buf *to)
{
    bool whole = report_returns_body(r);
    char name[64];

    (void)snprintf(name, sizeof(name), "%s%s", wordings[r->n->kind].returned,
        whole ? "" : " Headers");
    add_header(r, to);
    buf_add_text(to, "\r\nThis is a MIME message with a delivery report.\r\n");
    add_for_people(r, to);
    add_for_programs(r, to);
    begin_part(r, name, whole ? "message/rfc822" : "text/rfc822-headers", to);
    add_encoding(r, to);
    buf_add_text(to, "\r\nReturn-Path: <");
    add_sender(r, to);
    buf_add_text(to, ">\r\n");
}

void
report_end(const struct report *r, struct buf *to)
{
    buf_add_text(to, "\r\n--");
    add_boundary(r, to);
    buf_add_text(to, "--\r\n");
}
