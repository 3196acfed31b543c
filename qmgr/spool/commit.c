#include "lib/base/crc32c.h"
#include "qmgr/spool/state.h"

#include <string.h>

/* What a record takes of the room, with all that is put around it. */
static uint64_t
record_octets(const struct spool_record *r)
{
    struct record_info info = {
        .brief = r->brief,
        .head_len = (uint32_t)r->head.len,
        .content_len = (uint32_t)r->content.len,
    };

    return record_length(&info) + index_entry_length(r->brief.len);
}

uint64_t
spool_txn_max(const struct spool *s)
{
    return s->segment_size - SEGMENT_DATA - 4 * BLOCK_SIZE;
}

/* Octets of a batch with this transaction alone. */
struct size {
    uint64_t octets, index_octets;
};

/* False: a bug of the caller, or a size that no segment has. */
static bool
txn_size(const struct spool *s, const struct spool_txn *t, struct size *size)
{
    uint64_t limit = s->segment_size - SEGMENT_DATA - 2 * BLOCK_SIZE;

    *size = (struct size){ 0 };
    if (t->record_count == 0 || t->record_count > SPOOL_TXN_MAX)
        return false;
    for (size_t i = 0; i < t->record_count; i++) {
        const struct spool_record *r = &t->records[i];

        if (r->brief.len > SPOOL_BRIEF_MAX || r->head.len > limit ||
            r->content.len > limit)
            return false;
        size->index_octets += index_entry_length(r->brief.len);
        size->octets += record_octets(r) - index_entry_length(r->brief.len);
        if (size->octets + size->index_octets > limit)
            return false;
    }
    return BATCH_HEADER_SIZE + size->octets + size->index_octets <=
        limit - BLOCK_SIZE;
}

/* The step under way knows more than the owner, who is told after it. */
static uint64_t
remove_target(const struct spool *s, const struct spool_record *r)
{
    uint64_t target;

    if (!clean_target(s, r->id, &target))
        target = target_at(s, &r->target);
    return target_of_message(s, r->id, target);
}

static void
add_txn(struct spool *s, struct spool_txn *t)
{
    for (size_t i = 0; i < t->record_count; i++) {
        struct spool_record *r = &t->records[i];
        struct entry e = {
            .info = {
                .type = (uint8_t)r->type,
                .part = (uint16_t)i,
                .parts = (uint16_t)t->record_count,
                .id = r->id,
                .serial = t->serial,
                .head_len = (uint32_t)r->head.len,
                .content_len = (uint32_t)r->content.len,
                .head_crc = crc32c(0, r->head.ptr, r->head.len),
                .content_crc = crc32c(0, r->content.ptr, r->content.len),
                .brief = r->brief,
            },
            .head = r->head,
            .content = r->content,
            .place = &r->place,
        };

        if (r->type == RECORD_MESSAGE)
            e.info.other = r->blob;
        else if (r->type == RECORD_REMOVE)
            e.info.other = remove_target(s, r);
        batch_add(&s->batch, &e);
    }
}

static void
succeeded(struct spool *s, struct spool_txn *t)
{
    t->result = RESULT_OK;
    spool_count(s, &s->stats.commits, 1);
    for (size_t i = 0; i < t->record_count; i++)
        if (t->records[i].type == RECORD_REMOVE)
            clean_note_remove(s, t->records[i].id);
}

/*
 * Write out the batch, which is the transactions from first up to (not with)
 * end that have a serial. What fails for fresh mail is tried again for settling
 * alone, which may go further into the reserves.
 */
static void
/* NOLINTNEXTLINE(misc-no-recursion): once */
write_out(struct spool *s, struct list *first, struct list *end,
    enum claim claim)
{
    struct why why = { 0 };
    enum result res;

    if (s->batch.count == 0)
        return;
    res = batch_append(s, &s->batch, PURPOSE_FRESH, claim, &why);
    batch_clear(&s->batch);
    for (struct list *it = first; it != end; it = it->next) {
        struct spool_txn *t = LIST_ENTRY(it, struct spool_txn, link);

        if (t->serial == 0)
            continue;
        if (res == RESULT_OK) {
            succeeded(s, t);
        } else if (claim == CLAIM_FRESH && t->settling) {
            add_txn(s, t);
        } else {
            t->result = res;
            t->why = why;
            t->serial = 0;
        }
    }
    if (s->batch.count > 0)
        write_out(s, first, end, CLAIM_SETTLING);
    room_refresh(s);
}

/* Sets the result of what cannot be taken. */
static bool
admit(struct spool *s, struct spool_txn *t, struct size *size)
{
    t->serial = 0;
    t->result = RESULT_OK;
    if (!txn_size(s, t, size)) {
        t->result = why_perm(&t->why, "5.3.4",
            "transaction is larger than queue_segment_size allows");
        return false;
    }
    if (!t->settling &&
        !room_for_fresh(s,
            s->batch.octets + size->octets + s->batch.index_octets +
                size->index_octets)) {
        t->result = why_temp(&t->why, "4.3.1", "Insufficient system storage");
        return false;
    }
    return true;
}

void
spool_commit(struct spool *s, struct list *txns)
{
    struct list *first = txns->next;
    enum claim claim = CLAIM_SETTLING;
    struct size size;

    batch_clear(&s->batch);
    list_foreach (it, txns) {
        struct spool_txn *t = LIST_ENTRY(it, struct spool_txn, link);

        if (!admit(s, t, &size))
            continue;
        if (!batch_takes(s, s->open[PURPOSE_FRESH], &s->batch, size.octets,
                size.index_octets)) {
            write_out(s, first, it, claim);
            first = it;
            claim = CLAIM_SETTLING;
        }
        if (!t->settling)
            claim = CLAIM_FRESH;
        t->serial = spool_next_serial(s);
        add_txn(s, t);
    }
    write_out(s, first, txns, claim);
}
