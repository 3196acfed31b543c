/*
 * context - the switch between two stacks: a few lines of assembly on x86-64,
 * swapcontext(3) elsewhere and with -DPOSTERN_UCONTEXT.
 */
#pragma once

#include "lib/base/attr.h"

#include <stddef.h>

#if defined(__x86_64__) && !defined(POSTERN_UCONTEXT)
struct context {
    void *sp; /* what must survive a call lies on the stack */
};
#else
#    define CONTEXT_IS_UCONTEXT

#    include <ucontext.h>

struct context {
    ucontext_t saved;
    void (*fn)(void *arg);
    void *arg;
};
#endif

/* When first switched to, c calls fn(arg), which must not return. */
void context_make(struct context *c, void *stack, size_t size,
    void (*fn)(void *arg), void *arg) ATTR_NONNULL;

/* Leave *from, go on where *to was left. */
void context_swap(struct context *from, struct context *to) ATTR_NONNULL;
