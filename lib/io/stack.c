#include "lib/io/stack.h"

#include "lib/base/mem.h"

#include <sys/mman.h>

#if !defined(MADV_GUARD_INSTALL)
#    define MADV_GUARD_INSTALL 102
#endif

enum {
    GUARD_SIZE = 16384, /* a frame may skip a page of it without touching it */
    STRIDE = GUARD_SIZE + STACK_SIZE,
    ARENA_STACKS = 64,
    HOT_STACKS = 256, /* free ones that keep their memory */
};

void
stack_pool_init(struct stack_pool *p)
{
    *p = (struct stack_pool){ 0 };
}

void
stack_pool_fini(struct stack_pool *p)
{
    const size_t size = (size_t)STRIDE * ARENA_STACKS;

    for (size_t i = 0; i < p->arena_count; i++) {
        sanitize_fresh(p->arenas[i], size); /* others may get the addresses */
        (void)munmap(p->arenas[i], size);
    }
    mem_free(p->arenas);
    mem_free(p->free);
    stack_pool_init(p);
}

/*
 * Without MADV_NOHUGEPAGE, and with huge pages set to "always", one touched
 * stack would cost 2 MB.
 */
static bool
add_arena(struct stack_pool *p)
{
    const size_t size = (size_t)STRIDE * ARENA_STACKS;
    char *arena = mmap(NULL, size, PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (arena == MAP_FAILED)
        return false;
    (void)madvise(arena, size, MADV_NOHUGEPAGE);
    p->arenas = mem_resize(p->arenas, (p->arena_count + 1) * sizeof(char *));
    p->arenas[p->arena_count++] = arena;
    p->free_room = p->arena_count * ARENA_STACKS;
    p->free = mem_resize(p->free, p->free_room * sizeof(char *));
    p->unused = ARENA_STACKS;
    return true;
}

static bool
set_guard(struct stack_pool *p, char *guard)
{
    if (!p->split && madvise(guard, GUARD_SIZE, MADV_GUARD_INSTALL) == 0)
        return true;
    p->split = true;
    return mprotect(guard, GUARD_SIZE, PROT_NONE) == 0;
}

static char *
make_stack(struct stack_pool *p)
{
    char *guard;

    if (p->unused == 0 && !add_arena(p))
        return NULL;
    guard = p->arenas[p->arena_count - 1] + (p->unused - 1) * STRIDE;
    if (!set_guard(p, guard))
        return NULL;
    p->unused--;
    return guard + GUARD_SIZE;
}

char *
stack_take(struct stack_pool *p)
{
    if (p->free_count == 0)
        return make_stack(p);
    p->free_count--;
    if (p->cold > p->free_count)
        p->cold = p->free_count;
    return p->free[p->free_count];
}

void
stack_give(struct stack_pool *p, char *stack)
{
    p->free[p->free_count++] = stack;
    if (p->free_count - p->cold > HOT_STACKS)
        (void)madvise(p->free[p->cold++], STACK_SIZE, MADV_DONTNEED);
}
