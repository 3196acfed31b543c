#include "local/copy.h"

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"

#include <errno.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    GATHER = 256 * 1024, /* most mail goes out in one write */
};

struct copy {
    int fd;
    enum copy_form form;
    uint64_t room; /* octets that may be written */
    struct buf out;
    bool line_start;
    bool held_cr; /* a CR ended the last piece */
};

static enum result
write_out(struct copy *c, struct why *why)
{
    struct slice left = buf_slice(&c->out);

    if (buf_failed(&c->out))
        return why_temp(why, "4.3.0", "no memory to copy a message");
    if (left.len > c->room) {
        errno = EFBIG;
        return mailbox_write_refusal(why);
    }
    c->room -= left.len;
    while (left.len > 0) {
        ssize_t n = write(c->fd, left.ptr, left.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return mailbox_write_refusal(why);
        left = slice_skip(left, (size_t)n);
    }
    buf_clear(&c->out);
    return RESULT_OK;
}

/*
 * Content is stored with CRLF line ends throughout, so an LF ends a line and
 * the CR before it goes. A CR at the end of a piece waits for the next.
 */
static void
add_piece(struct copy *c, struct slice piece)
{
    if (c->held_cr && piece.len > 0) {
        c->held_cr = false;
        if (piece.ptr[0] != '\n')
            buf_add_octet(&c->out, '\r');
    }
    while (piece.len > 0) {
        size_t n = slice_find(piece, '\n');
        struct slice line = slice_head(piece, n);
        bool ended = n < piece.len;

        if (line.len > 0 && line.ptr[line.len - 1] == '\r') {
            line.len--;
            c->held_cr = !ended;
        }
        if (c->line_start && c->form == COPY_MBOX &&
            slice_starts(line, SLICE_LIT("From ")))
            buf_add_octet(&c->out, '>');
        buf_add(&c->out, line);
        if (ended)
            buf_add_octet(&c->out, '\n');
        c->line_start = ended;
        piece = slice_skip(piece, n + 1);
    }
}

static void
add_from_line(struct copy *c, struct slice sender)
{
    time_t now = (time_t)clock_wall_s();
    char date[64] = "";
    struct tm tm;

    if (localtime_r(&now, &tm) != NULL)
        (void)strftime(date, sizeof(date), "%a %b %e %H:%M:%S %Y", &tm);
    buf_add_format(&c->out, "From " SLICE_FMT "  %s\n",
        SLICE_ARG((sender.len > 0 ? sender : SLICE_LIT("MAILER-DAEMON"))),
        date);
}

/* A piece of any length, in parts that keep the buffer small. */
static enum result
add_and_write(struct copy *c, struct slice piece, struct why *why)
{
    while (piece.len > 0) {
        struct slice part = slice_head(piece, CONTENT_PIECE);

        add_piece(c, part);
        piece = slice_skip(piece, part.len);
        if (c->out.len >= GATHER / 2) {
            enum result res = write_out(c, why);

            if (res != RESULT_OK)
                return res;
        }
    }
    return RESULT_OK;
}

static enum result
add_content(struct copy *c, struct content *content, char *scratch,
    struct why *why)
{
    enum result res = RESULT_OK;
    struct slice piece;

    content_rewind(content);
    while (res == RESULT_OK && content->step != CONTENT_STEP_END) {
        res = content_next(content, scratch, &piece, why);
        if (res == RESULT_OK)
            res = add_and_write(c, piece, why);
    }
    return res;
}

enum result
copy_message(struct mailbox_store *s, enum copy_form form, int fd,
    struct why *why)
{
    struct copy c = { .fd = fd, .form = form, .room = UINT64_MAX };
    char *scratch;
    enum result res;
    struct stat st;

    if (fstat(fd, &st) < 0)
        return mailbox_write_refusal(why);
    if (s->size_limit > 0)
        c.room = s->size_limit > (uint64_t)st.st_size
            ? s->size_limit - (uint64_t)st.st_size
            : 0;
    scratch = mem_alloc(CONTENT_PIECE);
    buf_init(&c.out, 2 * GATHER);
    if (form == COPY_MBOX)
        add_from_line(&c, s->sender);
    c.line_start = true;
    add_piece(&c, s->top);
    res = add_content(&c, &s->content, scratch, why);
    if (!c.line_start)
        buf_add_octet(&c.out, '\n');
    if (form == COPY_MBOX)
        buf_add_octet(&c.out, '\n');
    if (res == RESULT_OK)
        res = write_out(&c, why);
    buf_fini(&c.out);
    mem_free(scratch);
    return res;
}
