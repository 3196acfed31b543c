#include "lib/mail/cleanup.h"

#include "lib/base/clock.h"
#include "lib/base/crc32c.h"
#include "lib/base/log.h"
#include "tests/unit/tables.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

enum {
    ARENA_MAX = 8 << 20,
    TEXT_MAX = 1 << 20,
    RECIPIENT_MAX = 16,
};

/* 2026-11-21 20:05:11 UTC */
#define NOW_US INT64_C(1795291511000000)

/* What was submitted last, as text. */
static struct {
    unsigned count;
    struct buf header, body, recipients;
    struct envelope envelope;
    char sender[256], message_id[256];
    uint32_t crc;
    bool blob;
    enum result result; /* what to answer */
} queue;

static unsigned blobs_lent, blobs_returned;
static struct buf logged;

static enum result
fake_submit(struct submission *s, int64_t deadline, struct why *why)
{
    (void)deadline;
    queue.count++;
    buf_clear(&queue.header);
    buf_clear(&queue.body);
    buf_clear(&queue.recipients);
    queue.envelope = s->envelope;
    (void)snprintf(queue.sender, sizeof(queue.sender), SLICE_FMT,
        SLICE_ARG(s->envelope.sender));
    (void)snprintf(queue.message_id, sizeof(queue.message_id), SLICE_FMT,
        SLICE_ARG(s->envelope.message_id));
    buf_add(&queue.header, s->header);
    buf_add(&queue.body, s->body);
    queue.blob = s->blob.fd >= 0;
    if (queue.blob) {
        char *room = buf_reserve(&queue.body, s->blob.length);

        if (room == NULL ||
            pread(s->blob.fd, room, s->blob.length, 0) !=
                (ssize_t)s->blob.length)
            abort();
        buf_advance(&queue.body, s->blob.length);
        queue.crc = s->blob.crc;
        close(s->blob.fd);
    }
    for (size_t i = 0; i < s->envelope.recipient_count; i++) {
        const struct recipient *r = &s->envelope.recipients[i];

        buf_add_format(&queue.recipients, SLICE_FMT "(" SLICE_FMT ")%s ",
            SLICE_ARG(r->address), SLICE_ARG(r->original),
            r->notify == NOTIFY_NEVER ? "!" : "");
    }
    if (queue.result != RESULT_OK)
        return why_temp(why, "4.3.1", "Insufficient system storage");
    return RESULT_OK;
}

static enum result
fake_borrow(uint64_t id, int64_t deadline, struct blob *blob, struct why *why)
{
    FILE *f = tmpfile();

    (void)id;
    (void)deadline;
    if (f == NULL)
        return why_errno(why, "tmpfile");
    blobs_lent++;
    *blob = (struct blob){ .number = 7, .fd = dup(fileno(f)) };
    (void)fclose(f);
    return RESULT_OK;
}

static void
fake_return(struct blob *blob)
{
    blobs_returned++;
    close(blob->fd);
}

static const struct cleanup_queue fake_queue = { fake_submit, fake_borrow,
    fake_return };

static void
keep_log(void *context, enum log_level level, const char *tag,
    struct slice line)
{
    (void)context;
    (void)level;
    buf_add_format(&logged, "%s: " SLICE_FMT "\n", tag, SLICE_ARG(line));
}

/* A message to be cleaned. */
struct mail {
    const char *main_cf;
    bool own_client;
    uint32_t flags;
    const char *sender, *sender_name;
    const char *recipients[RECIPIENT_MAX];
    const char *prepend;
    struct slice content;
    size_t piece; /* octets handed over at a time; 0: all */
};

static void
add_recipients(const struct mail *m, struct envelope *env,
    struct recipient *list)
{
    static const char *const usual[] = { "ann@example.org", NULL };
    const char *const *r = m->recipients[0] == NULL ? usual : m->recipients;

    env->recipients = list;
    for (; r[env->recipient_count] != NULL; env->recipient_count++)
        list[env->recipient_count].address = slice_of(r[env->recipient_count]);
}

