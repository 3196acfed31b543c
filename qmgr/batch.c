#include "qmgr/batch.h"

#include "lib/base/mem.h"
#include "qmgr/record.h"

#include <assert.h>
#include <string.h>

enum {
    ARENA_MAX = 256 * 1024 * 1024, /* with results of 4 KB each */
    SET_MAX = 16 * 1024 * 1024,
    REASONS_OCTETS = 4 * 1024 * 1024, /* kept of a message ... */
    REASONS_PART = 8,   /* ... and no more than this part of a transaction */
    REASONS_SHARED = 8, /* in one batch, when there are more */
};

static struct batch *
batch_new(struct mail *m, size_t room)
{
    struct batch *b = mem_alloc(sizeof(*b));

    b->message = m;
    list_init(&b->link);
    arena_init(&b->arena, ARENA_MAX);
    b->rcpts = arena_alloc(&b->arena, (room + 1) * sizeof(*b->rcpts));
    return b;
}

void
batch_free(struct qmgr *q, struct batch *b)
{
    for (size_t i = 0; i < b->count; i++)
        list_remove(&b->rcpts[i].link);
    q->active_recipients -= b->count;
    list_remove(&b->link);
    arena_clear(&b->arena);
    mem_free(b);
}

static void
add(struct batch *b, uint32_t index, struct recipient *given)
{
    struct rcpt *r = &b->rcpts[b->count++];

    list_init(&r->link);
    r->message = b->message;
    r->batch = b;
    r->given = given;
    r->index = index;
    r->state = RCPT_PENDING;
    b->open++;
}

static void
join(struct qmgr *q, struct batch *b)
{
    struct mail *m = b->message;

    m->counts[RCPT_ABSENT] -= b->count;
    m->counts[RCPT_PENDING] += b->count;
    q->active_recipients += b->count;
    list_append(&m->batches, &b->link);
}

/* The sender is to be told of aliases, which is all that they are here for. */
static bool
conclude_aliases(struct batch *b)
{
    static const struct rcpt_result expanded = {
        .outcome = OUTCOME_SENT,
        .status = "2.0.0",
        .text = SLICE_LIT("alias expanded"),
        .action = DSN_EXPANDED,
    };

    for (size_t i = 0; i < b->count; i++) {
        struct rcpt *r = &b->rcpts[i];

        if (r->given->expanded == 0 || r->state != RCPT_PENDING)
            continue;
        r->note = note_new(b, &expanded);
        if (r->note == NULL)
            return false;
        rcpt_set_state(r, RCPT_DONE);
    }
    return true;
}

bool
batch_take_all(struct qmgr *q, struct mail *m)
{
    size_t count = m->envelope.recipient_count;
    struct batch *b = batch_new(m, count);

    if (b->rcpts == NULL) {
        batch_free(q, b);
        return false;
    }
    for (size_t i = 0; i < count; i++)
        add(b, (uint32_t)i, &m->envelope.recipients[i]);
    m->next_index = (uint32_t)count;
    join(q, b);
    return conclude_aliases(b);
}

/* Reading. */

static bool
keep(struct batch *b, struct slice *text)
{
    return text->len == 0 || arena_slice(&b->arena, *text, text);
}

static bool
add_read(struct batch *b, uint32_t index, const struct recipient *read)
{
    struct recipient *given = arena_alloc(&b->arena, sizeof(*given));

    if (given == NULL)
        return false;
    *given = *read;
    if (mail_is_large(b->message) &&
        (!keep(b, &given->address) || !keep(b, &given->original) ||
            !keep(b, &given->orcpt)))
        return false;
    add(b, index, given);
    return true;
}

static enum result
read_recipients(struct batch *b, struct slice *rest, size_t most,
    struct why *why)
{
    struct mail *m = b->message;
    size_t before = rest->len;
    uint32_t index = m->next_index;

    for (size_t n = 0; n < BATCH_SCAN && b->count < most && rest->len > 0 &&
         index < m->envelope.recipient_count;
         n++, index++) {
        struct recipient read;

        if (!envelope_next_recipient(rest, &read))
            return why_perm(why, "5.3.0", "malformed recipient");
        if (!mail_is_settled(m, index) && !add_read(b, index, &read))
            return why_temp(why, "4.3.1", "no memory for recipients");
    }
    m->next_index = index;
    m->next_offset += before - rest->len;
    return RESULT_OK;
}

