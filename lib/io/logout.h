/*
 * logout - the far end of the log: writes batches of lines to a file, pipe or
 * terminal, or as datagrams to syslog's socket. Inside of logsink.
 *
 * It never blocks for long and never fails: what cannot be written is lost and
 * counted.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"
#include "lib/io/logsink.h"

#include <stdbool.h>
#include <stddef.h>

struct logout {
    enum logsink_kind kind;
    int fd;     /* -1: syslog is not there */
    char *path; /* of the file or socket; NULL: not known */
    bool regular;
    bool torn;  /* the file ends in the middle of a line */
    bool stuck; /* the last wait for the reader was in vain */
};

/* -1 with errno; *out is written on success only. */
int logout_open(struct logout *out, enum logsink_kind kind, const char *path)
    ATTR_MUST_USE;

/* fd is taken over. */
void logout_take(struct logout *out, int fd, const char *path);

/* Standard output stays open. */
void logout_close(struct logout *out) ATTR_NONNULL;

/*
 * lines end with LF each. The count of lines lost; why in errno when it is not
 * 0.
 */
size_t logout_write(struct logout *out, struct slice lines) ATTR_NONNULL;
