#include "lib/mail/drop.h"

#include "lib/base/clock.h"

#include <assert.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The octets as a file, as in maildrop/. */
static struct stream *
open_file(const uint8_t *data, size_t size)
{
    int fd = memfd_create("drop", MFD_CLOEXEC);

    assert(fd >= 0);
    assert(write(fd, data, size) == (ssize_t)size);
    assert(lseek(fd, 0, SEEK_SET) == 0);
    return stream_new(fd);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stream *st = open_file(data, size);
    struct drop_reader reader;
    struct drop_answer answer;
    struct envelope env;
    struct slice octets = { "", 1 };
    struct arena arena;
    size_t content = 0;
    struct why why;

    arena_init(&arena, DROP_ARENA_MAX);
    if (drop_read_head(&reader, st, CLOCK_NEVER, &arena, &env, &why) ==
            RESULT_OK &&
        drop_sanitize(&env, &why) == RESULT_OK) {
        assert(env.recipient_count > 0);
        assert(env.id == 0 && env.client_addr.len == 0);
        assert((env.flags & (ENVELOPE_NO_MAPPING | ENVELOPE_INTERNAL)) == 0);
        while (octets.len > 0 &&
            drop_read_content(&reader, CLOCK_NEVER, &octets, &why) == RESULT_OK)
            content += octets.len;
        assert(content <= size);
    }
    arena_clear(&arena);
    stream_free(st);

    st = open_file(data, size);
    if (drop_read_answer(st, CLOCK_NEVER, &answer))
        assert(answer.result <= RESULT_PERMFAIL);
    stream_free(st);
    return 0;
}
