#include "smtpd/reply_footer.h"

#include "lib/base/log.h"
#include "lib/base/printable.h"
#include "lib/mail/status.h"
#include "smtpd/attribute.h"
#include "smtpd/session.h"

bool
reply_has_footer(const struct session *s)
{
    return s->profile->reject_filter != NULL ||
        s->profile->reject_footers != NULL ||
        s->config->smtpd_reject_footer[0] != '\0';
}

static bool
is_refusal(struct slice reply)
{
    return reply.len > 4 && (reply.ptr[0] == '4' || reply.ptr[0] == '5') &&
        reply.ptr[1] >= '0' && reply.ptr[1] <= '9' && reply.ptr[2] >= '0' &&
        reply.ptr[2] <= '9' && reply.ptr[3] == ' ';
}

static enum table_status
find(struct session *s, struct table_list *list, struct slice reply,
    struct buf *value)
{
    enum table_status status;
    struct why why;

    if (list == NULL)
        return TABLE_NOT_FOUND;
    status = table_list_find(list, reply, value, &why);
    if (status == TABLE_ERROR)
        log_write(LOG_LEVEL_WARNING, s->profile->tag, "%s", why.text);
    return status;
}

/* A refusal stays one, whatever the table makes of it. */
static struct slice
filter(struct session *s, struct slice reply, struct buf *value)
{
    struct slice other;

    if (find(s, s->profile->reject_filter, reply, value) != TABLE_FOUND)
        return reply;
    other = slice_head(slice_trim(buf_slice(value)), REPLY_MAX / 2);
    if (is_refusal(other))
        return other;
    log_write(LOG_LEVEL_WARNING, s->profile->tag,
        "smtpd_reject_filter_maps: bad result \"" SLICE_FMT
        "\" for \"" SLICE_FMT "\"",
        SLICE_ARG(other), SLICE_ARG(reply));
    return reply;
}

/* Names in the template */

struct expansion {
    const struct session *s;
    struct buf value;
    bool unknown;
};

static const char *
value_of(void *context, struct slice name)
{
    struct expansion *e = context;

    buf_clear(&e->value);
    if (attribute_find(e->s, name, &e->value))
        return buf_text(&e->value);
    log_write(LOG_LEVEL_WARNING, e->s->profile->tag,
        "unknown macro name \"" SLICE_FMT "\" in expansion request",
        SLICE_ARG(name));
    return "";
}

static bool
expand(const struct session *s, const char *template, struct buf *to)
{
    struct expansion e = { .s = s };
    enum result res;
    struct why why;

    buf_init(&e.value, ATTRIBUTE_MAX);
    res = config_expand_once(slice_of(template), value_of, &e, to, &why);
    buf_fini(&e.value);
    if (res == RESULT_OK)
        return true;
    log_write(LOG_LEVEL_WARNING, s->profile->tag, "bad footer: %s: %s",
        template, why.text);
    return false;
}

/* Lines */

/* front is "550" and, where there is one, "5.1.1 ". */
static void
add_line(struct slice front, struct slice line, bool last, struct buf *to)
{
    buf_add(to, slice_head(front, 3));
    buf_add_octet(to, last ? ' ' : '-');
    buf_add(to, slice_skip(front, 4));
    printable_add(line, to);
    buf_add_text(to, "\r\n");
}

/* "\n" in text, as two characters, ends a line. */
static void
add_lines(struct slice front, struct slice text, struct buf *to)
{
    size_t i = 0;

    while (i + 1 < text.len) {
        if (text.ptr[i] == '\\' && text.ptr[i + 1] == 'n') {
            add_line(front, slice_head(text, i), false, to);
            text = slice_skip(text, i + 2);
            i = 0;
        } else {
            i++;
        }
    }
    add_line(front, text, true, to);
}

/* "550 5.1.1 " of "550 5.1.1 text" */
static struct slice
front_of(struct slice reply)
{
    char status[STATUS_SIZE];
    struct slice text = status_split(slice_skip(reply, 4), "0", status);

    return status[1] == '\0' ? slice_head(reply, 4)
                             : slice_head(reply, reply.len - text.len);
}

/* "\c" in front of a footer: it goes on in the reply's own line. */
static void
join(struct slice reply, struct slice footer, struct buf *to)
{
    struct slice front = front_of(reply);
    struct buf text;

    buf_init(&text, REPLY_MAX);
    buf_add(&text, slice_skip(reply, front.len));
    if (slice_starts(footer, SLICE_LIT("\\c"))) {
        buf_add(&text, slice_skip(footer, 2));
    } else if (footer.len > 0) {
        buf_add_text(&text, "\\n");
        buf_add(&text, footer);
    }
    add_lines(front, buf_slice(&text), to);
    buf_fini(&text);
}

void
reply_add_footer(struct session *s, struct slice reply, struct buf *to)
{
    struct buf filtered, found, footer;
    const char *template = s->config->smtpd_reject_footer;

    buf_init(&filtered, REPLY_MAX);
    buf_init(&found, REPLY_MAX);
    buf_init(&footer, REPLY_MAX);
    reply = filter(s, reply, &filtered);
    if (find(s, s->profile->reject_footers, reply, &found) == TABLE_FOUND)
        template = buf_text(&found);
    if (!expand(s, template, &footer))
        buf_clear(&footer);
    join(reply, buf_slice(&footer), to);
    buf_fini(&filtered);
    buf_fini(&found);
    buf_fini(&footer);
}
