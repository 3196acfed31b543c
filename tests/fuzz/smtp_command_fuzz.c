#include "smtpd/command.h"
#include "smtpd/path_argument.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_MAX = 1 << 20 };

static bool
lies_in(struct slice s, struct slice in)
{
    return s.len == 0 || (s.ptr >= in.ptr && s.ptr + s.len <= in.ptr + in.len);
}

static void
parse_path(struct slice args, const char *keyword, bool strict)
{
    struct path_argument path;
    struct arena arena;

    arena_init(&arena, ARENA_MAX);
    if (path_argument_parse(args, keyword, strict, &arena, &path) ==
        PATH_FOUND) {
        assert(lies_in(path.text, args));
        assert(lies_in(path.parameters, args));
        for (size_t i = 0; i < path.address.len; i++)
            assert((unsigned char)path.address.ptr[i] >= ' ');
    }
    arena_clear(&arena);
}

/* A command line, as stream_read_line() gives it: anything but LF. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice line = { (const char *)data, size }, args;
    enum verb verb = command_parse(line, &args);

    assert(verb <= VERB_COUNT);
    assert(lies_in(args, line));
    (void)command_is_forbidden("CONNECT GET regexp:{{/^[^A-Z]/ Bogus}}", verb,
        line);
    parse_path(args, "FROM", false);
    parse_path(args, "TO", true);
    return 0;
}
