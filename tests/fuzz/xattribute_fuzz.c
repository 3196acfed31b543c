#include "smtpd/xattribute.h"

#include "lib/io/sock.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_MAX = 1 << 20 };

static void
parse(const char *command, struct slice args)
{
    struct xattributes x;
    struct refusal no;
    struct arena arena;

    arena_init(&arena, ARENA_MAX);
    if (!xattributes_parse(command, args, &arena, &x, &no)) {
        assert(no.code == 501);
        arena_clear(&arena);
        return;
    }
    for (size_t a = 0; a < XATTRIBUTE_COUNT; a++) {
        struct slice value = x.of[a].value;

        if (x.of[a].state != XSTATE_KNOWN)
            continue;
        assert(value.len > 0 && value.len <= XVALUE_MAX);
        if (a == XATTRIBUTE_ADDR || a == XATTRIBUTE_DESTADDR)
            assert(value.len < SOCK_TEXT_MAX);
        for (size_t i = 0; i < value.len; i++)
            assert((unsigned char)value.ptr[i] >= ' ' && value.ptr[i] != 127);
    }
    arena_clear(&arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice args = { (const char *)data, size };

    parse("XCLIENT", args);
    parse("XFORWARD", args);
    return 0;
}
