#include "lib/base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static struct {
    enum log_level level;
    char tag[40], line[LOG_TEXT_MAX + 100];
    unsigned lines, flushes;
} got;

static void
take_line(void *context, enum log_level level, const char *tag,
    struct slice line)
{
    assert_ptr_equal(context, &got);
    assert_true(line.len < sizeof(got.line));
    got.level = level;
    got.lines++;
    (void)snprintf(got.tag, sizeof(got.tag), "%s", tag);
    memcpy(got.line, line.ptr, line.len);
    got.line[line.len] = '\0';
}

static void
take_flush(void *context)
{
    (void)context;
    got.flushes++;
}

static int
set_sink(void **state)
{
    (void)state;
    memset(&got, 0, sizeof(got));
    log_set_sink(take_line, take_flush, &got);
    return 0;
}

static int
unset_sink(void **state)
{
    (void)state;
    log_set_sink(NULL, NULL, NULL);
    log_set_tag(NULL);
    return 0;
}

static const struct {
    enum log_level level;
    const char *line;
} levels[] = {
    { LOG_LEVEL_INFO, "text 7" },
    { LOG_LEVEL_WARNING, "warning: text 7" },
    { LOG_LEVEL_ERROR, "error: text 7" },
    { LOG_LEVEL_FATAL, "fatal: text 7" },
    { LOG_LEVEL_PANIC, "panic: text 7" },
};

static void
test_levels(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        log_write(levels[i].level, NULL, "text %d", 7);
        assert_int_equal(got.level, levels[i].level);
        assert_string_equal(got.line, levels[i].line);
    }
    log_flush();
    assert_int_equal(got.flushes, 1);
}

static void
test_tags(void **state)
{
    (void)state;
    log_info("x");
    assert_string_equal(got.tag, "postern");
    log_set_tag("postfix/smtpd");
    log_info("x");
    assert_string_equal(got.tag, "postfix/smtpd");
    log_write(LOG_LEVEL_INFO, "postfix/cleanup", "x");
    assert_string_equal(got.tag, "postfix/cleanup");
}

static const struct {
    const char *name, *in, *out;
} texts[] = {
    { "plain", "from=<a@b>, size=7", "from=<a@b>, size=7" },
    { "new lines", "a\nb\r\nc", "a?b??c" },
    { "controls", "\x01\t\x1b[31m\x7f",
        "??"
        "?[31m?" },
    { "two octets", "\xc3\xa4", "\xc3\xa4" },
    { "three octets", "\xe2\x82\xac", "\xe2\x82\xac" },
    { "four octets", "\xf0\x9f\x93\xac!", "\xf0\x9f\x93\xac!" },
    { "control in UTF-8", "\xc2\x85x", "??x" },
    { "no-break space", "\xc2\xa0", "\xc2\xa0" },
    { "alone", "\xa4x", "?x" },
    { "cut off", "x\xe2\x82", "x??" },
    { "interrupted", "\xe2\x82x", "??x" },
    { "too long a form", "\xc0\x8a", "??" },
    { "too long a form of three", "\xe0\x80\x8a", "???" },
    { "surrogate", "\xed\xa0\x80", "???" },
    { "too large", "\xf4\x90\x80\x80", "????" },
    { "no lead", "\xff\xfe", "??" },
};

static void
test_printable(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        print_message("  %s\n", texts[i].name);
        log_info("%s", texts[i].in);
        assert_string_equal(got.line, texts[i].out);
    }
}

static void
test_cut_at_limit(void **state)
{
    static char text[LOG_TEXT_MAX * 2];
    size_t len;

    (void)state;
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    log_warning("%s", text);
    len = strlen(got.line);
    assert_in_range(len, LOG_TEXT_MAX - 1, LOG_TEXT_MAX);
    assert_memory_equal(got.line, "warning: aaa", 12);
    /* Not in the middle of a character. */
    for (unsigned shift = 0; shift < 3; shift++) {
        for (size_t i = shift; i + 3 < sizeof(text); i += 3)
            memcpy(text + i, "\xe2\x82\xac", 3);
        log_info("%s", text);
        assert_true(
            slice_ends_nocase(slice_of(got.line), SLICE_LIT("\xe2\x82\xac")) ||
            got.line[strlen(got.line) - 1] == '?');
    }
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_sink, unset_sink)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_levels),
        TEST(test_tags),
        TEST(test_printable),
        TEST(test_cut_at_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
