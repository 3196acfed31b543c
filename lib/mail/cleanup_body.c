/*
 * cleanup_body - the body: line ends put right, kept in memory up to
 * queue_inline_limit and then in a blob.
 */
#include "lib/base/clock.h"
#include "lib/base/crc32c.h"
#include "lib/mail/cleanup_state.h"

#include <errno.h>
#include <unistd.h>

enum {
    BLOCK = 64,               /* octets looked at in one go */
    BLOB_PIECE = 64 * 1024,   /* octets of one write */
    BLOB_WAIT_MS = 30 * 1000, /* for qmgr to lend a file */
};

static void
blob_write(struct cleanup *c, struct slice octets)
{
    struct why why;

    c->blob.crc = crc32c(c->blob.crc, octets.ptr, octets.len);
    while (octets.len > 0) {
        ssize_t n = pwrite(c->blob.fd, octets.ptr, octets.len,
            (off_t)c->blob.length);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            cleanup_fail(c, why_errno(&why, "Error: queue file write error"),
                &why);
            return;
        }
        c->blob.length += (uint64_t)n;
        octets = slice_skip(octets, (size_t)n);
    }
}

static void
blob_flush(struct cleanup *c)
{
    blob_write(c, buf_slice(&c->body));
    buf_clear(&c->body);
}

static void
blob_begin(struct cleanup *c)
{
    struct why why;
    enum result res = cleanup_queue_of(c)->borrow_blob(c->env.id,
        clock_now_ms() + BLOB_WAIT_MS, &c->blob, &why);

    if (res != RESULT_OK) {
        c->blob = (struct blob){ .fd = -1 };
        cleanup_fail(c, res, &why);
        return;
    }
    blob_flush(c);
}

/* Octets whose line ends are right. */
static void
add(struct cleanup *c, struct slice octets)
{
    if (octets.len == 0 || c->result != RESULT_OK)
        return;
    c->body_size += octets.len;
    if (c->blob.fd < 0 &&
        c->body_size > (uint64_t)c->config->queue_inline_limit)
        blob_begin(c);
    if (c->blob.fd < 0) {
        buf_add(&c->body, octets);
        return;
    }
    if (c->body.len + octets.len > BLOB_PIECE)
        blob_flush(c);
    if (octets.len >= BLOB_PIECE)
        blob_write(c, octets);
    else
        buf_add(&c->body, octets);
}

/* What is in a run of octets, found without looking at each line. */
struct survey {
    uint8_t high; /* or of all octets */
    uint8_t
        stray; /* not 0: a CR without LF behind it, or the other way round */
};

/*
 * before is the octet in front of octets. Blocks of fixed size: the compiler
 * makes vector instructions of them.
 */
static struct survey
survey(struct slice octets, char before)
{
    const unsigned char *p = (const unsigned char *)octets.ptr;
    struct survey s = { 0 };
    size_t i = 1;

    s.high = p[0];
    s.stray = (before == '\r') != (p[0] == '\n');
    for (; i + BLOCK <= octets.len; i += BLOCK) {
        uint8_t high = 0, stray = 0;

        for (size_t k = 0; k < BLOCK; k++) {
            high |= p[i + k];
            stray |= (uint8_t)((p[i + k - 1] == '\r') ^ (p[i + k] == '\n'));
        }
        s.high |= high;
        s.stray |= stray;
    }
    for (; i < octets.len; i++) {
        s.high |= p[i];
        s.stray |= (uint8_t)((p[i - 1] == '\r') ^ (p[i] == '\n'));
    }
    return s;
}

/* LF alone is a line end; CR alone a space, or left if so configured. */
static void
add_mended(struct cleanup *c, struct slice octets)
{
    const char *alone = c->config->cleanup_replace_stray_cr_lf ? " " : "\r";

    while (octets.len > 0) {
        size_t n = 0;

        if (c->held_cr && octets.ptr[0] != '\n')
            add(c, slice_of(alone));
        c->held_cr = false;
        while (n < octets.len && octets.ptr[n] != '\r' && octets.ptr[n] != '\n')
            n++;
        add(c, slice_head(octets, n));
        octets = slice_skip(octets, n);
        if (octets.len == 0)
            break;
        c->held_cr = octets.ptr[0] == '\r';
        if (!c->held_cr)
            add(c, SLICE_LIT("\r\n"));
        octets = slice_skip(octets, 1);
    }
}

/* A CR at the end is held back: what it means is known with the next octet. */
void
cleanup_body(struct cleanup *c, struct slice octets)
{
    struct survey s;

    if (octets.len == 0)
        return;
    s = survey(octets, c->held_cr ? '\r' : '\0');
    if (s.high >= 0x80)
        c->env.flags |= ENVELOPE_8BIT;
    c->last_is_newline = octets.ptr[octets.len - 1] == '\n';
    if (s.stray) {
        add_mended(c, octets);
        return;
    }
    if (c->held_cr)
        add(c, SLICE_LIT("\r"));
    c->held_cr = octets.ptr[octets.len - 1] == '\r';
    if (c->held_cr)
        octets.len--;
    add(c, octets);
}

void
cleanup_body_end(struct cleanup *c)
{
    /* A last line without its end; a CR that was to begin one is dropped. */
    c->held_cr = false;
    if (!c->last_is_newline)
        add(c, SLICE_LIT("\r\n"));
    if (c->blob.fd >= 0 && c->result == RESULT_OK)
        blob_flush(c);
}
