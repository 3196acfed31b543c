/*
 * iov - octets to be written, as the vectored calls want them: they only read,
 * but their struct does not say so.
 */
#pragma once

#include "lib/base/slice.h"

#include <sys/uio.h>

static inline struct iovec
iov_of(struct slice octets)
{
    struct iovec iov = { .iov_len = octets.len };

    memcpy(&iov.iov_base, &octets.ptr, sizeof(octets.ptr));
    return iov;
}
