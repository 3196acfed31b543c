#include "lib/io/stack.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { MANY = 1000 };

static char *stacks[MANY];

/* The pages of a stack that are in memory. */
static unsigned
pages_of(char *stack)
{
    unsigned char in_memory[STACK_SIZE / 4096];
    unsigned n = 0;

    assert_int_equal(mincore(stack, STACK_SIZE, in_memory), 0);
    for (size_t i = 0; i < sizeof(in_memory); i++)
        n += in_memory[i] & 1;
    return n;
}

static void
take_many(struct stack_pool *p)
{
    for (unsigned i = 0; i < MANY; i++) {
        stacks[i] = stack_take(p);
        assert_non_null(stacks[i]);
        memset(stacks[i] + STACK_SIZE - 16384, (int)i, 16384);
    }
}

static void
give_many(struct stack_pool *p)
{
    for (unsigned i = 0; i < MANY; i++)
        stack_give(p, stacks[i]);
}

/* No two overlap: each still holds what was written to it. */
static void
test_apart(void **state)
{
    struct stack_pool p;

    (void)state;
    stack_pool_init(&p);
    take_many(&p);
    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal((uintptr_t)stacks[i] % 4096, 0);
        assert_int_equal((unsigned char)stacks[i][STACK_SIZE - 1], i % 256);
        assert_int_equal((unsigned char)stacks[i][STACK_SIZE - 16384], i % 256);
    }
    stack_pool_fini(&p);
}

/* Most free stacks hold no memory; the last ones do, and are taken first. */
static void
test_memory_goes_back(void **state)
{
    struct stack_pool p;
    unsigned hot = 0;
    char *last;

    (void)state;
    stack_pool_init(&p);
    take_many(&p);
    last = stacks[MANY - 1];
    for (unsigned round = 0; round < 3; round++) {
        give_many(&p);
        assert_int_equal(p.free_count, MANY);
        hot = 0;
        for (unsigned i = 0; i < MANY; i++)
            hot += pages_of(stacks[i]) > 0;
        assert_in_range(hot, 100, 300);
        take_many(&p);
        assert_int_equal(p.free_count, 0);
        assert_int_equal(p.arena_count, (MANY + 63) / 64); /* no new ones */
    }
    stack_give(&p, last);
    assert_int_equal(pages_of(last), 4);
    assert_ptr_equal(stack_take(&p), last);
    stack_pool_fini(&p);
}

/* Where a child dies that writes to the octet. */
static int
write_to(volatile char *octet)
{
    const struct rlimit none = { 0, 0 };
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        (void)setrlimit(RLIMIT_CORE, &none);
        (void)signal(SIGSEGV, SIG_DFL);
        *octet = 'x';
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void
check_guards(bool split)
{
    struct stack_pool p;

    stack_pool_init(&p);
    p.split = split;
    for (unsigned i = 0; i < 66; i++) { /* more than one mapping */
        stacks[i] = stack_take(&p);
        assert_non_null(stacks[i]);
    }
    for (unsigned i = 0; i < 66; i += 13) {
        stack_give(&p, stacks[i]);
        assert_ptr_equal(stack_take(&p), stacks[i]);
        assert_int_equal(write_to(stacks[i]), 0);
        assert_int_equal(write_to(stacks[i] - 1), SIGSEGV);
        assert_int_equal(write_to(stacks[i] - 16384), SIGSEGV);
    }
    stack_pool_fini(&p);
}

static void
test_guards(void **state)
{
    (void)state;
    check_guards(false);
}

static void
test_guards_of_older_kernels(void **state)
{
    (void)state;
    check_guards(true);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_apart),
        cmocka_unit_test(test_memory_goes_back),
        cmocka_unit_test(test_guards),
        cmocka_unit_test(test_guards_of_older_kernels),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
