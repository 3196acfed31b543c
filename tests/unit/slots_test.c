#include "lib/daemon/slots.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct slots *
make(int *fd)
{
    struct slots *s = slots_create(fd);

    assert_non_null(s);
    return s;
}

static void
test_limit(void **state)
{
    int fd;
    struct slots *s = make(&fd);

    (void)state;
    slots_clear_column(s, 0);
    slots_clear_column(s, 5);
    slots_set_limit(s, 3, 2);
    assert_true(slots_take(s, 3, 0));
    assert_true(slots_take(s, 3, 5));
    assert_false(slots_take(s, 3, 0));
    assert_false(slots_take(s, 3, 5));
    assert_int_equal(slots_used(s, 3), 2);
    assert_true(slots_take(s, 4, 0)); /* another row: no limit */
    slots_give(s, 3, 0);
    assert_true(slots_take(s, 3, 5));
    slots_set_limit(s, 3, 3);
    assert_true(slots_take(s, 3, 0));
    slots_set_limit(s, 3, 1); /* those who are in stay */
    assert_int_equal(slots_used(s, 3), 3);
    assert_false(slots_take(s, 3, 0));
    slots_set_limit(s, 3, 0);
    assert_true(slots_take(s, 3, 0));
    slots_unmap(s);
    close(fd);
}

/* Short of slots: from the last one until a quarter is free, told once. */
static void
test_strain(void **state)
{
    int fd;
    struct slots *s = make(&fd);
    uint32_t begun;

    (void)state;
    slots_clear_column(s, 0);
    assert_true(slots_take(s, 3, 0));
    assert_false(slots_strained(s, 3, &begun)); /* no limit */
    slots_set_limit(s, 3, 1);
    assert_false(slots_strained(s, 3, &begun)); /* one at a time */
    slots_set_limit(s, 3, 4);
    for (unsigned i = 0; i < 2; i++)
        assert_true(slots_take(s, 3, 0));
    assert_false(slots_strained(s, 3, &begun));
    assert_int_equal(begun, 0);
    assert_true(slots_take(s, 3, 0));
    assert_true(slots_strained(s, 3, &begun));
    assert_int_equal(begun, 4);
    assert_true(slots_strained(s, 3, &begun));
    assert_int_equal(begun, 0);
    slots_give(s, 3, 0);
    assert_true(slots_strained(s, 3, &begun));
    slots_give(s, 3, 0);
    assert_false(slots_strained(s, 3, &begun));
    assert_true(slots_take(s, 3, 0));
    assert_false(slots_strained(s, 3, &begun));
    assert_true(slots_take(s, 3, 0));
    assert_true(slots_strained(s, 3, &begun));
    assert_int_equal(begun, 4);
    slots_unmap(s);
    close(fd);
}

/* Behind the strangers' limit some are left, by which nobody is strained. */
static void
test_kept(void **state)
{
    uint32_t begun;
    int fd;
    struct slots *s = make(&fd);

    (void)state;
    slots_clear_column(s, 0);
    assert_true(slots_take(s, 3, 0));
    assert_false(slots_exceeded(s, 3)); /* no limit */
    slots_set_limit(s, 3, 5);
    slots_keep(s, 3, 2);
    assert_true(slots_take(s, 3, 0));
    assert_false(slots_strained(s, 3, &begun));
    assert_true(slots_take(s, 3, 0));
    assert_true(slots_strained(s, 3, &begun));
    assert_int_equal(begun, 3);
    assert_false(slots_exceeded(s, 3));
    assert_true(slots_take(s, 3, 0));
    assert_true(slots_exceeded(s, 3));
    assert_true(slots_take(s, 3, 0));
    assert_false(slots_take(s, 3, 0));
    slots_give(s, 3, 0);
    slots_give(s, 3, 0);
    assert_false(slots_exceeded(s, 3));
    slots_unmap(s);
    close(fd);
}

/* A dead process's column is cleared; the others keep theirs. */
static void
test_death(void **state)
{
    int fd;
    struct slots *s = make(&fd);

    (void)state;
    slots_clear_column(s, 0);
    slots_clear_column(s, 1);
    slots_set_limit(s, 0, 2);
    assert_true(slots_take(s, 0, 0));
    assert_true(slots_take(s, 0, 1));
    slots_clear_column(s, 1);
    assert_int_equal(slots_used(s, 0), 1);
    assert_true(slots_take(s, 0, 0));
    slots_give(s, 0, 1); /* a stray one does not go below nothing */
    assert_int_equal(slots_used(s, 0), 2);
    slots_unmap(s);
    close(fd);
}

/*
 * Processes that fight for three slots: each holder also raises a row of which
 * more than three may never be seen, and which therefore has no limit.
 */
enum { FIGHTERS = 4, ROUNDS = 20000, LIMIT = 3, WITNESS = 1 };

static void
fight(int fd, unsigned column)
{
    struct slots *s = slots_map(fd);
    unsigned got = 0;

    while (s != NULL && got < ROUNDS) {
        if (!slots_take(s, 0, column)) {
            sched_yield(); /* the holders may all be waiting for a processor */
            continue;
        }
        got++;
        if (!slots_take(s, WITNESS, column) || slots_used(s, WITNESS) > LIMIT)
            _exit(2); /* a fourth one */
        slots_give(s, WITNESS, column);
        slots_give(s, 0, column);
    }
    _exit(s != NULL ? 0 : 1);
}

static void
test_race(void **state)
{
    int fd, status;
    struct slots *s = make(&fd);
    pid_t pids[FIGHTERS];

    (void)state;
    slots_set_limit(s, 0, LIMIT);
    for (unsigned i = 0; i < FIGHTERS; i++)
        slots_clear_column(s, i);
    for (unsigned i = 0; i < FIGHTERS; i++) {
        pids[i] = fork();
        if (pids[i] == 0)
            fight(fd, i);
    }
    for (unsigned i = 0; i < FIGHTERS; i++) {
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    assert_int_equal(slots_used(s, 0), 0);
    slots_unmap(s);
    close(fd);
}

/* Nobody who has it can cut it off under the others. */
static void
test_sealed(void **state)
{
    int fd;
    struct slots *s = make(&fd);

    (void)state;
    assert_int_equal(ftruncate(fd, 0), -1);
    slots_unmap(s);
    close(fd);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_strain),
        cmocka_unit_test(test_kept),
        cmocka_unit_test(test_death),
        cmocka_unit_test(test_race),
        cmocka_unit_test(test_sealed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
