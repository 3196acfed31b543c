/*
 * payload - the content of a message to a server that said 354, and its final
 * dot.
 */
#pragma once

#include "smtp/job.h"
#include "smtp/session.h"

enum payload_end {
    PAYLOAD_SENT,       /* the final dot is on its way */
    PAYLOAD_UNREADABLE, /* our trouble, which no other host can cure; no dot */
    PAYLOAD_CUT,        /* the session is dead, no dot was sent */
    PAYLOAD_IN_DOUBT,   /* the session is dead, the dot may have arrived */
};

/* Other than PAYLOAD_SENT: the job's excuse says why. Waits. */
enum payload_end payload_send(struct job *job, struct session *session)
    ATTR_NONNULL ATTR_MUST_USE;
