#include "tests/crash/spool_model.h"

#include "lib/base/clock.h"
#include "lib/base/crc32c.h"
#include "lib/base/mem.h"
#include "tests/crash/spool_model_state.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t
next(uint64_t *rng)
{
    uint64_t z = (*rng += 0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static unsigned
below(struct model *m, unsigned n)
{
    return (unsigned)(next(&m->rng) % n);
}

uint64_t
model_id(size_t msg)
{
    return 1000 + msg;
}

/* Octets that are different for each message, and a prefix of themselves. */
char *
model_content(const struct msg *msg)
{
    char *octets = mem_alloc(msg->content_len + 1);
    uint64_t rng = msg->id;

    for (unsigned i = 0; i < msg->content_len; i++)
        octets[i] = (char)next(&rng);
    return octets;
}

char *
model_head(const struct msg *msg)
{
    return mem_format("message %" PRIu64 " content %u blob %" PRIx64 "%*s",
        msg->id, msg->content_len, msg->blob, (int)(msg->id * 37 % 900), "");
}

char *
model_status(const struct msg *msg, unsigned n)
{
    return mem_format("status %" PRIu64 " %u%*s", msg->id, n,
        (int)(msg->id * 91 % 500), "");
}

enum record_type
model_change_type(const struct msg *msg, unsigned n)
{
    static const enum record_type types[] = {
        RECORD_STATUS,
        RECORD_HOLD,
        RECORD_STATUS,
        RECORD_REPLACE,
        RECORD_STATUS,
    };

    return types[(msg->id + n) % (sizeof(types) / sizeof(types[0]))];
}

/* Every third has a brief, which then comes without its head. */
char *
model_brief(const struct msg *msg)
{
    return msg->id % 3 == 0 ? mem_format("brief %" PRIu64, msg->id) : NULL;
}

static void
deed_free(struct deed *d)
{
    for (size_t i = 0; i < RECORDS_MAX; i++)
        mem_free(d->head[i]);
    mem_free(d->content);
    mem_free(d->brief);
    *d = (struct deed){ 0 };
}

static void
not_busy(struct model *m, const struct deed *d)
{
    if (d->act != ACT_META)
        m->msgs[d->msg].busy = false;
    if (d->act == ACT_NOTICE)
        m->msgs[d->other].busy = false;
}

static void
forget(struct model *m, struct deed *deeds, size_t *count)
{
    for (size_t i = 0; i < *count; i++) {
        not_busy(m, &deeds[i]);
        deed_free(&deeds[i]);
    }
    *count = 0;
}

static void
forget_deeds(struct model *m)
{
    forget(m, m->deeds, &m->deed_count);
    forget(m, m->ghosts, &m->ghost_count);
}

static bool
start(struct model *m)
{
    struct seen seen;
    struct why why;

    seen_init(&seen, m);
    seen.running = true;
    if (model_open(m, m->disk, &seen, &m->spool, &why) != RESULT_OK) {
        m->spool = NULL;
        seen_fini(&seen);
        return false;
    }
    seen_check(&seen, m->spool, m->disk);
    seen_must(&seen, "restart");
    m->counts.restarts++;
    /* What was found of deeds that had failed, or not: it is decided now. */
    m->live_count = 0;
    for (size_t i = 0; i < m->msg_count; i++) {
        struct msg *msg = &m->msgs[i];
        const struct msg_seen *ms = &seen.msgs[i];

        msg->state = ms->messages > 0 ? MSG_LIVE
            : msg->state == MSG_NEW   ? MSG_NEW
                                      : MSG_GONE;
        m->live_count += ms->messages > 0;
        msg->place = ms->place;
        msg->content = ms->content;
        msg->status_place = ms->status_place;
        msg->status = ms->status;
    }
    m->meta = seen.meta;
    m->meta_place = seen.meta_place;
    seen_fini(&seen);
    forget_deeds(m);
    return true;
}

struct model *
model_new(const struct model_options *options)
{
    struct model *m = mem_alloc(sizeof(*m));

    m->options = *options;
    m->rng = options->seed;
    m->disk = disk_sim_new(options->capacity);
    clock_set(1000, 1000000);
    return m;
}

void
model_free(struct model *m)
{
    spool_close(m->spool);
    forget_deeds(m);
    disk_sim_free(m->disk);
    mem_free(m->msgs);
    mem_free(m);
}

struct model *
model_crashed(const struct model *m, struct disk_sim *left, uint64_t seed)
{
    struct model *after = mem_alloc(sizeof(*after));
    const struct deed *d;

    after->options = m->options;
    after->rng = seed;
    after->disk = left;
    after->msg_count = m->msg_count;
    after->live_count = m->live_count;
    after->msgs = mem_alloc_array(m->msg_count + 1, sizeof(*m->msgs));
    if (m->msg_count > 0)
        memcpy(after->msgs, m->msgs, m->msg_count * sizeof(*m->msgs));
    for (size_t i = 0; i < m->msg_count; i++)
        after->msgs[i].busy = false;
    after->meta = m->meta;
    for (size_t i = 0; (d = model_open_deed(m, i)) != NULL; i++)
        if (!d->done && after->ghost_count < GHOSTS_MAX)
            after->ghosts[after->ghost_count++] = (struct deed){
                .act = d->act,
                .msg = d->msg,
                .other = d->other,
                .meta = d->meta,
            };
    return after;
}

struct disk_sim *
model_disk(struct model *m)
{
    return m->disk;
}

struct spool *
model_spool(struct model *m)
{
    return m->spool;
}

struct model_counts
model_counts(const struct model *m)
{
    return m->counts;
}

static size_t
new_msg(struct model *m)
{
    struct msg *msg;

    m->msgs = mem_resize(m->msgs, (m->msg_count + 1) * sizeof(*m->msgs));
    msg = &m->msgs[m->msg_count];
    *msg = (struct msg){ .id = model_id(m->msg_count), .busy = true };
    /* Mostly small, sometimes nothing, sometimes large. */
    if (below(m, 8) != 0)
        msg->content_len = below(m,
            below(m, 5) == 0 ? m->options.content_max : 600);
    return m->msg_count++;
}

/* A live one that no other deed of the batch has to do with. */
static bool
pick(struct model *m, size_t *found)
{
    size_t from;

    if (m->live_count == 0)
        return false;
    from = below(m, (unsigned)m->msg_count);
    for (size_t n = 0; n < m->msg_count; n++) {
        size_t i = (from + n) % m->msg_count;

        if (m->msgs[i].state == MSG_LIVE && !m->msgs[i].busy) {
            m->msgs[i].busy = true;
            *found = i;
            return true;
        }
    }
    return false;
}

static bool
make_blob(struct model *m, struct msg *msg)
{
    struct disk *disk = disk_sim_disk(m->disk);
    struct iovec iov = { &msg->id, 8 };
    uint64_t number = 0;
    struct why why;
    bool kept;
    int fd;

    if (spool_blob_lend(m->spool, &fd, &why) != RESULT_OK)
        return false;
    kept = disk->write(disk, fd, &iov, 1, 0) == 0 &&
        spool_blob_keep(m->spool, fd, 8, crc32c(0, &msg->id, 8), &number,
            &why) == RESULT_OK;
    spool_blob_close(m->spool, fd);
    msg->blob = number;
    m->counts.blobs += kept;
    return kept;
}

static void
message_record(struct model *m, struct deed *d, size_t n)
{
    const struct msg *msg = &m->msgs[d->msg];

    d->head[n] = model_head(msg);
    d->content = model_content(msg);
    d->records[n] = (struct spool_record){
        .type = RECORD_MESSAGE,
        .id = msg->id,
        .head = slice_of(d->head[n]),
        .content = { d->content, msg->content_len },
        .blob = msg->blob,
    };
}

static void
status_record(struct model *m, struct deed *d, size_t msg, size_t n)
{
    d->head[n] = model_status(&m->msgs[msg], m->msgs[msg].status + 1);
    d->records[n] = (struct spool_record){
        .type = model_change_type(&m->msgs[msg], m->msgs[msg].status + 1),
        .id = m->msgs[msg].id,
        .head = slice_of(d->head[n]),
    };
}

static bool
make_deed(struct model *m, enum act act)
{
    struct deed *d = &m->deeds[m->deed_count];

    *d = (struct deed){ .act = act };
    d->txn.record_count = 1;
    switch (act) {
    case ACT_ACCEPT:
        d->msg = new_msg(m);
        if (below(m, 10) == 0 && !make_blob(m, &m->msgs[d->msg])) {
            m->msgs[d->msg].busy = false;
            return false;
        }
        message_record(m, d, 0);
        break;
    case ACT_STATUS:
        if (!pick(m, &d->msg))
            return false;
        status_record(m, d, d->msg, 0);
        break;
    case ACT_REMOVE:
        if (!pick(m, &d->msg))
            return false;
        d->records[0] = (struct spool_record){
            .type = RECORD_REMOVE,
            .id = m->msgs[d->msg].id,
            /* Sometimes the owner does not say: that must be safe, too. */
            .target = below(m, 6) == 0 ? (struct spool_place){ 0 }
                                       : m->msgs[d->msg].place,
        };
        break;
    case ACT_NOTICE:
        if (!pick(m, &d->other))
            return false;
        d->msg = new_msg(m);
        message_record(m, d, 0);
        status_record(m, d, d->other, 1);
        d->txn.record_count = 2;
        break;
    case ACT_META:
        d->meta = m->meta + 1;
        d->head[0] = mem_format("%" PRIu64, d->meta);
        d->records[0] = (struct spool_record){
            .type = RECORD_META,
            .head = slice_of(d->head[0]),
        };
        break;
    }
    if (act == ACT_ACCEPT || act == ACT_NOTICE) {
        d->brief = model_brief(&m->msgs[d->msg]);
        d->records[0].brief = slice_of(d->brief);
    }
    d->txn.records = d->records;
    d->txn.settling = act != ACT_ACCEPT;
    m->deed_count++;
    return true;
}

static void
dead(struct model *m, struct spool_place *place)
{
    spool_record_dead(m->spool, place);
    *place = (struct spool_place){ 0 };
}

static void
new_status(struct model *m, size_t i, const struct spool_place *place)
{
    dead(m, &m->msgs[i].status_place);
    m->msgs[i].status_place = *place;
    m->msgs[i].status++;
}

static void
done_deed(struct model *m, struct deed *d)
{
    struct msg *msg = &m->msgs[d->msg];

    d->done = true;
    switch (d->act) {
    case ACT_ACCEPT:
    case ACT_NOTICE:
        msg->state = MSG_LIVE;
        msg->place = d->records[0].place;
        m->live_count++;
        m->counts.accepted++;
        if (d->act == ACT_NOTICE)
            new_status(m, d->other, &d->records[1].place);
        break;
    case ACT_STATUS:
        new_status(m, d->msg, &d->records[0].place);
        break;
    case ACT_REMOVE:
        msg->state = MSG_GONE;
        m->live_count--;
        m->counts.removed++;
        dead(m, &msg->place);
        dead(m, &msg->content);
        dead(m, &msg->status_place);
        if (msg->blob != 0)
            spool_blob_drop(m->spool, msg->blob);
        break;
    case ACT_META:
        m->meta = d->meta;
        dead(m, &m->meta_place);
        m->meta_place = d->records[0].place;
        break;
    }
}

/* What failed behind the last success stays in mind as a ghost. */
static void
commit_deeds(struct model *m)
{
    struct list txns = LIST_INIT(txns);
    size_t went = 0;

    for (size_t i = 0; i < m->deed_count; i++)
        list_append(&txns, &m->deeds[i].txn.link);
    spool_commit(m->spool, &txns);
    for (size_t i = 0; i < m->deed_count; i++) {
        mem_free(m->deeds[i].brief);
        m->deeds[i].brief = NULL;
        if (m->deeds[i].txn.result != RESULT_OK) {
            m->counts.refused++;
            continue;
        }
        done_deed(m, &m->deeds[i]);
        went = i + 1;
    }
    if (went > 0)
        forget(m, m->ghosts, &m->ghost_count);
    for (size_t i = 0; i < m->deed_count; i++) {
        struct deed *d = &m->deeds[i];

        if (i >= went && m->ghost_count < GHOSTS_MAX) {
            m->ghosts[m->ghost_count++] = *d;
            continue;
        }
        not_busy(m, d);
        deed_free(d);
    }
    m->deed_count = 0;
}

static void
commit_some(struct model *m)
{
    unsigned n = 1 + below(m, BATCH_TXNS);
    bool meta = false;

    for (unsigned i = 0; i < n; i++) {
        unsigned r = below(m, 100);
        enum act act = m->live_count > m->options.live_max && r < 45
            ? ACT_REMOVE
            : r < 45 ? ACT_ACCEPT
            : r < 65 ? ACT_STATUS
            : r < 88 ? ACT_REMOVE
            : r < 96 ? ACT_NOTICE
                     : ACT_META;

        if (act == ACT_META && meta)
            continue;
        meta = meta || act == ACT_META;
        (void)make_deed(m, act);
    }
    if (m->deed_count > 0)
        commit_deeds(m);
}

static bool
is_live(void *context, const struct spool_found *f)
{
    struct model *m = context;
    const struct spool_place *at = NULL;
    size_t i = (size_t)(f->id - model_id(0));

    if (f->type == RECORD_META) {
        at = &m->meta_place;
    } else if (m->msgs[i].state == MSG_LIVE) {
        if (f->type == RECORD_MESSAGE)
            at = &m->msgs[i].place;
        else if (f->type == RECORD_CONTENT)
            at = &m->msgs[i].content;
        else
            at = &m->msgs[i].status_place;
    }
    return at != NULL && at->segment == f->place.segment &&
        at->offset == f->place.offset;
}

static void
has_moved(void *context, enum record_type type, uint64_t id,
    const struct spool_place *from, const struct spool_place *to)
{
    struct model *m = context;
    size_t i = (size_t)(id - model_id(0));

    (void)from;
    if (type == RECORD_META)
        m->meta_place = *to;
    else if (type == RECORD_MESSAGE)
        m->msgs[i].place = *to;
    else if (type == RECORD_CONTENT)
        m->msgs[i].content = *to;
    else
        m->msgs[i].status_place = *to;
}

static bool
clean(struct model *m)
{
    struct spool_cleaner cleaner = { is_live, has_moved, m };
    bool did = spool_clean(m->spool, &cleaner);

    m->counts.cleaned += did;
    return did;
}

static bool
blob_is_live(void *context, uint64_t number)
{
    const struct model *m = context;

    for (size_t i = 0; i < m->msg_count; i++)
        if (m->msgs[i].blob == number && m->msgs[i].state == MSG_LIVE)
            return true;
    return false;
}

bool
model_step(struct model *m)
{
    /* The cleaner pauses after failures. */
    clock_advance_ms(STEP_MS);
    if (m->spool == NULL) {
        if (!start(m))
            return false;
        spool_blob_sweep(m->spool, blob_is_live, m);
        return true;
    }
    switch (below(m, 40)) {
    case 0:
        spool_close(m->spool);
        m->spool = NULL;
        return true;
    case 1:
    case 2:
    case 3:
    case 4:
    case 5:
    case 6:
        for (unsigned n = below(m, 4); n > 0 && clean(m); n--)
            continue;
        (void)clean(m);
        return true;
    default:
        commit_some(m);
        return true;
    }
}

void
model_drain(struct model *m)
{
    while (m->spool == NULL)
        (void)model_step(m);
    while (m->live_count > 0) {
        for (size_t i = 0; i < BATCH_TXNS; i++)
            (void)make_deed(m, ACT_REMOVE);
        commit_deeds(m);
    }
    while (clean(m))
        continue;
}

void
model_check_running(struct model *m)
{
    struct seen seen;

    seen_init(&seen, m);
    for (size_t i = 0; m->spool != NULL && i < m->msg_count; i++) {
        const struct msg *msg = &m->msgs[i];
        struct msg_seen ms = {
            .place = msg->place,
            .content = msg->content,
            .parted = msg->content.segment != 0,
        };

        if (msg->state == MSG_LIVE) {
            seen_check_octets(&seen, m->spool, msg, &ms);
            seen_check_blob(&seen, m->spool, disk_sim_disk(m->disk), msg);
        }
    }
    seen_must(&seen, "running");
    seen_fini(&seen);
}
