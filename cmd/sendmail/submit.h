/*
 * submit - hand a message to postdrop(1), which may write where we may not.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/why.h"

#include <sys/types.h>

struct submit {
    pid_t postdrop;
    int fd; /* its standard input */
};

enum result submit_begin(struct submit *s, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

/*
 * Octets of lib/mail/drop. What postdrop does not take is not an error here:
 * submit_end() has its word on it.
 */
void submit_write(struct submit *s, struct buf *octets) ATTR_NONNULL;

/* The exit status, postdrop's or EX_TEMPFAIL. It has said why. */
int submit_end(struct submit *s) ATTR_NONNULL;