static void
feed(struct cleanup *c, const struct mail *m)
{
    struct slice rest = m->content;

    if (m->prepend != NULL)
        cleanup_prepend(c, slice_of(m->prepend));
    while (rest.len > 0) {
        size_t n = m->piece == 0 ? rest.len : m->piece;

        cleanup_content(c, slice_head(rest, n));
        rest = slice_skip(rest, n);
    }
}

static enum result
run(const struct mail *m, struct why *why)
{
    struct config_set *set = tables_config(
        m->main_cf == NULL ? "" : m->main_cf);
    struct cleanup_options options = {
        .set = set,
        .service = "cleanup",
        .own_client = m->own_client,
        .queue = &fake_queue,
    };
    struct recipient list[RECIPIENT_MAX] = { 0 };
    struct envelope env = {
        .id = UINT64_C(0x1234),
        .arrival_us = NOW_US,
        .flags = m->flags,
        .sender = slice_of(m->sender == NULL ? "bob@example.net" : m->sender),
        .sender_name = slice_of(m->sender_name),
    };
    struct arena arena;
    struct cleanup *c;
    enum result res;

    buf_clear(&logged);
    add_recipients(m, &env, list);
    arena_init(&arena, ARENA_MAX);
    res = cleanup_begin(&options, &env, &arena, &c, why);
    if (res == RESULT_OK) {
        feed(c, m);
        res = cleanup_end(c, CLOCK_NEVER, why);
    }
    arena_clear(&arena);
    config_drop(set);
    cleanup_close_tables();
    return res;
}

static void
run_ok(const struct mail *m)
{
    struct why why;

    if (run(m, &why) != RESULT_OK)
        fail_msg("%s", why.text);
}

/*
 * Content, and what is to come out of it for a foreign client. Each is fed in
 * pieces of all sizes, which must make no difference.
 */
static const struct {
    const char *name, *in, *header, *body;
} contents[] = {
    { "plain", "A: 1\r\nB: 2\r\n\r\nbody\r\n", "A: 1\r\nB: 2\r\n", "body\r\n" },
    { "no last line end", "A: 1\r\n\r\nbody", "A: 1\r\n", "body\r\n" },
    { "header only", "A: 1\r\n", "A: 1\r\n", "" },
    { "header without end", "A: 1", "A: 1\r\n", "" },
    { "empty line last", "A: 1\r\n\r\n", "A: 1\r\n", "" },
    { "nothing", "", "", "" },
    { "body only", "\r\nbody\r\n", "", "body\r\n" },
    { "folded", "A: 1\r\n\t2\r\n 3\r\nB: 4\r\n\r\nx\r\n",
        "A: 1\r\n\t2\r\n 3\r\nB: 4\r\n", "x\r\n" },
    { "text in place of a header", "A: 1\r\nnot a header\r\nB: 2\r\n",
        "A: 1\r\n", "not a header\r\nB: 2\r\n" },
    { "text at once", "hello world\r\nA: 1\r\n", "",
        "hello world\r\nA: 1\r\n" },
    { "blanks before the colon", "A \t: 1\r\n 2\r\nB : : 3\r\n",
        "A: 1\r\n 2\r\nB: : 3\r\n", "" },
    { "begins with a blank", " A: 1\r\n\r\n", "", " A: 1\r\n\r\n" },
    { "mailbox line", "From bob Sat\r\nA: 1\r\n\r\nx\r\n",
        "X-Mailbox-Line: From bob Sat\r\nA: 1\r\n", "x\r\n" },
    { "quoted mailbox line", ">>From bob\r\nA: 1\r\n\r\n",
        "X-Mailbox-Line: >>From bob\r\nA: 1\r\n", "" },
    { "mailbox line too late", "A: 1\r\nFrom bob\r\n", "A: 1\r\n",
        "From bob\r\n" },
    { "dropped",
        "Bcc: a\r\n b\r\nA: 1\r\nReturn-Path: <x>\r\n"
        "Content-Length: 9\r\nRESENT-BCC: q\r\n\r\nBcc: x\r\n",
        "A: 1\r\n", "Bcc: x\r\n" },
    { "bare CR", "A: 1\r2\r\n\r\na\rb\r\r\nc\r\n", "A: 1 2\r\n",
        "a b \r\nc\r\n" },
    { "bare LF", "A: 1\nB: 2\n\na\nb\r\nc\n", "A: 1\r\nB: 2\r\n",
        "a\r\nb\r\nc\r\n" },
    { "CR last", "A: 1\r\n\r\na\r", "A: 1\r\n", "a\r\n" },
    { "only line ends", "A: 1\r\n\r\n\r\n\r\n", "A: 1\r\n", "\r\n\r\n" },
    { "CRs", "A: 1\r\n\r\n\r\r\r\n", "A: 1\r\n", "  \r\n" },
    { "foreign addresses stay", "To: ann\r\nFrom: bob\r\n\r\n",
        "To: ann\r\nFrom: bob\r\n", "" },
};

