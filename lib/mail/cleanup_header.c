/*
 * cleanup_header - what clean-up does with each field, and the fields that it
 * adds.
 */
#include "lib/base/log.h"
#include "lib/mail/address.h"
#include "lib/mail/cleanup_state.h"
#include "lib/mail/date.h"
#include "lib/mail/header.h"
#include "lib/mail/rewrite.h"

#include <stdio.h>
#include <time.h>

enum { MESSAGE_ID_MAX = 998 }; /* octets kept: RFC 5322 section 2.1.1 */

static const struct {
    const char *name;
    enum field field;
    bool addresses; /* rewritten to standard form */
} fields[] = {
    { "Received", FIELD_RECEIVED, false },
    { "To", FIELD_TO, true },
    { "Cc", FIELD_CC, true },
    { "Bcc", FIELD_BCC, true },
    { "From", FIELD_FROM, true },
    { "Date", FIELD_DATE, false },
    { "Sender", FIELD_SENDER, true },
    { "Message-ID", FIELD_MESSAGE_ID, false },
    { "Reply-To", FIELD_SENDER, true },
    { "Errors-To", FIELD_SENDER, true },
    { "Return-Receipt-To", FIELD_SENDER, true },
    { "Disposition-Notification-To", FIELD_SENDER, true },
    { "Apparently-To", FIELD_OTHER, true },
    { "Resent-To", FIELD_RESENT_TO, true },
    { "Resent-Cc", FIELD_RESENT_CC, true },
    { "Resent-Bcc", FIELD_RESENT_BCC, true },
    { "Resent-From", FIELD_RESENT_FROM, true },
    { "Resent-Date", FIELD_RESENT_DATE, false },
    { "Resent-Sender", FIELD_RESENT_SENDER, true },
    { "Resent-Reply-To", FIELD_RESENT_SENDER, true },
    { "Resent-Message-ID", FIELD_RESENT_MESSAGE_ID, false },
};

enum { KNOWN_COUNT = sizeof(fields) / sizeof(fields[0]) };

/* The place in fields[], or KNOWN_COUNT. */
static size_t
find_known(struct slice name)
{
    size_t i;

    for (i = 0; i < KNOWN_COUNT; i++)
        if (slice_eq_nocase(name, slice_of(fields[i].name)))
            break;
    return i;
}

static bool
is_dropped(const struct cleanup *c, struct slice name)
{
    for (size_t i = 0; i < c->profile->drop_count; i++)
        if (slice_eq_nocase(name, c->profile->drop[i]))
            return true;
    return false;
}

static bool
was_seen(const struct cleanup *c, enum field field)
{
    return (c->seen & (1U << field)) != 0;
}

static bool
is_resent(const struct cleanup *c)
{
    static const enum field resent[] = { FIELD_RESENT_BCC, FIELD_RESENT_CC,
        FIELD_RESENT_DATE, FIELD_RESENT_FROM, FIELD_RESENT_MESSAGE_ID,
        FIELD_RESENT_TO, FIELD_RESENT_SENDER };

    for (size_t i = 0; i < sizeof(resent) / sizeof(resent[0]); i++)
        if (was_seen(c, resent[i]))
            return true;
    return c->options.resent;
}

static void
count_hop(struct cleanup *c)
{
    struct why why;

    if (++c->env.hops >= (uint64_t)c->config->hopcount_limit)
        cleanup_fail(c, why_perm(&why, "5.4.0", "Error: too many hops"), &why);
}

static void
note_message_id(struct cleanup *c, const char *label, struct slice value)
{
    struct why why;

    log_write(LOG_LEVEL_INFO, c->profile->tag, "%s: %s=" SLICE_FMT, c->id,
        label, SLICE_ARG(slice_head(value, LOG_TEXT_MAX)));
    if (c->env.message_id.len == 0 &&
        !arena_slice(c->arena, slice_head(value, MESSAGE_ID_MAX),
            &c->env.message_id))
        cleanup_fail(c, why_temp(&why, "4.3.1", "message is too complex"),
            &why);
}

/* Which addresses are completed, and with what (ADDRESS_REWRITING_README). */
static enum rewrite_context
context_of(const struct cleanup *c)
{
    if (c->options.own_client)
        return REWRITE_LOCAL;
    if (c->profile->rewrite_config->remote_header_rewrite_domain[0] != '\0')
        return REWRITE_REMOTE;
    return REWRITE_NONE;
}

/*
 * The addresses of a field to standard form; the text between them stays as it
 * is. An address that needs nothing is left as it was written.
 */
static void
rewrite_addresses(struct cleanup *c, struct slice value)
{
    struct header_addresses list;
    struct slice raw, standard;
    size_t copied = 0; /* of value into c->value */
    struct why why;

    buf_clear(&c->value);
    header_addresses_init(&list, value,
        (unsigned)c->config->header_address_token_limit);
    while (header_addresses_next(&list, &c->address, &raw)) {
        struct slice address = buf_slice(&c->address);
        size_t at = (size_t)(raw.ptr - value.ptr);

        if (rewrite_address(c->profile->rewrite_config, context_of(c), address,
                c->arena, &standard, &why) != RESULT_OK)
            break;
        if (standard.ptr == address.ptr || address.len == 0)
            continue;
        buf_add(&c->value, slice_skip(slice_head(value, at), copied));
        address_quote(standard, &c->value);
        copied = at + raw.len;
    }
    if (copied == 0)
        return;
    buf_add(&c->value, slice_skip(value, copied));
    buf_truncate(&c->header, (size_t)(value.ptr - c->header.ptr));
    buf_add(&c->header, buf_slice(&c->value));
    buf_add(&c->header, SLICE_LIT("\r\n"));
}

