/*
 * drop - a message on its way from sendmail(1) to smtpd: through postdrop(1) and
 * the socket public/pickup or, while nobody listens there, a file in maildrop/.
 *
 * The same octets in each place: the eight octets "PSTNDRP1"; a u32 length and
 * that many octets of envelope (lib/mail/envelope); then the content, as the
 * user wrote it, in chunks of a u32 length and that many octets; a chunk of
 * length 0 ends it. Numbers are little-endian. What lacks the end was not
 * written to its end, and is no message.
 *
 * On the socket smtpd then answers: a u32 length and attributes (lib/base/tlv):
 * ATTR_RESULT, ATTR_STATUS, ATTR_TEXT, ATTR_NAME (the queue id as text).
 *
 * All of it comes from any local user: every length has a limit, and whoever
 * reads an envelope takes from it only what a user may say (drop_sanitize()).
 */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"
#include "lib/io/stream.h"
#include "lib/mail/envelope.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    DROP_HEAD_MAX = 8 * 1024 * 1024, /* octets of envelope */
    DROP_CHUNK_MAX = 64 * 1024,
    DROP_ANSWER_MAX = 2048,
    DROP_NAME_MAX = 80,
    DROP_ARENA_MAX = 3 * DROP_HEAD_MAX, /* to read an envelope into */
};

/* Writing */

void drop_put_head(const struct envelope *env, struct buf *to) ATTR_NONNULL;

/* Cuts octets into chunks; of no octets makes none. */
void drop_put_content(struct slice octets, struct buf *to) ATTR_NONNULL;
void drop_put_end(struct buf *to) ATTR_NONNULL;

/* Reading. RESULT_PERMFAIL: it is no drop; RESULT_TEMPFAIL: reading failed. */

struct drop_reader {
    struct stream *from;
    uint32_t left; /* octets of the present chunk */
    bool at_end;
};

/* The texts are in arena. Waits. */
enum result drop_read_head(struct drop_reader *r, struct stream *from,
    int64_t deadline, struct arena *arena, struct envelope *env,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/*
 * The next octets of content, good until the next call; empty at the end.
 * Waits.
 */
enum result drop_read_content(struct drop_reader *r, int64_t deadline,
    struct slice *octets, struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/*
 * Only sender, full name, recipients and DSN parameters are the user's to say;
 * all else is cleared. RESULT_PERMFAIL: an address has a control character, or
 * there is no recipient.
 */
enum result drop_sanitize(struct envelope *env, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

/*
 * Names of drop files: "UID-" and what makes it unique, so that no user can
 * claim another's. Others (drop_name_is_valid() false) are no drop files.
 */
void drop_name(uid_t uid, char name[DROP_NAME_MAX]) ATTR_NONNULL;
bool drop_name_is_valid(struct slice name, uid_t uid) ATTR_NONNULL;

/* The answer. */

struct drop_answer {
    enum result result;
    char id[24];
    struct why why; /* unless RESULT_OK */
};
void drop_put_answer(const struct drop_answer *a, struct buf *to) ATTR_NONNULL;

/* False: none came, so what became of the message is unknown. Waits. */
bool drop_read_answer(struct stream *from, int64_t deadline,
    struct drop_answer *a) ATTR_NONNULL ATTR_MUST_USE;
