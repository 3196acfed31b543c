/*
 * sanitize - telling ASan, TSan and valgrind on which stack we are. Nothing is
 * left of it in a release build but valgrind's few no-ops.
 */
#pragma once

#include <stddef.h>

#if defined(__has_feature)
#    if __has_feature(address_sanitizer)
#        define IO_ASAN
#    endif
#    if __has_feature(thread_sanitizer)
#        define IO_TSAN
#    endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#    define IO_ASAN
#endif
#if defined(__SANITIZE_THREAD__)
#    define IO_TSAN
#endif

#if defined(IO_ASAN)
#    include <sanitizer/asan_interface.h>
#    include <sanitizer/common_interface_defs.h>
#endif
#if defined(IO_TSAN)
#    include <sanitizer/tsan_interface.h>
#endif
#if defined(__has_include)
#    if __has_include(<valgrind/memcheck.h>)
#        include <valgrind/memcheck.h>
#        define IO_VALGRIND
#    endif
#endif

/* Instrumented frames are several times larger. */
#if defined(IO_ASAN) || defined(IO_TSAN)
enum { STACK_FACTOR = 4 };
#else
enum { STACK_FACTOR = 1 };
#endif

/* What the tools know of one stack. */
struct sanitize {
    const void *bottom;
    size_t size;
    void *fake; /* ASan's */
    void *tsan; /* TSan's */
    unsigned valgrind;
};

/* Memory that was a stack before, and whose old frames count as out of bounds. */
static inline void
sanitize_fresh(void *memory, size_t size)
{
    (void)memory;
    (void)size;
#if defined(IO_ASAN)
    ASAN_UNPOISON_MEMORY_REGION(memory, size);
#endif
#if defined(IO_VALGRIND)
    (void)VALGRIND_MAKE_MEM_UNDEFINED(memory, size);
#endif
}

/* The stack [bottom, bottom + size) is now used by a fiber of its own. */
static inline void
sanitize_begin(struct sanitize *to, const void *bottom, size_t size)
{
    *to = (struct sanitize){ .bottom = bottom, .size = size };
#if defined(IO_TSAN)
    to->tsan = __tsan_create_fiber(0);
#endif
#if defined(IO_VALGRIND)
    to->valgrind = (unsigned)VALGRIND_STACK_REGISTER(bottom,
        (const char *)bottom + size);
#endif
}

/* That fiber has ended, and we are on another stack. */
static inline void
sanitize_end(struct sanitize *of)
{
    (void)of;
#if defined(IO_TSAN)
    __tsan_destroy_fiber(of->tsan);
#endif
#if defined(IO_VALGRIND)
    VALGRIND_STACK_DEREGISTER(of->valgrind);
#endif
}

/* The stack that the thread has from the system. */
static inline void
sanitize_thread(struct sanitize *of)
{
    *of = (struct sanitize){ 0 };
#if defined(IO_TSAN)
    of->tsan = __tsan_get_current_fiber();
#endif
}

/* Directly before a switch. from is NULL when it never comes back. */
static inline void
sanitize_leave(struct sanitize *from, struct sanitize *to)
{
    (void)from;
    (void)to;
#if defined(IO_ASAN)
    __sanitizer_start_switch_fiber(from == NULL ? NULL : &from->fake,
        to->bottom, to->size);
#endif
#if defined(IO_TSAN)
    __tsan_switch_to_fiber(to->tsan, 0);
#endif
}

/* Directly after it, on the other stack; fills in where we came from. */
static inline void
sanitize_enter(struct sanitize *here, struct sanitize *from)
{
    (void)here;
    (void)from;
#if defined(IO_ASAN)
    __sanitizer_finish_switch_fiber(here->fake,
        from == NULL ? NULL : &from->bottom, from == NULL ? NULL : &from->size);
#endif
}
