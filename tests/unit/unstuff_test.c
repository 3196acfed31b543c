#include "smtpd/unstuff.h"

#include "tests/unit/unstuff_oracle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

enum { OUT_MAX = 1 << 16, EXHAUSTIVE = 8 };

static const struct {
    const char *name, *in;
    const char *strict, *strict_rest; /* rest NULL: no end */
    const char *lenient, *lenient_rest;
} cases[] = {
    { "plain", "a\r\nb\r\n.\r\n", "a\r\nb\r\n", "", "a\r\nb\r\n", "" },
    { "empty", ".\r\n", "", "", "", "" },
    { "rest", "a\r\n.\r\nQUIT\r\n", "a\r\n", "QUIT\r\n", "a\r\n", "QUIT\r\n" },
    { "dots", "..\r\n...\r\n.a\r\n.\r\n", ".\r\n..\r\na\r\n", "",
        ".\r\n..\r\na\r\n", "" },
    { "bare LF", "a\nb\r\n.\r\n", "a\r\nb\r\n", "", "a\r\nb\r\n", "" },
    { "LF.LF", "a\n.\nb\r\n.\r\n", "a\r\nb\r\n", "", "a\r\n", "b\r\n.\r\n" },
    { "CRLF.LF", "a\r\n.\nb\r\n.\r\n", "a\r\nb\r\n", "", "a\r\n",
        "b\r\n.\r\n" },
    { "LF.CRLF", "a\n.\r\nb\r\n.\r\n", "a\r\nb\r\n", "", "a\r\n",
        "b\r\n.\r\n" },
    { "CR.CR", "a\r.\rb\r\n.\r\n", "a . b\r\n", "", "a . b\r\n", "" },
    { "CRLF.CR", "a\r\n.\rb\r\n.\r\n", "a\r\n b\r\n", "", "a\r\n b\r\n", "" },
    { "CR.CRLF", "a\r.\r\nb\r\n.\r\n", "a .\r\nb\r\n", "", "a .\r\nb\r\n", "" },
    { "CRLF.CRCRLF", "a\r\n.\r\r\nb\r\n.\r\n", "a\r\n\r\nb\r\n", "",
        "a\r\n\r\nb\r\n", "" },
    { "CRCRLF.CRLF", "a\r\r\n.\r\n", "a\r\n", "", "a\r\n", "" },
    { "CRCRLF in a header", "a: b\r\r\n\r\r\nc\r\r\n.\r\n", "a: b\r\n\r\nc\r\n",
        "", "a: b\r\n\r\nc\r\n", "" },
    { "CRs in a line", "a\r\r\rb\r\n.\r\n", "a   b\r\n", "", "a   b\r\n", "" },
    { "no end", "a\r\n.", "a\r\n", NULL, "a\r\n", NULL },
    { "first line", "\n.\r\n.\r\n", "\r\n", "", "\r\n", ".\r\n" },
};

static size_t
cut_fixed(void *context)
{
    const size_t *size = context;

    return *size;
}

/* The first piece as long as told, then all that is left. */
static size_t
cut_once(void *context)
{
    size_t *first = context, now = *first;

    *first = SIZE_MAX;
    return now;
}

static void
assert_text(struct slice got, const char *want)
{
    /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): all have one */
    assert_int_equal(got.len, strlen(want));
    if (got.len > 0)
        assert_memory_equal(got.ptr, want, got.len);
}

static void
check(enum unstuff_mode mode, const char *in, const char *want,
    const char *want_rest)
{
    for (size_t split = 1; split <= strlen(in); split++) {
        size_t first = split;
        struct slice rest;
        struct buf out;
        bool end;

        buf_init(&out, OUT_MAX);
        end = unstuff_all(mode, slice_of(in), cut_once, &first, &out, &rest);
        assert_int_equal(end, want_rest != NULL);
        assert_text(buf_slice(&out), want);
        if (end)
            assert_text(rest, want_rest);
        buf_fini(&out);
    }
}

