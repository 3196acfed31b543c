/*
 * copy - a message from the queue's form (CRLF line ends) into a file of this
 * system (LF), with what a mailbox wants on top.
 */
#pragma once

#include "lib/base/why.h"
#include "local/mailbox.h"

enum copy_form {
    COPY_PLAIN,
    COPY_MBOX, /* "From " line, ">From " quoting, empty line at the end */
};

/*
 * Write s to fd at its end. RESULT_OK only when all of the content was there and
 * had its checksum, and the file stays within s->size_limit; the caller flushes.
 */
enum result copy_message(struct mailbox_store *s, enum copy_form form, int fd,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;