static void
test_contents(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(contents) / sizeof(contents[0]); i++) {
        struct mail m = { .content = slice_of(contents[i].in) };

        print_message("  %s\n", contents[i].name);
        for (m.piece = 0; m.piece <= m.content.len; m.piece++) {
            run_ok(&m);
            assert_string_equal(buf_text(&queue.header), contents[i].header);
            assert_string_equal(buf_text(&queue.body), contents[i].body);
            assert_int_equal(queue.envelope.size,
                queue.header.len + 2 + queue.body.len);
        }
    }
}

static void
test_own_client(void **state)
{
    struct mail m = {
        .own_client = true,
        .sender = "bob",
        .sender_name = "Bob B. Builder",
        .content = SLICE_LIT("To: ann, \"x y\" <joe>, a@b.example (c)\r\n"
                             "Cc: g: u@v;\r\n\r\nx\r\n"),
        .main_cf = "append_dot_mydomain = yes\n",
    };

    (void)state;
    run_ok(&m);
    assert_string_equal(buf_text(&queue.header),
        "To: ann@mail.example.com, \"x y\" <joe@mail.example.com>, "
        "a@b.example (c)\r\n"
        "Cc: g: u@v.example.com;\r\n"
        "Message-Id: <20261121200511.1234@mail.example.com>\r\n"
        "Date: Sat, 21 Nov 2026 20:05:11 +0000 (UTC)\r\n"
        "From: \"Bob B. Builder\" <bob@mail.example.com>\r\n");
    assert_string_equal(queue.sender, "bob@mail.example.com");
    assert_string_equal(queue.message_id,
        "<20261121200511.1234@mail.example.com>");
    assert_true(slice_eq_text(queue.envelope.rewrite, "local"));
}

static const struct {
    const char *name, *in, *out;
    const char *main_cf;
    bool own_client;
} completions[] = {
    { "complete",
        "Message-ID: <1@x>\r\nDate: d\r\nFrom: a@b.c\r\nTo: a@b.c\r\n",
        "Message-ID: <1@x>\r\nDate: d\r\nFrom: a@b.c\r\nTo: a@b.c\r\n", "",
        true },
    { "resent", "Resent-From: a@b.c\r\nMessage-ID: <1@x>\r\n",
        "Resent-From: a@b.c\r\nMessage-ID: <1@x>\r\n"
        "Resent-Message-Id: <20261121200511.1234@mail.example.com>\r\n"
        "Resent-Date: Sat, 21 Nov 2026 20:05:11 +0000 (UTC)\r\n",
        "", true },
    { "always", "Date: d\r\nFrom: a\r\n",
        "Date: d\r\nFrom: a\r\n"
        "Message-Id: <20261121200511.1234@mail.example.com>\r\n",
        "always_add_missing_headers = yes\n", false },
    { "undisclosed", "Message-ID: <1@x>\r\nDate: d\r\nFrom: a@b.c\r\n",
        "Message-ID: <1@x>\r\nDate: d\r\nFrom: a@b.c\r\n"
        "To: undisclosed-recipients:;\r\n",
        "undisclosed_recipients_header = To: undisclosed-recipients:;\n",
        true },
    { "remote domain", "To: ann, b@host\r\n",
        "To: ann@remote.invalid, b@host.remote.invalid\r\n",
        "remote_header_rewrite_domain = remote.invalid\n"
        "append_dot_mydomain = yes\n",
        false },
    { "obsolete From", "Date: d\r\nMessage-ID: <1@x>\r\n",
        "Date: d\r\nMessage-ID: <1@x>\r\nFrom: bob@example.net (N)\r\n",
        "header_from_format = obsolete\n", true },
};

