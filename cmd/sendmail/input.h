/*
 * input - the message on standard input: up to its end or, where dots are not
 * ignored, a line with nothing but a dot; without an mbox "From " line in front.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"

#include <stdbool.h>

struct input {
    int fd;
    bool ignore_dots;
    bool ended;
    bool begun;    /* past the place where a "From " line may be */
    bool mid_line; /* what was given last ended inside a line */
    struct buf in; /* read */
    size_t given;  /* of it, by the last call */
};

void input_init(struct input *i, int fd, bool ignore_dots) ATTR_NONNULL;
void input_fini(struct input *i) ATTR_NONNULL;

/*
 * The next lines: whole ones, except where a line is longer than what is read
 * at a time. Empty at the end. Good until the next call.
 */
enum result input_next(struct input *i, struct slice *lines, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;
