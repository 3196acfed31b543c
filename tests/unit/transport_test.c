#include "qmgr/transport.h"

#include "lib/mail/status.h"
#include "qmgr/inside.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *text;
    bool good;
    double at_1, at_16;
} feedbacks[] = {
    { "1", true, 1, 1 },
    { "0", true, 0, 0 },
    { "0.25", true, 0.25, 0.25 },
    { "1/4", true, 0.25, 0.25 },
    { "1 / concurrency", true, 1, 0.0625 },
    { "1/sqrt_concurrency", true, 1, 0.25 },
    { "", false },
    { "x", false },
    { "1/", false },
    { "1/0", false },
    { "1/concurrencyx", false },
    { "-1", false },
    { "1x", false },
    { "nan", false },
};

static void
test_feedback(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(feedbacks) / sizeof(feedbacks[0]); i++) {
        struct feedback f;

        print_message("  \"%s\"\n", feedbacks[i].text);
        assert_int_equal(feedback_parse(feedbacks[i].text, &f),
            feedbacks[i].good);
        if (!feedbacks[i].good)
            continue;
        assert_float_equal(feedback_of(&f, 1), feedbacks[i].at_1, 1e-9);
        assert_float_equal(feedback_of(&f, 16), feedbacks[i].at_16, 1e-9);
    }
}

static const struct {
    const char *in, *fallback, *status, *rest;
} texts[] = {
    { "5.1.1 no such user", "5.0.0", "5.1.1", "no such user" },
    { "no such user", "5.0.0", "5.0.0", "no such user" },
    { "4.7.1 go away", "5.0.0", "5.7.1", "go away" },
    { "5.7.123", "4.0.0", "4.7.123", "" },
    { "5.7.1234 x", "5.0.0", "5.0.0", "5.7.1234 x" },
    { "5.7 x", "5.0.0", "5.0.0", "5.7 x" },
    { "9.7.1 x", "5.0.0", "5.0.0", "9.7.1 x" },
    { "5..1 x", "5.0.0", "5.0.0", "5..1 x" },
    { "", "2.0.0", "2.0.0", "" },
};

static void
test_status_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char status[10];
        struct slice rest = status_split(slice_of(texts[i].in),
            texts[i].fallback, status);

        print_message("  \"%s\"\n", texts[i].in);
        assert_string_equal(status, texts[i].status);
        assert_true(slice_eq_text(rest, texts[i].rest));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_feedback),
        cmocka_unit_test(test_status_split),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