static void
test_completion(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(completions) / sizeof(completions[0]); i++) {
        struct mail m = {
            .own_client = completions[i].own_client,
            .main_cf = completions[i].main_cf,
            .sender_name = "N",
            .content = slice_of(completions[i].in),
        };

        print_message("  %s\n", completions[i].name);
        run_ok(&m);
        assert_string_equal(buf_text(&queue.header), completions[i].out);
    }
}

static void
test_null_sender(void **state)
{
    struct mail m = { .own_client = true,
        .sender = "",
        .content = SLICE_LIT("Date: d\r\nMessage-ID: <1@x>\r\n") };

    (void)state;
    run_ok(&m);
    assert_string_equal(queue.sender, "");
    assert_string_equal(buf_text(&queue.header),
        "Date: d\r\nMessage-ID: <1@x>\r\n"
        "From: MAILER-DAEMON\r\n");
}

/* A name with a line end in it must not make a header. */
static void
test_name_injection(void **state)
{
    struct mail m = { .own_client = true,
        .sender_name = "x\r\nBcc: y",
        .content = SLICE_LIT("Date: d\r\nMessage-ID: <1@x>\r\n") };

    (void)state;
    run_ok(&m);
    assert_string_equal(buf_text(&queue.header),
        "Date: d\r\nMessage-ID: <1@x>\r\nFrom: bob@example.net\r\n");
}

static void
test_prepended(void **state)
{
    struct mail m = { .prepend = "Received: from x\r\n\tby y\r\nX: 1\r\n",
        .content = SLICE_LIT("Received: z\r\nA: 1\r\n\r\nb\r\n") };

    (void)state;
    run_ok(&m);
    assert_string_equal(buf_text(&queue.header),
        "Received: from x\r\n\tby y\r\nX: 1\r\nReceived: z\r\nA: 1\r\n");
    assert_int_equal(queue.envelope.hops, 2);
    /* Line ends in what was quoted there begin nothing. */
    m.prepend = "Received: from x\ry\r\r\n\tby \r.\rz\nX: 1\r\n";
    run_ok(&m);
    assert_string_equal(buf_text(&queue.header),
        "Received: from x y \r\n\tby  . z X: 1\r\n"
        "Received: z\r\nA: 1\r\n");
}

static void
test_log(void **state)
{
    struct mail m = { .main_cf = "syslog_name = postfix\n",
        .content = SLICE_LIT("Message-ID: <1@x>\r\n"
                             "Resent-Message-Id:\r\n <2@x>\r\n\r\n") };

    (void)state;
    run_ok(&m);
    assert_string_equal(buf_text(&logged),
        "postfix/cleanup: 1234: message-id=<1@x>\n"
        "postfix/cleanup: 1234: resent-message-id=<2@x>\n");
    m.content = SLICE_LIT("A: 1\r\n");
    run_ok(&m);
    assert_string_equal(buf_text(&logged),
        "postfix/cleanup: 1234: message-id=<>\n");
}

/* Beyond the first block that is looked at. */
#define X64       "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define FAR_EIGHT "A: 1\r\n\r\n" X64 X64 "x\x80x" X64

static void
test_8bit(void **state)
{
    static const char *const eight[] = { "A: \xc3\xa4\r\n", "A: 1\r\n\r\n\xff",
        FAR_EIGHT };
    struct mail m = { .content = SLICE_LIT("A: 1\r\n\r\nx\r\n") };

    (void)state;
    run_ok(&m);
    assert_int_equal(queue.envelope.flags & ENVELOPE_8BIT, 0);
    for (size_t i = 0; i < sizeof(eight) / sizeof(eight[0]); i++) {
        m.content = slice_of(eight[i]);
        run_ok(&m);
        assert_int_equal(queue.envelope.flags & ENVELOPE_8BIT, ENVELOPE_8BIT);
    }
}

