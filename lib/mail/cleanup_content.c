/*
 * cleanup_content - content into header fields and body, in pieces of any size.
 *
 * Fields are gathered at the end of c->header, where cleanup_field() finds them
 * whole. A line that came whole is never copied but there.
 */
#include "lib/mail/cleanup_state.h"
#include "lib/mail/header.h"

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/*
 * Text of the present field, as far as header_size_limit lets it in: Postfix
 * drops the rest of such a field as well.
 */
static void
add_to_field(struct cleanup *c, struct slice text)
{
    struct why why;
    size_t start = c->header.len;

    text = slice_head(text, c->field_room);
    c->field_room -= text.len;
    buf_add(&c->header, text);
    for (size_t i = start; i < c->header.len; i++) {
        unsigned char octet = (unsigned char)c->header.ptr[i];

        /* Line ends were taken off: these are alone. */
        if (octet == '\r' || octet == '\n')
            c->header.ptr[i] = ' ';
        else if (octet >= 0x80)
            c->env.flags |= ENVELOPE_8BIT;
    }
    if (buf_failed(&c->header))
        cleanup_fail(c,
            why_perm(&why, "5.3.4", "Error: message header too big"), &why);
}

/* A line that was dropped whole leaves no empty line: that would end the header. */
static void
end_field_line(struct cleanup *c)
{
    const struct slice end = SLICE_LIT("\r\n");

    if (!slice_ends_nocase(slice_skip(buf_slice(&c->header), c->field_start),
            end))
        buf_add(&c->header, end);
}

static void
end_field(struct cleanup *c)
{
    if (c->in_field)
        cleanup_field(c);
    c->in_field = false;
}

static void
begin_field(struct cleanup *c)
{
    end_field(c);
    c->in_field = true;
    c->field_start = c->header.len;
    c->field_room = (size_t)c->config->header_size_limit;
}

static void
begin_body(struct cleanup *c)
{
    end_field(c);
    cleanup_complete_header(c);
    c->place = PLACE_BODY;
}

/* "From " of a mailbox is kept as a field, as Postfix does. */
static bool
is_mailbox_line(struct slice line)
{
    const struct slice from = SLICE_LIT("From ");

    while (line.len > 0 && line.ptr[0] == '>')
        line = slice_skip(line, 1);
    return slice_starts(line, from);
}

/*
 * The beginning of a line of the header: false when it is the body's, or the
 * empty line in front of it.
 */
static bool
begin_line(struct cleanup *c, struct slice line)
{
    bool first = c->place == PLACE_FIRST_LINE;
    size_t name = header_name_length(line);

    c->place = PLACE_HEADER;
    if (line.len > 0 && is_blank(line.ptr[0]) && c->in_field) {
        /* continues the field */
    } else if (first && is_mailbox_line(line)) {
        begin_field(c);
        add_to_field(c, SLICE_LIT("X-Mailbox-Line: "));
    } else if (name > 0) {
        /* No blanks between name and colon: RFC 5322 section 3.6.8. */
        begin_field(c);
        add_to_field(c, slice_head(line, name));
        line = slice_skip(line, name);
        line = slice_skip(line, slice_find(line, ':'));
    } else {
        begin_body(c);
        return false;
    }
    add_to_field(c, line);
    return true;
}

/* A whole line with its end. */
static void
read_line(struct cleanup *c, struct slice line)
{
    struct slice text = slice_without_line_end(line);

    if (c->place == PLACE_FIELD_LINE) {
        add_to_field(c, text);
        end_field_line(c);
        c->place = PLACE_HEADER;
    } else if (begin_line(c, text)) {
        end_field_line(c);
    } else if (text.len > 0) {
        /* No empty line in front of the body: it gets one. */
        cleanup_body(c, line);
    }
}

/* A piece of a line that is too long to wait for its end. */
static void
read_piece(struct cleanup *c, struct slice piece)
{
    if (c->place == PLACE_FIELD_LINE) {
        add_to_field(c, piece);
    } else if (begin_line(c, piece)) {
        c->place = PLACE_FIELD_LINE;
    } else {
        cleanup_body(c, piece);
    }
}

/* Octets behind what c->partial has; the octets that were taken. */
static size_t
finish_partial(struct cleanup *c, struct slice octets)
{
    size_t n = slice_find(octets, '\n');
    bool whole = n < octets.len;

    if (whole)
        n++;
    if (c->partial.len + n > CLEANUP_LINE_PIECE) {
        n = CLEANUP_LINE_PIECE - c->partial.len;
        whole = false;
    }
    buf_add(&c->partial, slice_head(octets, n));
    if (whole)
        read_line(c, buf_slice(&c->partial));
    else if (c->partial.len == CLEANUP_LINE_PIECE)
        read_piece(c, buf_slice(&c->partial));
    else
        return n;
    buf_clear(&c->partial);
    return n;
}

void
cleanup_read(struct cleanup *c, struct slice octets)
{
    while (octets.len > 0 && c->place != PLACE_BODY && c->result == RESULT_OK) {
        size_t n = slice_find(octets, '\n') + 1;

        if (c->partial.len > 0 || n > octets.len || n > CLEANUP_LINE_PIECE)
            n = finish_partial(c, octets);
        else
            read_line(c, slice_head(octets, n));
        octets = slice_skip(octets, n);
    }
    if (c->result == RESULT_OK)
        cleanup_body(c, octets);
}

void
cleanup_read_end(struct cleanup *c)
{
    if (c->partial.len > 0)
        read_line(c, buf_slice(&c->partial));
    else if (c->place == PLACE_FIELD_LINE)
        end_field_line(c);
    if (c->place != PLACE_BODY)
        begin_body(c);
    cleanup_body_end(c);
}
