/*
 * readback - messages come back from the spool: envelope and recipients, some
 * at a time where there are many, what became of them before, and the content.
 *
 * The cleaner moves records meanwhile: a read that misses is repeated at the
 * place where the record is now. What cannot be read is tried again later; what
 * is damaged is left alone, and named in the log.
 */
#pragma once

#include "qmgr/mail.h"

/* Read e back; the round begins when it is there. */
void mail_load(struct qmgr *q, struct entry *e) ATTR_NONNULL;

/* Read more recipients if it is time to, and there is room. */
void mail_read_more(struct qmgr *q, struct mail *m) ATTR_NONNULL;

/* Have job_send() called for j when the content is in memory. */
void mail_want_content(struct qmgr *q, struct mail *m, struct job *j)
    ATTR_NONNULL;