/* The rest of a field above header_size_limit is dropped, the next is whole. */
static void
test_header_size_limit(void **state)
{
    struct mail m = { .main_cf = "header_size_limit = 10\n",
        .content = SLICE_LIT("A: 34567890123\r\n continued\r\n again\r\n"
                             "B: 2\r\n\r\nbody\r\n") };

    (void)state;
    for (m.piece = 0; m.piece < 20; m.piece++) {
        run_ok(&m);
        assert_string_equal(buf_text(&queue.header), "A: 3456789\r\nB: 2\r\n");
        assert_string_equal(buf_text(&queue.body), "body\r\n");
    }
}

static struct slice
filled(struct buf *b, const char *begin, size_t len, const char *end)
{
    buf_init(b, TEXT_MAX * 8);
    buf_add_text(b, begin);
    while (b->len < len)
        buf_add_octet(b, 'x');
    buf_add_text(b, end);
    return buf_slice(b);
}

/* Lines without an end, far longer than any that we would gather. */
static void
test_long_lines(void **state)
{
    static const size_t pieces[] = { 0, 1000, 65536, 70000 };
    struct mail m = { 0 };
    struct buf field, text;

    (void)state;
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        m.piece = pieces[i];
        m.content = filled(&field, "A: ", 300000, "\r\nB: 2\r\n\r\nbody\r\n");
        run_ok(&m);
        assert_int_equal(queue.header.len, 102400 + 2 + 6);
        assert_string_equal(buf_text(&queue.body), "body\r\n");

        m.content = filled(&text, "A: 1\r\nno header ", 300000, "\r\ny\r\n");
        run_ok(&m);
        assert_string_equal(buf_text(&queue.header), "A: 1\r\n");
        assert_int_equal(queue.body.len, text.len - 6);
        buf_fini(&field);
        buf_fini(&text);
    }
}

static void
test_blob(void **state)
{
    static const size_t pieces[] = { 0, 777, 65536, 200000 };
    struct mail m = { .main_cf = "queue_inline_limit = 100\n" };
    struct buf text;

    (void)state;
    m.content = filled(&text, "A: 1\r\n\r\n", 500000, "\r\nlast");
    blobs_lent = blobs_returned = 0;
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        struct slice body = slice_skip(m.content, 8);

        m.piece = pieces[i];
        run_ok(&m);
        assert_true(queue.blob);
        assert_int_equal(queue.body.len, body.len + 2);
        assert_memory_equal(queue.body.ptr, body.ptr, body.len);
        assert_int_equal(queue.crc, crc32c(0, queue.body.ptr, queue.body.len));
        assert_int_equal(queue.envelope.size, 6 + 2 + body.len + 2);
    }
    assert_int_equal(blobs_lent, 4);
    assert_int_equal(blobs_returned, 0);
    buf_fini(&text);
}

static const struct {
    const char *name, *main_cf, *content, *recipient;
    enum result want;
    int code;
    const char *status, *text;
} failures[] = {
    { "size", "message_size_limit = 20\n", "A: 1\r\n\r\n12345678901234\r\n",
        NULL, RESULT_PERMFAIL, 552, "5.3.4", "Error: message file too big" },
    { "hops", "hopcount_limit = 2\n", "Received: 1\r\nReceived: 2\r\n\r\n",
        NULL, RESULT_PERMFAIL, 554, "5.4.0", "Error: too many hops" },
    { "alias table fails", "virtual_alias_maps = fail:x\n", "A: 1\r\n", NULL,
        RESULT_TEMPFAIL, 451, "4.3.0", "Error: queue file write error" },
    { "alias loop", "virtual_alias_maps = inline:{a@x.y=b@x.y,b@x.y=a@x.y}\n",
        "A: 1\r\n", "a@x.y", RESULT_TEMPFAIL, 451, "4.6.0",
        "Alias expansion error" },
    { "aliases grow",
        "virtual_alias_maps = inline:{{a@x.y=a1@x.y,b1@x.y},"
        "{@x.y=c@x.y,d@x.y}}\n",
        "A: 1\r\n", "a@x.y", RESULT_TEMPFAIL, 451, "4.6.0",
        "Alias expansion error" },
    { "alias too long",
        "virtual_alias_maps = inline:{a@x.y=toolong@x.y}\n"
        "virtual_alias_address_length_limit = 10\n",
        "A: 1\r\n", "a@x.y", RESULT_TEMPFAIL, 451, "4.6.0",
        "Alias expansion error" },
    { "no such table type", "virtual_alias_maps = nosuch:x\n", "A: 1\r\n", NULL,
        RESULT_TEMPFAIL, 451, "5.3.5", "unsupported dictionary type: nosuch" },
};

