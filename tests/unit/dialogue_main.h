/*
 * dialogue_main - a test that is its table of dialogues and nothing else. To be
 * included behind it.
 */
#pragma once

#include "tests/unit/dialogue_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dialogues),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
