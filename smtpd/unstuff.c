#include "smtpd/unstuff.h"

static const struct slice crlf = { "\r\n", 2 };
static const struct slice blank = { " ", 1 };
static const struct slice blanks = SLICE_LIT(
    "                                ");

void
unstuff_init(struct unstuff *u, enum unstuff_mode mode)
{
    *u = (struct unstuff){
        .mode = mode,
        .state = UNSTUFF_AT_START,
        .after_crlf = true, /* of the command line */
    };
}

static void
begin_line(struct unstuff *u, bool after_crlf)
{
    u->state = UNSTUFF_AT_START;
    u->after_crlf = after_crlf;
    u->bare_lf |= !after_crlf;
}

/* The CRs that were held back end no line. */
static void
give_blanks(struct unstuff *u)
{
    u->due = blank;
    u->blanks = u->more_crs;
    u->more_crs = 0;
    u->state = UNSTUFF_IN_LINE;
}

/*
 * The octet that decides what was held back. It is taken when it belongs to
 * that, else it stays for the state that follows. True: the end of data.
 */
static bool
decide(struct unstuff *u, struct slice *in)
{
    char c = in->ptr[0];
    bool crlf_before = u->after_crlf;

    switch (u->state) {
    case UNSTUFF_AT_START:
        if (c == '.' && u->mode != UNSTUFF_RAW) {
            u->state = UNSTUFF_DOT;
            *in = slice_skip(*in, 1);
        } else {
            u->state = UNSTUFF_IN_LINE;
        }
        return false;
    case UNSTUFF_CR:
        if (c == '\r') {
            u->more_crs++;
            *in = slice_skip(*in, 1);
        } else if (c == '\n') {
            u->due = crlf;
            u->more_crs = 0;
            begin_line(u, true);
            *in = slice_skip(*in, 1);
        } else {
            give_blanks(u);
        }
        return false;
    case UNSTUFF_DOT:
        if (c == '\n') {
            begin_line(u, false);
            *in = slice_skip(*in, 1);
            return u->mode == UNSTUFF_LENIENT;
        }
        u->state = UNSTUFF_IN_LINE;
        if (c == '\r') {
            u->state = UNSTUFF_DOT_CR;
            *in = slice_skip(*in, 1);
        }
        return false;
    case UNSTUFF_DOT_CR:
        if (c == '\n') {
            begin_line(u, true);
            *in = slice_skip(*in, 1);
            return crlf_before || u->mode == UNSTUFF_LENIENT;
        }
        if (c == '\r') {
            u->state = UNSTUFF_CR;
            u->more_crs = 1;
            *in = slice_skip(*in, 1);
        } else {
            give_blanks(u);
        }
        return false;
    case UNSTUFF_IN_LINE:
        break;
    }
    return false;
}

/*
 * As many whole lines as can be passed on unchanged, and the part of a line
 * behind them.
 */
static struct slice
take_run(struct unstuff *u, struct slice *in)
{
    struct slice rest = *in, run;
    size_t taken = 0;

    for (;;) {
        size_t lf = slice_find(rest, '\n');
        size_t cr = slice_find(slice_head(rest, lf), '\r');

        if (cr < lf && cr + 1 == lf && lf < rest.len) { /* a proper line */
            taken += lf + 1;
            rest = slice_skip(rest, lf + 1);
            if (rest.len > 0 && (rest.ptr[0] != '.' || u->mode == UNSTUFF_RAW))
                continue;
            begin_line(u, true);
        } else if (cr < lf) { /* bare, or not yet known */
            taken += cr;
            rest = slice_skip(rest, cr + 1);
            u->state = UNSTUFF_CR;
        } else if (lf < rest.len) { /* a bare LF */
            taken += lf;
            rest = slice_skip(rest, lf + 1);
            u->due = crlf;
            begin_line(u, false);
        } else {
            taken += rest.len;
            rest = slice_skip(rest, rest.len);
        }
        break;
    }
    run = slice_head(*in, taken);
    *in = rest;
    return run;
}

enum unstuff_step
unstuff_next(struct unstuff *u, struct slice *in, struct slice *run)
{
    for (;;) {
        if (u->due.len > 0) {
            *run = u->due;
            u->due.len = 0;
            return UNSTUFF_RUN;
        }
        if (u->blanks > 0) {
            *run = slice_head(blanks, u->blanks);
            u->blanks -= run->len;
            return UNSTUFF_RUN;
        }
        if (in->len == 0)
            return UNSTUFF_MORE;
        if (u->state == UNSTUFF_IN_LINE) {
            *run = take_run(u, in);
            if (run->len > 0)
                return UNSTUFF_RUN;
        } else if (decide(u, in)) {
            return UNSTUFF_END;
        }
    }
}

bool
unstuff_finish(struct unstuff *u, struct slice *run)
{
    if (u->state != UNSTUFF_CR)
        return false;
    u->state = UNSTUFF_IN_LINE;
    *run = slice_head(blanks, 1 + u->more_crs);
    u->more_crs = 0;
    return true;
}
