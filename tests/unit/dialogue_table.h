/*
 * dialogue_table - test_dialogue() plays each row of dialogues. To be included
 * behind both.
 */
#pragma once

#include <stddef.h>

static void
test_dialogues(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++)
        test_dialogue(&dialogues[i]);
}
