/*
 * stream_private - what the two directions of a stream share: stream.c reads,
 * stream_write.c writes.
 */
#pragma once

#include "lib/base/buf.h"
#include "lib/io/fiber.h"
#include "lib/io/stream.h"

struct stream {
    int fd;
    bool registered;
    bool no_socket; /* sendmsg() says ENOTSOCK */
    struct io_wait wait;
    const struct stream_layer *layer; /* NULL: none */
    void *layer_state;

    /* Unread octets: in[start .. end). */
    char *in;
    size_t start, end, room;
    size_t scanned; /* of them, how many are known to hold no LF */
    bool dropping;  /* in the middle of a line that is too long */
    bool bare_lf;   /* the last line's end */
    bool drained;   /* the kernel had no more when we read last */
    unsigned fills; /* since the last wait */

    struct buf out;
    enum stream_status out_status; /* other than STREAM_OK: all is dropped */
    int out_errno;
};
