#include "smtpd/keyword.h"

#include "lib/base/log.h"
#include "smtpd/reply.h"
#include "smtpd/session.h"
#include "smtpd/xattribute.h"

enum { LINE_MAX_OCTETS = 512 }; /* RFC 5321 section 4.5.3.1.5 */

/* What is behind a keyword; false: it is not offered. */
typedef bool (*value_fn)(const struct session *s, struct buf *to);

static bool
no_value(const struct session *s, struct buf *to)
{
    (void)s;
    (void)to;
    return true;
}

static bool
size_value(const struct session *s, struct buf *to)
{
    if (s->config->message_size_limit > 0)
        buf_add_format(to, " %jd", (intmax_t)s->config->message_size_limit);
    return true;
}

static bool
vrfy_value(const struct session *s, struct buf *to)
{
    (void)to;
    return !s->config->disable_vrfy_command;
}

static bool
etrn_value(const struct session *s, struct buf *to)
{
    (void)to;
    return !s->profile->stand_alone;
}

static bool
xclient_value(const struct session *s, struct buf *to)
{
    buf_add_format(to, " %s", xclient_attributes);
    return s->may_xclient;
}

static bool
xforward_value(const struct session *s, struct buf *to)
{
    buf_add_format(to, " %s", xforward_attributes);
    return s->may_xforward;
}

static bool
smtputf8_value(const struct session *s, struct buf *to)
{
    (void)to;
    return s->config->smtputf8_enable;
}

/* RFC 9422: what smtpd_recipient_limit will refuse. */
static bool
limits_value(const struct session *s, struct buf *to)
{
    buf_add_format(to, " RCPTMAX=%jd",
        (intmax_t)s->config->smtpd_recipient_limit);
    return true;
}

/* In the order of the reply. */
static const struct keyword {
    const char *name;
    enum keyword_bit bit;
    value_fn value; /* NULL: never offered, but there is such a name */
} keywords[] = {
    { "PIPELINING", KEYWORD_PIPELINING, no_value },
    { "SIZE", KEYWORD_SIZE, size_value },
    { "VRFY", KEYWORD_VRFY, vrfy_value },
    { "ETRN", KEYWORD_ETRN, etrn_value },
    { "STARTTLS", KEYWORD_STARTTLS, NULL },
    { "AUTH", KEYWORD_AUTH, NULL },
    { "XCLIENT", KEYWORD_XCLIENT, xclient_value },
    { "XFORWARD", KEYWORD_XFORWARD, xforward_value },
    { "VERP", KEYWORD_VERP, NULL },
    { "ENHANCEDSTATUSCODES", KEYWORD_ENHANCEDSTATUSCODES, no_value },
    { "8BITMIME", KEYWORD_8BITMIME, no_value },
    { "DSN", KEYWORD_DSN, no_value },
    { "SMTPUTF8", KEYWORD_SMTPUTF8, smtputf8_value },
    { "CHUNKING", KEYWORD_CHUNKING, no_value },
    { "BINARYMIME", KEYWORD_BINARYMIME, no_value },
    { "LIMITS", KEYWORD_LIMITS, limits_value },
};

enum { KEYWORDS = sizeof(keywords) / sizeof(keywords[0]) };

bool
keyword_is_discarded(const struct session *s, enum keyword_bit k)
{
    return (s->discarded & k) != 0;
}

/* A list of names as bits. */
static unsigned
parse(const struct session *s, const char *text, bool *silent)
{
    struct slice rest = slice_of(text), word;
    unsigned bits = 0;

    *silent = false;
    while (config_list_next(&rest, &word)) {
        size_t i = 0;

        while (
            i < KEYWORDS && !slice_eq_nocase(word, slice_of(keywords[i].name)))
            i++;
        if (i < KEYWORDS)
            bits |= keywords[i].bit;
        else if (slice_eq_nocase(word, SLICE_LIT("silent-discard")))
            *silent = true;
        else
            log_write(LOG_LEVEL_WARNING, s->profile->tag,
                "unknown EHLO keyword in discard list: " SLICE_FMT,
                SLICE_ARG(word));
    }
    return bits;
}

static void
log_discarded(const struct session *s, unsigned listed)
{
    struct buf names;

    buf_init(&names, LINE_MAX_OCTETS);
    for (enum keyword_bit k = 1; k <= KEYWORD_LAST; k <<= 1)
        for (size_t i = 0; i < KEYWORDS; i++)
            if (keywords[i].bit == k && (listed & k) != 0)
                buf_add_format(&names, " %s", keywords[i].name);
    log_write(LOG_LEVEL_INFO, s->profile->tag, "discarding EHLO keywords:%s",
        buf_text(&names));
    buf_fini(&names);
}

/* By the client's address where a table has it, else for all. */
static unsigned
listed_for(const struct session *s, bool *silent)
{
    const char *list = s->config->smtpd_discard_ehlo_keywords;
    struct buf value;
    unsigned listed;
    struct why why;

    buf_init(&value, TABLE_KEY_MAX);
    if (s->profile->discard_keywords != NULL)
        switch (table_list_find(s->profile->discard_keywords,
            slice_of(s->peer.addr), &value, &why)) {
        case TABLE_FOUND:
            list = buf_text(&value);
            break;
        case TABLE_NOT_FOUND:
            break;
        case TABLE_ERROR:
            log_write(LOG_LEVEL_WARNING, s->profile->tag, "%s", why.text);
            break;
        }
    listed = parse(s, list, silent);
    buf_fini(&value);
    return listed;
}

static void
discard(struct session *s, unsigned listed)
{
    s->discarded = listed;
    /* Under test nobody may send ahead. */
    if (s->screening != NULL)
        s->discarded |= KEYWORD_PIPELINING | KEYWORD_CHUNKING;
    if (keyword_is_discarded(s, KEYWORD_CHUNKING))
        s->discarded |= KEYWORD_BINARYMIME;
}

void
keywords_choose(struct session *s)
{
    bool silent;

    discard(s, listed_for(s, &silent));
}

/* Each line is said when the next is known: only the last ends the reply. */
void
keywords_announce(struct session *s)
{
    struct buf line, next;
    bool silent;
    unsigned listed = listed_for(s, &silent);

    if (listed != 0 && !silent)
        log_discarded(s, listed);
    discard(s, listed);
    buf_init(&line, LINE_MAX_OCTETS);
    buf_init(&next, LINE_MAX_OCTETS);
    buf_add_text(&line, s->config->myhostname);
    for (size_t i = 0; i < KEYWORDS; i++) {
        buf_clear(&next);
        buf_add_text(&next, keywords[i].name);
        if (keywords[i].value == NULL || !keywords[i].value(s, &next) ||
            keyword_is_discarded(s, keywords[i].bit))
            continue;
        reply_more(s, 250, "%s", buf_text(&line));
        buf_clear(&line);
        buf_add(&line, buf_slice(&next));
    }
    reply(s, 250, "%s", buf_text(&line));
    buf_fini(&line);
    buf_fini(&next);
}
