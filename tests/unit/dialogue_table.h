/*
 * dialogue_table - a test that is a table and nothing else: test_dialogue() plays
 * each row of dialogues. To be included behind both.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void
test_dialogues(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++)
        test_dialogue(&dialogues[i]);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dialogues),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
