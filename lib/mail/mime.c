#include "lib/mail/mime.h"

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/mail/header.h"
#include "lib/mail/mime_type.h"

#include <stdbool.h>

enum { LEVELS_FIRST = 4 };

/* A multipart that is open. */
struct level {
    struct buf boundary;
    bool digest; /* its parts are messages unless they say otherwise */
};

struct mime {
    struct mime_options options;
    struct mime_entity entity; /* the innermost */
    struct mime_type type;     /* what its header says so far */

    /* Which octets are next. */
    enum place {
        PLACE_HEADER,
        PLACE_FIELD_REST,     /* of a line that is too long to be kept */
        PLACE_LINE,           /* inside a line of a body */
        PLACE_CR,             /* behind a CR there, which is held */
        PLACE_LINE_START,     /* of a body; the line end in front is held */
        PLACE_DELIMITER_REST, /* of its line */
    } place;
    bool top;   /* at the first line, which may be a mailbox's */
    bool frame; /* the body is what is around the parts of a multipart */

    struct buf field; /* lines of a field; from line_at on the newest one */
    size_t line_at;
    bool in_field; /* it may be continued */
    bool cut;      /* its beginning was given away */

    struct buf again; /* a line that ended a header, and is to be looked at */

    struct buf held; /* a line end, and what may be a delimiter behind it */
    size_t held_end; /* octets of the line end */

    struct level *levels;
    size_t depth, room; /* levels that are open; and that there is room for */
    bool closing;       /* the delimiter at hand is its multipart's last */
    bool too_deep;      /* all is over */
};

static void
give(struct mime *m, enum mime_piece piece, struct slice octets)
{
    if (octets.len > 0 || piece == MIME_HEADER_END || piece == MIME_BODY_END)
        m->options.piece(m->options.context, piece, &m->entity, octets);
}

/* Multiparts that are open */

static void
pop(struct mime *m)
{
    buf_fini(&m->levels[--m->depth].boundary);
}

static bool
push(struct mime *m)
{
    struct level *l;

    if (m->depth == m->options.nesting_max) {
        m->too_deep = true;
        return false;
    }
    if (m->depth == m->room) {
        m->room = m->room == 0 ? LEVELS_FIRST : 2 * m->room;
        m->levels = mem_resize(m->levels, m->room * sizeof(m->levels[0]));
    }
    l = &m->levels[m->depth];
    buf_init(&l->boundary, m->options.boundary_max);
    buf_add(&l->boundary, buf_slice(&m->type.boundary));
    l->digest = m->type.digest;
    m->depth++;
    return true;
}

/* Which one the line delimits, counted from 1; 0: none. */
static size_t
find_level(const struct mime *m, struct slice line)
{
    size_t found = 0, longest = 0;

    if (!slice_starts(line, SLICE_LIT("--")))
        return 0;
    line = slice_skip(line, 2);
    for (size_t i = m->depth; i > 0; i--) {
        struct slice boundary = buf_slice(&m->levels[i - 1].boundary);

        if (boundary.len > longest && slice_starts(line, boundary)) {
            found = i;
            longest = boundary.len;
        }
    }
    return found;
}

/* Headers */

static void
begin_header(struct mime *m, bool in_digest)
{
    mime_type_clear(&m->type, in_digest);
    m->entity = (struct mime_entity){ MIME_LEAF, MIME_7BIT };
    buf_clear(&m->field);
    m->line_at = 0;
    m->in_field = m->cut = false;
    m->place = PLACE_HEADER;
}

/* The header was read, and blank, maybe nothing, ends it. */
static void
end_header(struct mime *m, enum mime_kind kind, struct slice blank)
{
    m->entity.kind = kind;
    m->frame = kind == MIME_MULTIPART;
    m->place = PLACE_LINE_START;
    buf_clear(&m->held);
    m->held_end = 0;
    if (m->frame && !push(m))
        return;
    give(m, MIME_HEADER_END, blank);
    if (kind == MIME_MESSAGE)
        begin_header(m, false);
}

/* The lines in front of the newest one are a field, or the rest of one. */
static void
end_field(struct mime *m)
{
    struct slice field = slice_head(buf_slice(&m->field), m->line_at);
    struct slice rest = field;
    struct header_field f;

    if (!m->cut && header_next(&rest, &f)) {
        mime_type_read(&m->type, &f);
        m->entity.encoding = m->type.encoding;
    }
    give(m, m->cut ? MIME_FIELD_REST : MIME_FIELD, field);
    buf_consume(&m->field, m->line_at);
    m->line_at = 0;
    m->cut = false;
}

/* A part's header, or the rest of what is around the parts. */
static void
leave_delimiter(struct mime *m)
{
    if (!m->closing) {
        begin_header(m, m->levels[m->depth - 1].digest);
        return;
    }
    pop(m);
    m->frame = true;
    m->place = PLACE_LINE_START;
}

/*
 * line begins a delimiter, and is as long as need be to know its end; end is the
 * line end in front, which belongs to it.
 */
static void
take_delimiter(struct mime *m, size_t level, struct slice end,
    struct slice line)
{
    const struct slice dashes = SLICE_LIT("--");

