/*
 * record - what the queue manager writes into the spool's records.
 *
 * All of it is attributes of lib/base/tlv; tags are never used again for
 * something else, unknown ones are skipped.
 *
 * RECORD_MESSAGE, head:
 *     1  t  envelope, as lib/mail/envelope has it, with its recipients
 *     2  n  octets of the header
 *     3  n  where in the content the body begins, 0: there is none
 *     4  n  octets of the inline body
 *     5  n  number of the blob, 0: none
 *     6  n  octets of the blob
 *     7  n  crc32c of the blob
 *   content: the header at its beginning, the inline body at (3). The octets
 *   between them mean nothing.
 *
 *   brief:
 *     1  n  arrival, milliseconds since 1970
 *     2  n  count of recipients
 *     3  n  set of enum brief_flag
 *     4  n  crc32c of the recipients' domain in lower case, 0: of several
 *     5  t  name of its drop file
 *
 * RECORD_STATUS, brief:
 *     1  n  version: counts the changes of this message
 *     2  n  next try, milliseconds since 1970
 *     3  n  attempts so far
 *     4  n  delivery processes that died with it
 *     5  n  set of enum status_flag
 *     8  n  recipients that are not settled
 *     9  n  the destination that it is deferred for (qmgr/lane), 0: several
 *    10  n  delivery processes that were killed with it
 *   head:
 *     6  t  recipients that are settled, a set
 *     7  g* what became of others: 1 t rcpt_result of lib/mail/delivery, 2 t
 *           the recipients that it holds for, a set
 *   A group whose outcome is "sent" is of recipients that nothing is to be
 *   delivered to: the sender is to be told of them, and that settles them.
 *   With STATUS_PART it says of its set that they are settled, and has groups of
 *   that kind alone. Settled is for ever: a reader unites the sets of all the
 *   records that it meets, and takes the rest from the one with the highest
 *   version, and what that does not say from parts.
 *
 * RECORD_HOLD, brief: 1, 2 and 5 as above; it overrides them.
 *
 * RECORD_REMOVE has no payload. RECORD_META, head: 1 n no id from here on was
 * leased. Or, of a spool that is adopted (qmgr/adopted):
 *     2  t  its id, hexadecimal
 *     3  t  ids there of messages that came with this transaction, 8 octets
 *           each, little-endian
 *     4  n  1: all of it is here, and the records before this one are of no use
 *
 * A set is pairs of varints: how many recipients are passed over, and how many
 * then belong to it. Damage of a payload cannot be told from malice: everything
 * is checked, a malformed record is refused as a whole.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"
#include "lib/mail/delivery.h"

#include <stdbool.h>
#include <stdint.h>

enum { RECORD_RECIPIENTS_MAX = 1 << 20, DROP_FILE_MAX = 255 };

struct message_record {
    struct slice envelope;
    uint32_t header_length;
    uint32_t body_at;
    uint32_t body_length;
    uint64_t blob;
    uint64_t blob_length;
    uint32_t blob_crc;
};

void message_record_encode(const struct message_record *r, struct buf *to)
    ATTR_NONNULL;
enum result message_record_decode(struct slice head, struct message_record *r,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* False when content is too short for what r says of it. */
bool message_record_content(const struct message_record *r,
    struct slice content, struct slice *header, struct slice *body)
    ATTR_NONNULL ATTR_MUST_USE;

enum brief_flag {
    BRIEF_BOUNCE = 1 << 0, /* null sender */
    BRIEF_HELD = 1 << 1,   /* it entered on hold */
};

struct message_brief {
    int64_t arrival_ms;
    uint32_t recipients;
    uint32_t flags;
    uint32_t site;
    struct slice drop_file; /* at most 255 octets */
};

void message_brief_encode(const struct message_brief *b, struct buf *to)
    ATTR_NONNULL;
enum result message_brief_decode(struct slice in, struct message_brief *b,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;

enum status_flag {
    STATUS_HELD = 1 << 0,
    STATUS_WARNED = 1 << 1, /* the sender knows of the delay */
    STATUS_EXPIRE = 1 << 2, /* postsuper -e: it ends at the next attempt */
    STATUS_PART = 1 << 3,
    STATUS_REQUEUE = 1 << 4, /* postsuper -r: likewise, through clean-up */
};

struct status_brief {
    uint32_t version;
    int64_t next_try_ms;
    uint32_t attempts;
    uint32_t deaths;
    uint32_t flags;
    uint32_t unsettled;
    uint32_t lane;
    uint32_t kills;
};

void status_brief_encode(const struct status_brief *b, struct buf *to)
    ATTR_NONNULL;
enum result status_brief_decode(struct slice in, struct status_brief *b,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* The head: the settled ones, and then each group. */
void status_put_settled(struct slice set, struct buf *to) ATTR_NONNULL;
void status_put_group(const struct rcpt_result *result, struct slice set,
    struct buf *to) ATTR_NONNULL;

/* Checks the whole; the brief is not part of it. */
enum result status_settled(struct slice head, struct slice *settled,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/*
 * The next group; *rest starts as the head. False at the end, and then *rest
 * is empty if all was well. Texts borrow from *rest.
 */
bool status_next_group(struct slice *rest, struct rcpt_result *result,
    struct slice *set) ATTR_NONNULL;

/* A set being written, in ascending order. */
struct set_writer {
    struct buf *to;
    uint32_t at;    /* recipients spoken of so far */
    uint32_t start; /* of the run at hand */
    uint32_t count; /* 0: no run */
};
void set_begin(struct set_writer *w, struct buf *to) ATTR_NONNULL;
void set_add(struct set_writer *w, uint32_t index) ATTR_NONNULL;
void set_end(struct set_writer *w) ATTR_NONNULL;

/*
 * The next run of a set. *at starts as 0 and *set as the whole; false at the
 * end, and then *set is empty if all was well.
 */
bool set_next(struct slice *set, uint32_t *at, uint32_t *start, uint32_t *count)
    ATTR_NONNULL;

void meta_record_encode(uint64_t mark, struct buf *to) ATTR_NONNULL;
bool meta_record_decode(struct slice in, uint64_t *mark)
    ATTR_NONNULL ATTR_MUST_USE;

/* The other kind of RECORD_META. */
struct adopted_record {
    struct slice spool; /* 32 hexadecimal digits */
    struct slice ids;   /* see adopted_record_next() */
    bool complete;
};
void adopted_record_encode(const struct adopted_record *r, struct buf *to)
    ATTR_NONNULL;
bool adopted_record_decode(struct slice in, struct adopted_record *r)
    ATTR_NONNULL ATTR_MUST_USE;

/* One id more at the end of ids; the next id taken off, false: no more. */
void adopted_record_add(struct buf *ids, uint64_t id) ATTR_NONNULL;
bool adopted_record_next(struct slice *ids, uint64_t *id)
    ATTR_NONNULL ATTR_MUST_USE;
