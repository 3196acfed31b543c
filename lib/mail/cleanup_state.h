/*
 * cleanup_state - a message while it is being cleaned: what the parts of
 * clean-up share. For lib/mail/cleanup*.c alone.
 */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/mail/cleanup.h"
#include "lib/mail/cleanup_profile.h"
#include "lib/mail/queue_id.h"

enum {
    /* Octets of the whole header; a limit of our own. */
    CLEANUP_HEADER_MAX = 1024 * 1024,
    /* A line without an end is cut into pieces of this size. */
    CLEANUP_LINE_PIECE = 64 * 1024,
    /* Octets of one address. */
    CLEANUP_ADDRESS_MAX = 64 * 1024,
};

/* Header fields that clean-up has to know; cleanup_header.c. */
enum field {
    FIELD_OTHER,
    FIELD_BCC,
    FIELD_CC,
    FIELD_DATE,
    FIELD_FROM,
    FIELD_MESSAGE_ID,
    FIELD_RECEIVED,
    FIELD_TO,
    FIELD_SENDER, /* any other field with a sender's addresses */
    FIELD_RESENT_BCC,
    FIELD_RESENT_CC,
    FIELD_RESENT_DATE,
    FIELD_RESENT_FROM,
    FIELD_RESENT_MESSAGE_ID,
    FIELD_RESENT_TO,
    FIELD_RESENT_SENDER,
    FIELD_COUNT,
};

/* Where in the content we are. */
enum place {
    PLACE_FIRST_LINE, /* nothing was read yet */
    PLACE_HEADER,     /* at the start of a line of the header */
    PLACE_FIELD_LINE, /* inside a long line of a field */
    PLACE_BODY,
};

struct cleanup {
    struct cleanup_options options;
    struct cleanup_profile *profile;
    const struct config *config; /* the profile's */
    struct arena *arena;
    struct envelope env;
    char id[QUEUE_ID_SIZE]; /* for the log */

    enum result result; /* the first failure */
    struct why why;

    enum place place;
    uint64_t received;  /* octets of content */
    struct buf partial; /* a line of the header whose end has not come yet */
    struct buf header;  /* cleaned, with CRLF */
    struct buf value;   /* scratch: one field anew, */
    struct buf address; /* and one of its addresses */
    bool in_field;      /* the last field in header may be continued */
    size_t field_start; /* in header */
    size_t field_room;  /* what header_size_limit still lets into the field */
    uint32_t seen;      /* bits of enum field */

    struct buf body;  /* inline, or what is next to go to the blob */
    struct blob blob; /* number 0: none */
    uint64_t body_size;
    bool held_cr; /* the last octet of the body so far is a CR */
    bool last_is_newline;
};

/* Keeps the first failure. */
void cleanup_fail(struct cleanup *c, enum result res, const struct why *why)
    ATTR_NONNULL;

/* Header and body of octets (cleanup_content.c). */
void cleanup_read(struct cleanup *c, struct slice octets) ATTR_NONNULL;
void cleanup_read_end(struct cleanup *c) ATTR_NONNULL;

/* The field that ends at the end of c->header (cleanup_header.c). */
void cleanup_field(struct cleanup *c) ATTR_NONNULL;
/* All fields are there: add what is missing. */
void cleanup_complete_header(struct cleanup *c) ATTR_NONNULL;

/* The body, piece by piece (cleanup_body.c). Waits. */
void cleanup_body(struct cleanup *c, struct slice octets) ATTR_NONNULL;
void cleanup_body_end(struct cleanup *c) ATTR_NONNULL;

/* Sender and recipients as they enter the queue (cleanup_envelope.c). Waits. */
void cleanup_envelope(struct cleanup *c) ATTR_NONNULL;

/* Where the message goes. */
const struct cleanup_queue *cleanup_queue_of(const struct cleanup *c)
    ATTR_NONNULL;