/* What was said of those that were tried before. Neighbours share a note. */
static bool
recall_results(struct batch *b)
{
    struct mail *m = b->message;
    struct note *note = NULL;
    uint32_t noted = 0;

    for (size_t i = 0; m->said != NULL && i < b->count; i++) {
        struct rcpt *r = &b->rcpts[i];
        uint32_t at = m->said[r->index];
        struct slice rest = slice_skip(buf_slice(&m->status), at - 1), set;
        struct rcpt_result result;

        if (at == 0)
            continue;
        if (at != noted) {
            bool found = status_next_group(&rest, &result, &set);

            assert(found); /* it was read before */
            noted = at;
            note = note_new(b, &result);
        }
        if (note == NULL)
            return false;
        r->note = note;
        if (note->result.outcome == OUTCOME_SENT ||
            envelope_is_probe(&m->envelope))
            rcpt_set_state(r, RCPT_DONE);
        else if (note->result.outcome == OUTCOME_BOUNCED)
            rcpt_set_state(r, RCPT_FAILED);
    }
    return true;
}

static bool
recall_told(struct batch *b, const struct rcpt_result *result, struct slice set)
{
    struct note *note = note_new(b, result);
    uint32_t at = 0, start, count;

    while (note != NULL && set_next(&set, &at, &start, &count)) {
        for (size_t i = 0; i < b->count; i++) {
            struct rcpt *r = &b->rcpts[i];

            if (r->index < start || r->index - start >= count ||
                r->state != RCPT_PENDING)
                continue;
            r->note = note;
            rcpt_set_state(r, RCPT_DONE);
        }
    }
    return note != NULL;
}

/* What transactions told of recipients, which no STATUS took up. */
static bool
recall_parts(struct batch *b)
{
    struct slice rest = buf_slice(&b->message->told), set;
    struct rcpt_result result;

    while (status_next_group(&rest, &result, &set))
        if (!recall_told(b, &result, set))
            return false;
    return true;
}

enum result
batch_read(struct qmgr *q, struct mail *m, struct slice *rest, size_t most,
    struct why *why)
{
    struct batch *b;
    enum result res;

    if (most > m->counts[RCPT_ABSENT])
        most = m->counts[RCPT_ABSENT];
    b = batch_new(m, most);
    res = b->rcpts == NULL ? why_temp(why, "4.3.1", "no memory for recipients")
                           : read_recipients(b, rest, most, why);
    if (res != RESULT_OK) {
        /* It was not counted yet. */
        b->count = 0;
        batch_free(q, b);
        return res;
    }
    join(q, b);
    if (!recall_results(b) || !recall_parts(b) || !conclude_aliases(b))
        return why_temp(why, "4.3.1", "no memory for results");
    return RESULT_OK;
}

/* What is known from before. */

enum result
batch_note_settled(struct mail *m, struct slice set, struct why *why)
{
    uint32_t at = 0, start, count;

    while (set_next(&set, &at, &start, &count)) {
        if (start + count > m->envelope.recipient_count)
            return why_perm(why, "5.3.0", "status of no recipient");
        for (uint32_t i = start; i < start + count; i++) {
            if (mail_is_settled(m, i))
                continue;
            mail_note_settled(m, i);
            m->counts[RCPT_ABSENT]--;
            m->counts[RCPT_SETTLED]++;
        }
    }
    return RESULT_OK;
}

enum result
batch_note_status(struct mail *m, struct slice head, struct why *why)
{
    size_t total = m->envelope.recipient_count;
    struct slice rest = head, set;
    struct rcpt_result result;
    size_t offset = 0;

    if (head.len >= UINT32_MAX)
        return why_perm(why, "5.3.0", "status is too long");
    for (; status_next_group(&rest, &result, &set);
         offset = head.len - rest.len) {
        uint32_t at = 0, start, count;

        if (m->said == NULL)
            m->said = arena_alloc(&m->arena, total * sizeof(*m->said));
        if (m->said == NULL)
            return why_temp(why, "4.3.1", "no memory for results");
        while (set_next(&set, &at, &start, &count)) {
            if (start + count > total)
                return why_perm(why, "5.3.0", "status of no recipient");
            for (uint32_t i = start; i < start + count; i++)
                m->said[i] = (uint32_t)offset + 1;
        }
    }
    return RESULT_OK;
}