    if (!m->frame)
        give(m, MIME_BODY_END, (struct slice){ 0 });
    while (m->depth > level)
        pop(m);
    m->closing =
        slice_starts(slice_skip(line, 2 + m->levels[level - 1].boundary.len),
            dashes);
    give(m, MIME_FRAME, end);
    give(m, MIME_FRAME, line);
    m->place = PLACE_DELIMITER_REST;
    if (line.ptr[line.len - 1] == '\n')
        leave_delimiter(m);
}

/* A line that begins a field; at the top also that of a mailbox. */
static bool
begins_field(const struct mime *m, struct slice line)
{
    if (header_name_length(line) > 0)
        return true;
    while (m->top && line.len > 0 && line.ptr[0] == '>')
        line = slice_skip(line, 1);
    return m->top && slice_starts(line, SLICE_LIT("From "));
}

static bool
is_fold(const struct mime *m, struct slice line)
{
    return m->in_field && line.len > 0 &&
        (line.ptr[0] == ' ' || line.ptr[0] == '\t');
}

/*
 * The header ends at the newest line, which is of the body already, or a
 * delimiter, or the empty one in between.
 */
static void
leave_header(struct mime *m, size_t level)
{
    enum mime_kind kind = mime_type_kind(&m->type);
    struct buf line;

    buf_init(&line, m->field.len);
    buf_add(&line, buf_slice(&m->field));
    buf_clear(&m->field);
    if (level > 0) {
        end_header(m, MIME_LEAF, (struct slice){ 0 });
        take_delimiter(m, level, (struct slice){ 0 }, buf_slice(&line));
    } else if (slice_without_line_end(buf_slice(&line)).len == 0) {
        end_header(m, kind, buf_slice(&line));
    } else {
        end_header(m, kind, (struct slice){ 0 });
        buf_add(&m->again, buf_slice(&line));
    }
    buf_fini(&line);
}

/* The newest line is there, or as much of it as is kept. */
static void
take_header_line(struct mime *m, bool whole)
{
    struct slice line = slice_skip(buf_slice(&m->field), m->line_at);
    struct slice text = slice_without_line_end(line);
    size_t level = find_level(m, text);
    bool fold = is_fold(m, text), begins = begins_field(m, text);

    if (fold && m->field.len > m->options.field_max) {
        end_field(m);
        m->cut = true;
    }
    if (!fold) {
        end_field(m);
        if (level > 0 || !begins) {
            leave_header(m, level);
            return;
        }
    }
    m->top = false;
    m->in_field = true;
    m->line_at = m->field.len;
    if (!whole) {
        end_field(m);
        m->cut = true;
        m->place = PLACE_FIELD_REST;
    }
}

/* The octets that were taken of in; likewise below. */
static size_t
take_header(struct mime *m, struct slice in)
{
    size_t room = m->options.field_max - (m->field.len - m->line_at);
    size_t n = slice_find(in, '\n');
    bool whole = n < in.len;

    if (whole)
        n++;
    if (n > room) {
        n = room;
        whole = false;
    }
    buf_add(&m->field, slice_head(in, n));
    if (whole || n == room)
        take_header_line(m, whole);
    return n;
}

static size_t
take_field_rest(struct mime *m, struct slice in)
{
    size_t n = slice_find(in, '\n');

    if (n < in.len) {
        n++;
        m->place = PLACE_HEADER;
    }
    give(m, MIME_FIELD_REST, slice_head(in, n));
    return n;
}

/* Bodies, and what is around parts */

static void
give_body(struct mime *m, struct slice octets)
{
    give(m, m->frame ? MIME_FRAME : MIME_BODY, octets);
}

/* What was held is no delimiter. */
static void
release(struct mime *m)
{
    give_body(m, buf_slice(&m->held));
    buf_clear(&m->held);
    m->held_end = 0;
    m->place = PLACE_LINE;
}

/* How many octets at the end may be the beginning of CR LF "--". */
static size_t
tail_length(struct slice in)
{
    size_t n = in.len;

    if (n > 0 && in.ptr[n - 1] == '-')
        n--;
    if (n > 0 && in.ptr[n - 1] == '\n') {
        n--;
        return in.len - (n > 0 && in.ptr[n - 1] == '\r' ? n - 1 : n);
    }
    return in.len > 0 && in.ptr[in.len - 1] == '\r' ? 1 : 0;
}

/* Many lines in one go, up to one that begins with "--". */
static size_t
take_lines(struct mime *m, struct slice in)
{
    const char *hit = memmem(in.ptr, in.len, "\n--", 3);
    size_t n = hit == NULL ? in.len - tail_length(in) : (size_t)(hit - in.ptr);

    if (hit != NULL && n > 0 && in.ptr[n - 1] == '\r')
        n--;
    if (n > 0) {
        give_body(m, slice_head(in, n));
        return n;
    }
    buf_add(&m->held, slice_head(in, 1));
    m->held_end = 1;
    m->place = in.ptr[0] == '\r' ? PLACE_CR : PLACE_LINE_START;
    return 1;
}