static void
test_failures(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
        struct mail m = { .main_cf = failures[i].main_cf,
            .recipients = { failures[i].recipient },
            .content = slice_of(failures[i].content) };
        struct why why;
        enum result res;

        print_message("  %s\n", failures[i].name);
        queue.count = 0;
        res = run(&m, &why);
        assert_int_equal(res, failures[i].want);
        assert_int_equal(cleanup_reply_code(res, &why), failures[i].code);
        assert_string_equal(why.status, failures[i].status);
        assert_string_equal(why.text, failures[i].text);
        assert_int_equal(queue.count, 0);
    }
}

static void
test_queue_refuses(void **state)
{
    struct mail m = { .content = SLICE_LIT("A: 1\r\n") };
    struct why why;

    (void)state;
    queue.result = RESULT_TEMPFAIL;
    assert_int_equal(run(&m, &why), RESULT_TEMPFAIL);
    assert_int_equal(cleanup_reply_code(RESULT_TEMPFAIL, &why), 452);
    queue.result = RESULT_OK;
}

/* Too large, found when there is a blob already: it goes back. */
static void
test_blob_returned(void **state)
{
    struct mail m = { .main_cf = "queue_inline_limit = 10\n"
                                 "message_size_limit = 1000\n",
        .piece = 100 };
    struct buf text;
    struct why why;

    (void)state;
    m.content = filled(&text, "A: 1\r\n\r\n", 5000, "");
    blobs_lent = blobs_returned = 0;
    assert_int_equal(run(&m, &why), RESULT_PERMFAIL);
    assert_int_equal(blobs_lent, 1);
    assert_int_equal(blobs_returned, 1);
    buf_fini(&text);
}

#define MAPS "append_dot_mydomain = yes\nrecipient_delimiter = +\n"

static const struct {
    const char *name, *main_cf;
    const char *in[4];
    const char *out; /* address(original)! ... ; "!" is NOTIFY=NEVER */
    uint32_t flags;
} envelopes[] = {
    { "plain", MAPS, { "ann@x.y" }, "ann@x.y(ann@x.y) " },
    { "completed", MAPS, { "ann", "b@host" },
        "ann@mail.example.com(ann) b@host.example.com(b@host) " },
    { "duplicates", MAPS, { "ann@x.y", "ANN@X.y", "ann@x.y" },
        "ann@x.y(ann@x.y) " },
    { "the same by two names", MAPS, { "ann", "ann@mail.example.com" },
        "ann@mail.example.com(ann) "
        "ann@mail.example.com(ann@mail.example.com) " },
    { "no originals", "enable_original_recipient = no\n",
        { "ann", "ann@mail.example.com" }, "ann@mail.example.com() " },
    { "alias", MAPS "virtual_alias_maps = inline:{a@x.y=b@z}\n", { "a@x.y" },
        "b@z.example.com(a@x.y) " },
    { "alias of aliases",
        MAPS "virtual_alias_maps = inline:{{a@x.y=b@x.y,c@x.y},"
             "{b@x.y=d@x.y,e@x.y}}\n",
        { "a@x.y" }, "d@x.y(a@x.y) e@x.y(a@x.y) c@x.y(a@x.y) " },
    { "copy kept", MAPS "virtual_alias_maps = inline:{{a@x.y=a@x.y,b@x.y}}\n",
        { "a@x.y" }, "a@x.y(a@x.y) b@x.y(a@x.y) " },
    { "extension propagated",
        MAPS "virtual_alias_maps = inline:{a@x.y=b@z.z}\n", { "a+e@x.y" },
        "b+e@z.z(a+e@x.y) " },
    { "extension matched", MAPS "virtual_alias_maps = inline:{a+e@x.y=b@z.z}\n",
        { "a+e@x.y" }, "b@z.z(a+e@x.y) " },
    { "extension not propagated",
        MAPS "virtual_alias_maps = inline:{a@x.y=b@z.z}\n"
             "propagate_unmatched_extensions =\n",
        { "a+e@x.y" }, "b@z.z(a+e@x.y) " },
    { "other domain", MAPS "virtual_alias_maps = inline:{@x.y=@z.z}\n",
        { "a+e@x.y" }, "a+e@z.z(a+e@x.y) " },
    { "other domain for one user",
        MAPS "virtual_alias_maps = inline:{a@x.y=@z.z}\n", { "a+e@x.y" },
        "a+e@z.z(a+e@x.y) " },
    { "local user", MAPS "virtual_alias_maps = inline:{a=b}\n", { "a" },
        "b@mail.example.com(a) " },
    { "user elsewhere", MAPS "virtual_alias_maps = inline:{a=b}\n", { "a@x.y" },
        "a@x.y(a@x.y) " },
    { "bcc", MAPS "always_bcc = log\n", { "a@x.y" },
        "a@x.y(a@x.y) log@mail.example.com(log)! " },
    { "no bcc of our own", MAPS "always_bcc = log\n", { "a@x.y" },
        "a@x.y(a@x.y) ", ENVELOPE_INTERNAL },
    { "no mappings",
        MAPS "always_bcc = log\nvirtual_alias_maps = inline:{a@x.y=b@z}\n",
        { "a@x.y" }, "a@x.y(a@x.y) ", ENVELOPE_NO_MAPPING },
};

