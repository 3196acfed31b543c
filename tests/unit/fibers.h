/*
 * fibers - what tests of fibers share: a scheduler and a clock that stands
 * still for each test.
 *
 * A failed assertion must not jump across stacks: fibers note what they saw,
 * and the test looks at the notes.
 */
#pragma once

#include "lib/base/clock.h"
#include "lib/io/fiber.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#    define SANITIZED
#elif defined(__has_feature)
#    if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#        define SANITIZED
#    endif
#endif

/* TSan has room for about 8,000 threads, and counts fibers as such. */
#if defined(SANITIZED)
enum { MANY = 2000 };
#else
enum { MANY = 10000 };
#endif

enum { NOW = 1000 };

static char notes[1024];

static inline void
note(const char *text)
{
    size_t len = strlen(notes);

    (void)snprintf(notes + len, sizeof(notes) - len, "%s", text);
}

static inline int
open_sched(void **state)
{
    (void)state;
    notes[0] = '\0';
    clock_set(NOW, 0);
    sched_open();
    return 0;
}

static inline int
close_sched(void **state)
{
    (void)state;
    sched_close();
    clock_unset();
    return 0;
}

static inline void
settle(void)
{
    while (sched_turn())
        continue;
}

static inline void
advance(int64_t ms)
{
    clock_advance_ms(ms);
    settle();
}

static inline struct fiber *
spawn(fiber_fn fn, void *arg)
{
    struct fiber *f = fiber_spawn("test", fn, arg);

    assert_non_null(f);
    return f;
}

#define FIBER_TEST(fn) \
    cmocka_unit_test_setup_teardown(fn, open_sched, close_sched)
