#include "lib/mail/delivery_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

struct shown {
    int64_t us, resolution;
    const char *text;
};

static void
test_delays(void **state)
{
    static const struct shown cases[] = {
        { -5, 2, "0" },
        { 0, 2, "0" },
        { 4999, 2, "0" },
        { 5001, 2, "0.01" },
        { 14000, 2, "0.01" },
        { 99900, 2, "0.1" },
        { 123456, 2, "0.12" },
        { 300000, 2, "0.3" },
        { 999999, 2, "1" },
        { 1260000, 2, "1.3" },
        { 9990000, 2, "10" },
        { 12600000, 2, "13" },
        { 100000000, 2, "100" },
        { 86400000000, 2, "86400" },
        { 612, 6, "0.00061" },
        { 12, 6, "0.000012" },
        { 1, 6, "0.000001" },
        { 14000, 6, "0.014" },
        { 123456, 6, "0.12" },
        { 1260000, 6, "1.3" },
        { 612, 4, "0.0006" },
        { 123456, 1, "0.1" },
        { 1260000, 0, "1" },
        { 400000, 0, "0" },
        { INT64_MAX, 6, "9223372036855" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char text[DELAY_TEXT_SIZE];

        assert_string_equal(delivery_delay_text(cases[i].us,
                                cases[i].resolution, text),
            cases[i].text);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_delays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
