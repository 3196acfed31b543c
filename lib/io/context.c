#include "lib/io/context.h"

#include <stdint.h>
#include <stdlib.h>

#if !defined(CONTEXT_IS_UCONTEXT)

/* In context_x86_64.S. */
void context_start(void);

/* As context_swap() leaves a stack, from the lowest address on. */
struct frame {
    uint32_t mxcsr;
    uint16_t x87_control, unused;
    void *r15, *r14;
    void (*r13)(void *arg);
    void *r12, *rbx, *rbp;
    void (*resume)(void);
    void *no_caller; /* where a debugger's backtrace ends */
};

void
context_make(struct context *c, void *stack, size_t size, void (*fn)(void *arg),
    void *arg)
{
    char *top = (char *)stack + size - ((uintptr_t)stack + size) % 16;
    struct frame *f = (struct frame *)(void *)(top - 8 - sizeof(*f));

    *f = (struct frame){ .r13 = fn, .r12 = arg, .resume = context_start };
    __asm__("stmxcsr %0" : "=m"(f->mxcsr));
    __asm__("fnstcw %0" : "=m"(f->x87_control));
    c->sp = f;
}

#else

/* makecontext(3) hands over ints. */
static void
start(unsigned high, unsigned low)
{
    struct context *c = (struct context *)(((uintptr_t)high << 16 << 16) | low);

    c->fn(c->arg);
    abort();
}

void
context_make(struct context *c, void *stack, size_t size, void (*fn)(void *arg),
    void *arg)
{
    uintptr_t self = (uintptr_t)c;

    c->fn = fn;
    c->arg = arg;
    if (getcontext(&c->saved) < 0)
        abort();
    c->saved.uc_stack.ss_sp = stack;
    c->saved.uc_stack.ss_size = size;
    c->saved.uc_link = NULL;
    makecontext(&c->saved, (void (*)(void))start, 2,
        (unsigned)(self >> 16 >> 16), (unsigned)self);
}

void
context_swap(struct context *from, struct context *to)
{
    if (swapcontext(&from->saved, &to->saved) < 0)
        abort();
}

#endif
