#include "lib/mail/cleanup.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/mail/header.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_MAX = 64 << 20, TEXT_MAX = 16 << 20 };

/* What was submitted. */
static struct buf header, body;

static void
no_log(void *context, enum log_level level, const char *tag, struct slice line)
{
    (void)context;
    (void)level;
    (void)tag;
    (void)line;
}

static enum result
submit(struct submission *s, int64_t deadline, struct why *why)
{
    (void)deadline;
    (void)why;
    buf_add(&header, s->header);
    buf_add(&body, s->body);
    if (s->blob.fd >= 0) {
        char *room = buf_reserve(&body, s->blob.length);

        assert(room != NULL);
        assert(pread(s->blob.fd, room, s->blob.length, 0) ==
            (ssize_t)s->blob.length);
        buf_advance(&body, s->blob.length);
        close(s->blob.fd);
    }
    assert(s->envelope.size == header.len + 2 + body.len);
    return RESULT_OK;
}

static enum result
borrow(uint64_t id, int64_t deadline, struct blob *blob, struct why *why)
{
    FILE *f = tmpfile();

    (void)id;
    (void)deadline;
    if (f == NULL)
        return why_errno(why, "tmpfile");
    *blob = (struct blob){ .number = 1, .fd = dup(fileno(f)) };
    (void)fclose(f);
    return RESULT_OK;
}

static void
give_back(struct blob *blob)
{
    close(blob->fd);
}

static enum result
clean(struct slice content, size_t piece, bool own_client)
{
    static const struct cleanup_queue queue = { submit, borrow, give_back };
    static struct config_set *set;
    struct cleanup_options options = { .service = "cleanup",
        .own_client = own_client,
        .queue = &queue };
    struct recipient rcpt = { .address = SLICE_LIT("a@b.c") };
    struct envelope env = { .id = 1,
        .sender = SLICE_LIT("x@y.z"),
        .recipients = &rcpt,
        .recipient_count = 1 };
    struct arena arena;
    struct cleanup *c;
    struct why why;
    enum result res;

    if (set == NULL &&
        config_from_text("myhostname = a.b\ninet_interfaces = 127.0.0.1\n"
                         "queue_inline_limit = 200\n"
                         "header_size_limit = 300\n",
            "", &set, &why) != RESULT_OK)
        assert(0);
    options.set = set;
    buf_clear(&header);
    buf_clear(&body);
    arena_init(&arena, ARENA_MAX);
    res = cleanup_begin(&options, &env, &arena, &c, &why);
    assert(res == RESULT_OK);
    while (content.len > 0) {
        cleanup_content(c, slice_head(content, piece));
        content = slice_skip(content, piece);
    }
    res = cleanup_end(c, CLOCK_NEVER, &why);
    arena_clear(&arena);
    return res;
}

/* Never a CR or LF alone, and each text ends with a line end. */
static void
check_line_ends(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\r')
            assert(i + 1 < text.len && text.ptr[i + 1] == '\n');
        if (text.ptr[i] == '\n')
            assert(i > 0 && text.ptr[i - 1] == '\r');
    }
    assert(text.len == 0 || text.ptr[text.len - 1] == '\n');
}

/* All of the header is fields: nothing in it can end it early. */
static void
check_header(struct slice text)
{
    struct header_field f;

    while (header_next(&text, &f))
        continue;
    assert(text.len == 0);
}

/* The size of the pieces makes no difference. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct buf first_header, first_body;
    struct slice content = { (const char *)data + 2, size - 2 };
    enum result res;

    if (size < 2)
        return 0;
    if (header.ceiling == 0) {
        buf_init(&header, TEXT_MAX);
        buf_init(&body, TEXT_MAX);
        buf_init(&first_header, TEXT_MAX);
        buf_init(&first_body, TEXT_MAX);
        log_set_sink(no_log, NULL, NULL);
        clock_set(0, 0);
    }
    res = clean(content, content.len, data[1] & 1);
    check_line_ends(buf_slice(&header));
    check_line_ends(buf_slice(&body));
    check_header(buf_slice(&header));
    buf_clear(&first_header);
    buf_clear(&first_body);
    buf_add(&first_header, buf_slice(&header));
    buf_add(&first_body, buf_slice(&body));

    assert(clean(content, (size_t)data[0] + 1, data[1] & 1) == res);
    assert(slice_eq(buf_slice(&header), buf_slice(&first_header)));
    assert(slice_eq(buf_slice(&body), buf_slice(&first_body)));
    return 0;
}