static size_t
take_after_cr(struct mime *m, struct slice in)
{
    if (in.ptr[0] != '\n') {
        release(m);
        return 0;
    }
    buf_add_octet(&m->held, '\n');
    m->held_end++;
    m->place = PLACE_LINE_START;
    return 1;
}

/* The line that is held is as long as need be to know what it is. */
static void
judge(struct mime *m)
{
    struct slice held = buf_slice(&m->held);
    struct slice line = slice_skip(held, m->held_end);
    size_t level = find_level(m, line);

    if (level == 0) {
        release(m);
        return;
    }
    take_delimiter(m, level, slice_head(held, m->held_end), line);
    buf_clear(&m->held);
    m->held_end = 0;
}

/* Two dashes, the longest boundary, and two dashes. */
static size_t
line_max(const struct mime *m)
{
    return 2 + m->options.boundary_max + 2;
}

/* At the start of a line, which is held as long as it may be a delimiter. */
static size_t
take_line_start(struct mime *m, struct slice in)
{
    size_t len = m->held.len - m->held_end, n = 0;

    while (n < in.len && len < line_max(m) && in.ptr[n] != '\r' &&
        in.ptr[n] != '\n' && (len >= 2 || in.ptr[n] == '-')) {
        n++;
        len++;
    }
    buf_add(&m->held, slice_head(in, n));
    if (n < in.len || len == line_max(m))
        judge(m);
    return n;
}

static size_t
take_delimiter_rest(struct mime *m, struct slice in)
{
    size_t n = slice_find(in, '\n');
    bool whole = n < in.len;

    if (whole)
        n++;
    give(m, MIME_FRAME, slice_head(in, n));
    if (whole)
        leave_delimiter(m);
    return n;
}

static size_t
take_some(struct mime *m, struct slice in)
{
    switch (m->place) {
    case PLACE_HEADER:
        return take_header(m, in);
    case PLACE_FIELD_REST:
        return take_field_rest(m, in);
    case PLACE_LINE:
        return take_lines(m, in);
    case PLACE_CR:
        return take_after_cr(m, in);
    case PLACE_LINE_START:
        return take_line_start(m, in);
    case PLACE_DELIMITER_REST:
        break;
    }
    return take_delimiter_rest(m, in);
}

static size_t
step(struct mime *m, struct slice in)
{
    if (m->depth > 0 || m->place < PLACE_LINE)
        return take_some(m, in);
    /* Nothing can end the body any more. */
    release(m);
    give_body(m, in);
    return in.len;
}

/*
 * Lines that ended a header by not being of one: each is looked at as the next
 * part of the message, once, since no header begins with it.
 */
static void
take_again(struct mime *m)
{
    while (m->again.len > 0 && !m->too_deep) {
        struct buf line = m->again;

        buf_init(&m->again, line.ceiling);
        for (struct slice rest = buf_slice(&line);
             rest.len > 0 && !m->too_deep;)
            rest = slice_skip(rest, step(m, rest));
        buf_fini(&line);
    }
}

void
mime_take(struct mime *m, struct slice octets)
{
    while (octets.len > 0 && !m->too_deep) {
        octets = slice_skip(octets, step(m, octets));
        take_again(m);
    }
}

static void
finish_header(struct mime *m)
{
    while (m->place == PLACE_HEADER && m->field.len > m->line_at) {
        take_header_line(m, true);
        take_again(m);
    }
    if (m->place == PLACE_HEADER) {
        end_field(m);
        end_header(m, MIME_LEAF, (struct slice){ 0 });
    }
}

enum result
mime_end(struct mime *m, struct why *why)
{
    if (m->place == PLACE_FIELD_REST)
        m->place = PLACE_HEADER;
    if (m->place == PLACE_HEADER)
        finish_header(m);
    if (m->place == PLACE_LINE_START && m->held.len > m->held_end)
        judge(m);
    if (m->place == PLACE_HEADER) /* behind a delimiter */
        finish_header(m);
    if (m->place == PLACE_CR || m->place == PLACE_LINE_START)
        release(m);
    if (!m->frame && m->place == PLACE_LINE)
        give(m, MIME_BODY_END, (struct slice){ 0 });
    return m->too_deep
        ? why_perm(why, "5.6.0", "MIME nesting exceeds safety limit")
        : RESULT_OK;
}

struct mime *
mime_new(const struct mime_options *options)
{
    struct mime *m = mem_alloc(sizeof(*m));

    m->options = *options;
    mime_type_init(&m->type, options->boundary_max);
    buf_init(&m->field, 2 * options->field_max);
    buf_init(&m->again, options->field_max);
    buf_init(&m->held, 2 + line_max(m));
    begin_header(m, false);
    m->top = options->mailbox_line;
    return m;
}

void
mime_free(struct mime *m)
{
    if (m == NULL)
        return;
    while (m->depth > 0)
        pop(m);
    mem_free(m->levels);
    mime_type_fini(&m->type);
    buf_fini(&m->field);
    buf_fini(&m->again);
    buf_fini(&m->held);
    mem_free(m);
}