static void
test_envelopes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(envelopes) / sizeof(envelopes[0]); i++) {
        struct mail m = { .main_cf = envelopes[i].main_cf,
            .flags = envelopes[i].flags,
            .content = SLICE_LIT("A: 1\r\n") };

        print_message("  %s\n", envelopes[i].name);
        memcpy(m.recipients, envelopes[i].in, sizeof(envelopes[i].in));
        run_ok(&m);
        assert_string_equal(buf_text(&queue.recipients), envelopes[i].out);
    }
}

static void
test_abort(void **state)
{
    struct config_set *set = tables_config("");
    struct cleanup_options options = { .set = set,
        .service = "cleanup",
        .queue = &fake_queue };
    struct envelope env = { .id = 1 };
    struct arena arena;
    struct cleanup *c;
    struct why why;

    (void)state;
    queue.count = 0;
    arena_init(&arena, ARENA_MAX);
    assert_int_equal(cleanup_begin(&options, &env, &arena, &c, &why),
        RESULT_OK);
    cleanup_content(c, SLICE_LIT("A: 1\r\n\r\nx"));
    assert_int_equal(cleanup_status(c, &why), RESULT_OK);
    cleanup_abort(c);
    cleanup_abort(NULL);
    assert_int_equal(queue.count, 0);
    arena_clear(&arena);
    config_drop(set);
    cleanup_close_tables();
}

static int
set_up(void **state)
{
    (void)state;
    (void)setenv("TZ", "UTC", 1);
    buf_init(&queue.header, TEXT_MAX);
    buf_init(&queue.body, TEXT_MAX);
    buf_init(&queue.recipients, TEXT_MAX);
    buf_init(&logged, TEXT_MAX);
    log_set_sink(keep_log, NULL, NULL);
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    buf_fini(&queue.header);
    buf_fini(&queue.body);
    buf_fini(&queue.recipients);
    log_set_sink(NULL, NULL, NULL);
    buf_fini(&logged);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_contents),
        cmocka_unit_test(test_own_client),
        cmocka_unit_test(test_completion),
        cmocka_unit_test(test_null_sender),
        cmocka_unit_test(test_name_injection),
        cmocka_unit_test(test_prepended),
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_8bit),
        cmocka_unit_test(test_header_size_limit),
        cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_blob),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_queue_refuses),
        cmocka_unit_test(test_blob_returned),
        cmocka_unit_test(test_envelopes),
        cmocka_unit_test(test_abort),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
