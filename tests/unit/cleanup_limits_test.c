/*
 * Clean-up's limits: long fields and lines, bodies that become blobs, what is
 * refused and how, and a message that is given up.
 */
#include "lib/base/crc32c.h"
#include "lib/mail/cleanup.h"
#include "tests/unit/cleanup_world.h"

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
    cleanup_abort(c);
    cleanup_abort(NULL);
    assert_int_equal(queue.count, 0);
    arena_clear(&arena);
    config_drop(set);
    cleanup_close_tables();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header_size_limit),
        cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_blob),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_queue_refuses),
        cmocka_unit_test(test_blob_returned),
        cmocka_unit_test(test_abort),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