void
cleanup_field(struct cleanup *c)
{
    struct slice rest = slice_skip(buf_slice(&c->header), c->field_start);
    struct header_field f;
    size_t known;

    if (!header_next(&rest, &f))
        return;
    known = find_known(f.name);
    if (known < KNOWN_COUNT) {
        enum field field = fields[known].field;

        c->seen |= 1U << field;
        if (field == FIELD_RECEIVED)
            count_hop(c);
        else if (field == FIELD_MESSAGE_ID)
            note_message_id(c, "message-id", f.value);
        else if (field == FIELD_RESENT_MESSAGE_ID)
            note_message_id(c, "resent-message-id", f.value);
    }
    if (is_dropped(c, f.name))
        buf_truncate(&c->header, c->field_start);
    else if (known < KNOWN_COUNT && fields[known].addresses &&
        context_of(c) != REWRITE_NONE)
        rewrite_addresses(c, f.value);
}

static void
add_message_id(struct cleanup *c, const char *resent)
{
    enum { STAMP_MAX = 32, ID_MAX = 512 };
    char stamp[STAMP_MAX], id[ID_MAX];
    time_t when = (time_t)(c->env.arrival_us / 1000000);
    struct tm tm;

    gmtime_r(&when, &tm);
    (void)strftime(stamp, sizeof(stamp), "%Y%m%d%H%M%S", &tm);
    /* A long queue id is unique by itself. */
    if (c->config->enable_long_queue_ids)
        (void)snprintf(id, sizeof(id), "<%s@%s>", c->id, c->config->myhostname);
    else
        (void)snprintf(id, sizeof(id), "<%s.%s@%s>", stamp, c->id,
            c->config->myhostname);
    buf_add_format(&c->header, "%sMessage-Id: %s\r\n", resent, id);
    note_message_id(c, resent[0] ? "resent-message-id" : "message-id",
        slice_of(id));
    c->seen |= 1U << (resent[0] ? FIELD_RESENT_MESSAGE_ID : FIELD_MESSAGE_ID);
}

static void
add_date(struct cleanup *c, const char *resent)
{
    char date[DATE_SIZE];

    buf_add_format(&c->header, "%sDate: %s\r\n", resent,
        date_text(c->env.arrival_us / 1000000, date));
}

/* A display name: quoted unless it is words of plain letters. */
static void
add_phrase(struct buf *to, struct slice name)
{
    bool plain = true;

    for (size_t i = 0; i < name.len; i++)
        if (strchr("()<>[]:;@\\,.\"", name.ptr[i]) != NULL)
            plain = false;
    if (plain) {
        buf_add(to, name);
        return;
    }
    buf_add_octet(to, '"');
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '"' || name.ptr[i] == '\\')
            buf_add_octet(to, '\\');
        buf_add_octet(to, (unsigned char)name.ptr[i]);
    }
    buf_add_octet(to, '"');
}

/* Control characters in a name from the command line would end the field. */
static bool
is_printable(struct slice name)
{
    for (size_t i = 0; i < name.len; i++)
        if ((unsigned char)name.ptr[i] < ' ' || name.ptr[i] == 127)
            return false;
    return name.len > 0;
}

static void
add_from(struct cleanup *c, const char *resent)
{
    const bool obsolete = strcmp(c->config->header_from_format, "obsolete") ==
        0;
    const bool named = is_printable(c->env.sender_name);
    struct slice sender = c->env.sender, standard;
    struct why why;

    if (sender.len == 0)
        standard = SLICE_LIT("MAILER-DAEMON");
    else if (rewrite_address(c->profile->rewrite_config, REWRITE_LOCAL, sender,
                 c->arena, &standard, &why) != RESULT_OK) {
        cleanup_fail(c, RESULT_TEMPFAIL, &why);
        return;
    }
    buf_add_format(&c->header, "%sFrom: ", resent);
    if (named && !obsolete) {
        add_phrase(&c->header, c->env.sender_name);
        buf_add_text(&c->header, " <");
        address_quote(standard, &c->header);
        buf_add_text(&c->header, ">");
    } else {
        address_quote(standard, &c->header);
        if (named)
            buf_add_format(&c->header, " (" SLICE_FMT ")",
                SLICE_ARG(c->env.sender_name));
    }
    buf_add_text(&c->header, "\r\n");
}

static void
add_missing(struct cleanup *c)
{
    const bool resent = is_resent(c);
    const char *prefix = resent ? "Resent-" : "";
    const char *undisclosed = c->config->undisclosed_recipients_header;
    const struct {
        enum field plain, resent;
        void (*add)(struct cleanup *c, const char *prefix);
    } wanted[] = {
        { FIELD_MESSAGE_ID, FIELD_RESENT_MESSAGE_ID, add_message_id },
        { FIELD_DATE, FIELD_RESENT_DATE, add_date },
        { FIELD_FROM, FIELD_RESENT_FROM, add_from },
    };

    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        if (!was_seen(c, resent ? wanted[i].resent : wanted[i].plain))
            wanted[i].add(c, prefix);
    if (undisclosed[0] != '\0' && !was_seen(c, FIELD_TO) &&
        !was_seen(c, FIELD_CC) && !was_seen(c, FIELD_RESENT_TO) &&
        !was_seen(c, FIELD_RESENT_CC))
        buf_add_format(&c->header, "%s\r\n", undisclosed);
}

void
cleanup_complete_header(struct cleanup *c)
{
    struct why why;

    if (c->options.own_client || c->config->always_add_missing_headers)
        add_missing(c);
    if (!was_seen(c, FIELD_MESSAGE_ID))
        log_write(LOG_LEVEL_INFO, c->profile->tag, "%s: message-id=<>", c->id);
    if (buf_failed(&c->header))
        cleanup_fail(c,
            why_perm(&why, "5.3.4", "Error: message header too big"), &why);
}