static void
test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        print_message("  %s\n", cases[i].name);
        check(UNSTUFF_STRICT, cases[i].in, cases[i].strict,
            cases[i].strict_rest);
        check(UNSTUFF_LENIENT, cases[i].in, cases[i].lenient,
            cases[i].lenient_rest);
    }
}

static void
compare(enum unstuff_mode mode, struct slice in, struct buf *want,
    struct buf *got)
{
    struct slice want_rest, got_rest;
    bool end;

    buf_clear(want);
    end = oracle(mode, in, want, &want_rest);
    for (size_t split = 0; split < in.len; split++) {
        size_t first = split, one = 1;

        buf_clear(got);
        assert_int_equal(unstuff_all(mode, in,
                             split == 0 ? cut_fixed : cut_once,
                             split == 0 ? &one : &first, got, &got_rest),
            end);
        if (!end) /* what it passed on of the last line, the oracle has not */
            assert_true(got->len >= want->len);
        else
            assert_int_equal(got->len, want->len);
        if (want->len > 0)
            assert_memory_equal(got->ptr, want->ptr, want->len);
        if (end)
            assert_ptr_equal(got_rest.ptr, want_rest.ptr);
    }
}

/* Every text of some octets that matter, in front of the proper end. */
static void
test_exhaustively(void **state)
{
    static const char alphabet[] = "\r\n.a";
    static const char end[] = "\r\n.\r\n";
    char text[EXHAUSTIVE + sizeof(end)];
    struct buf want, got;

    (void)state;
    buf_init(&want, OUT_MAX);
    buf_init(&got, OUT_MAX);
    for (unsigned n = 0; n < 1U << (2 * EXHAUSTIVE); n++) {
        for (unsigned i = 0; i < EXHAUSTIVE; i++)
            text[i] = alphabet[n >> (2 * i) & 3];
        memcpy(text + EXHAUSTIVE, end, sizeof(end));
        for (enum unstuff_mode m = UNSTUFF_STRICT; m <= UNSTUFF_RAW; m++)
            compare(m, (struct slice){ text, EXHAUSTIVE + sizeof(end) - 1 },
                &want, &got);
    }
    buf_fini(&want);
    buf_fini(&got);
}

/* Nothing that needs no change is cut: clean-up gets it in one piece. */
static void
test_long_runs(void **state)
{
    struct slice in = SLICE_LIT("one\r\ntwo\r\n\r\nthree.\r\n..four\r\n.\r\n");
    struct slice run;
    struct unstuff u;

    (void)state;
    unstuff_init(&u, UNSTUFF_STRICT);
    assert_int_equal(unstuff_next(&u, &in, &run), UNSTUFF_RUN);
    assert_text(run, "one\r\ntwo\r\n\r\nthree.\r\n");
    assert_int_equal(unstuff_next(&u, &in, &run), UNSTUFF_RUN);
    assert_text(run, ".four\r\n");
    assert_int_equal(unstuff_next(&u, &in, &run), UNSTUFF_END);
    assert_false(u.bare_lf);
}

static void
test_notes_bare_lf(void **state)
{
    struct slice in = SLICE_LIT("a\n.\r\n\r\n.\r\n"), run;
    struct unstuff u;

    (void)state;
    unstuff_init(&u, UNSTUFF_STRICT);
    while (unstuff_next(&u, &in, &run) == UNSTUFF_RUN)
        continue;
    assert_true(u.bare_lf);
}

/* A CR at the very end of what sendmail read. */
static void
test_raw_end(void **state)
{
    struct slice in = SLICE_LIT(".\na\r"), run;
    struct unstuff u;
    struct buf out;

    (void)state;
    buf_init(&out, OUT_MAX);
    unstuff_init(&u, UNSTUFF_RAW);
    while (unstuff_next(&u, &in, &run) == UNSTUFF_RUN)
        buf_add(&out, run);
    if (unstuff_finish(&u, &run))
        buf_add(&out, run);
    assert_text(buf_slice(&out), ".\r\na ");
    assert_false(unstuff_finish(&u, &run));
    buf_fini(&out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_exhaustively),
        cmocka_unit_test(test_long_runs),
        cmocka_unit_test(test_notes_bare_lf),
        cmocka_unit_test(test_raw_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