enum result
batch_note_told(struct mail *m, struct slice head, struct why *why)
{
    struct rcpt_result result;
    struct slice set;

    while (status_next_group(&head, &result, &set)) {
        uint32_t at = 0, start, count;
        struct slice rest = set;

        while (set_next(&rest, &at, &start, &count))
            if (start + count > m->envelope.recipient_count)
                return why_perm(why, "5.3.0", "status of no recipient");
        if (result.outcome == OUTCOME_SENT)
            status_put_group(&result, set, &m->told);
    }
    return RESULT_OK;
}

/* Writing. */

/* There is one STATUS for all of a message, and it is in one transaction. */
static size_t
reasons_max(const struct qmgr *q)
{
    uint64_t part = q->outside->txn_max(q->context) / REASONS_PART;

    return part < REASONS_OCTETS ? (size_t)part : REASONS_OCTETS;
}

/* What became of somebody, without the words for it. */
static struct rcpt_result
without_reason(const struct rcpt_result *r)
{
    struct rcpt_result left = {
        .outcome = r->outcome,
        .text = r->outcome == OUTCOME_DEFERRED
            ? SLICE_LIT("put off, as many others of this message")
            : SLICE_LIT("no room for the reason, as with many others"),
        .when_us = r->when_us,
        .action = r->action,
        .next_hop_tells = r->next_hop_tells,
    };

    memcpy(left.status, r->status, sizeof(left.status));
    return left;
}

/* A chain of recipients for each note. */
static void
chain(struct batch *b, struct list *notes)
{
    for (size_t i = 0; i < b->count; i++) {
        struct rcpt *r = &b->rcpts[i];

        if (r->state == RCPT_SETTLED || r->note == NULL)
            continue;
        r->same = NULL;
        if (r->note->first == NULL) {
            r->note->first = r;
            list_append(notes, &r->note->link);
        } else {
            r->note->last->same = r;
        }
        r->note->last = r;
    }
}

void
batch_put_groups(struct qmgr *q, struct batch *b, struct buf *to)
{
    size_t most = reasons_max(q);
    struct list notes, *it;
    struct set_writer w;
    struct buf set;

    list_init(&notes);
    chain(b, &notes);
    buf_init(&set, SET_MAX);
    while ((it = list_take(&notes)) != NULL) {
        struct note *n = LIST_ENTRY(it, struct note, link);
        struct rcpt_result short_one = without_reason(&n->result);

        buf_clear(&set);
        set_begin(&w, &set);
        for (struct rcpt *r = n->first; r != NULL; r = r->same)
            set_add(&w, r->index);
        set_end(&w);
        status_put_group(to->len < most ? &n->result : &short_one,
            buf_slice(&set), to);
        n->first = n->last = NULL;
    }
    buf_fini(&set);
}

/*
 * Of a long list not every reason can be kept: there would be no STATUS large
 * enough. Those of one batch who are to be tried again then share one for each
 * status code.
 */
static void
share_reasons(struct batch *b)
{
    struct note *shared[REASONS_SHARED] = { NULL };

    for (size_t i = 0; i < b->count; i++) {
        struct rcpt *r = &b->rcpts[i];
        size_t n = 0;

        if (r->state != RCPT_DEFERRED || r->note == NULL)
            continue;
        while (n < REASONS_SHARED - 1 && shared[n] != NULL &&
            strcmp(shared[n]->result.status, r->note->result.status) != 0)
            n++;
        if (shared[n] == NULL) {
            struct rcpt_result result = without_reason(&r->note->result);

            shared[n] = note_new(b, &result);
        }
        if (shared[n] != NULL)
            r->note = shared[n];
    }
}

void
batch_give_back(struct qmgr *q, struct batch *b)
{
    struct mail *m = b->message;

    assert(b->open == 0);
    m->lane = mail_lane(m);
    m->lane_is_set = m->counts[RCPT_DEFERRED] + m->counts[RCPT_FAILED] > 0;
    if (m->past.len > reasons_max(q))
        share_reasons(b);
    batch_put_groups(q, b, &m->past);
    batch_free(q, b);
}
