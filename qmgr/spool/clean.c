/*
 * The cleaner: what is live in a segment that is mostly dead is written anew,
 * envelopes and states into one open segment, contents into another; then the
 * segment is used again.
 *
 * Order that keeps mail safe: the copies are flushed, the owner has taken over
 * their places, then the source's header is durably overwritten. A REMOVE is
 * copied as long as a segment is left that has its message. Cleaning goes on
 * with one segment until that one is done: while a copy and its source are both
 * there, no REMOVE that kills both may be dropped.
 */
#include "lib/base/clock.h"
#include "lib/base/crc32c.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "qmgr/spool/state.h"

#include <inttypes.h>
#include <string.h>

enum {
    STEP_RECORDS = 2048,
    STEP_OCTETS = 4 * 1024 * 1024,
    PAUSE_MS = 1000, /* after a failure */
    SLACK = 3,       /* segments in use above twice what is live */
};

struct clean_job {
    struct segment *seg;
    struct buf index;
    struct slice rest; /* of index */
    bool in_place;     /* the open segment: nothing may be live in it */
    uint64_t end;      /* its end at that time */
    bool failed;       /* something could not be copied */

    struct spool_step step;
    struct record_info *infos; /* of the moves */
    struct record_info *removes;
    size_t room, remove_count, remove_room;
    bool asked; /* the owner has the step */
    bool copied;
};

static void
job_free(struct spool *s)
{
    struct clean_job *job = s->job;

    if (job == NULL)
        return;
    buf_fini(&job->index);
    mem_free(job->step.moves);
    mem_free(job->infos);
    mem_free(job->removes);
    mem_free(job);
    s->job = NULL;
}

void
clean_free(struct spool *s)
{
    job_free(s);
}

static uint64_t
live_of(struct spool *s, const struct segment *seg)
{
    uint64_t live;

    pthread_mutex_lock(&s->lock);
    live = seg->live;
    pthread_mutex_unlock(&s->lock);
    return live;
}

static bool
is_complete(const struct segment *seg)
{
    return seg != NULL && (seg->use == USE_SEALED || seg->use == USE_CLOSED);
}

/*
 * Open ones of which nothing is needed: the cleaner's own are given back, and
 * a small system need not go on to a second segment.
 */
static struct segment *
choose_open(struct spool *s, bool *in_place)
{
    struct segment *head = s->open[PURPOSE_FRESH];

    for (int p = PURPOSE_META; p < PURPOSE_COUNT; p++) {
        struct segment *seg = s->open[p];

        if (seg != NULL && seg->entries > 0 && live_of(s, seg) == 0) {
            segment_seal(s, seg);
            return seg;
        }
    }
    if (head == NULL || head->end < head->size / 2 || live_of(s, head) > 0)
        return NULL;
    *in_place = true;
    return head;
}

/*
 * First what is wholly dead, then what failed, then the emptiest. Not at once,
 * since most mail dies young and need not be copied; but what is in use stays
 * below twice what is live and four segments. On a full disk a quarter is worth
 * it: a segment of single REMOVEs, each in a block of its own, is nearly all
 * padding.
 */
static struct segment *
choose_complete(const struct spool *s)
{
    uint64_t used = 0, live = 0;
    struct segment *best = NULL;

    for (size_t i = 0; i < s->segment_count; i++) {
        struct segment *seg = s->segments[i];

        if (!segment_in_use(seg))
            continue;
        used += seg->size;
        live += seg->live;
        if (!is_complete(seg))
            continue;
        if (seg->live == 0)
            return seg;
        if (seg->stuck)
            continue;
        if (seg->bad || seg->damaged)
            return seg;
        if (best == NULL || seg->live < best->live ||
            (seg->live == best->live &&
                seg->key.generation < best->key.generation))
            best = seg;
    }
    if (best == NULL || best->live >= best->size / 4 * 3)
        return NULL;
    return s->pressed || used > 2 * live + SLACK * s->segment_size ? best
                                                                   : NULL;
}

static struct segment *
choose(struct spool *s, bool *in_place)
{
    struct segment *seg;

    pthread_mutex_lock(&s->lock);
    seg = choose_complete(s);
    pthread_mutex_unlock(&s->lock);
    return seg != NULL ? seg : choose_open(s, in_place);
}

static bool
load_index(struct spool *s, struct clean_job *job)
{
    const struct segment *seg = job->seg;
    unsigned char octets[TRAILER_SIZE];
    struct trailer t;
    char *at;

    if (seg->use != USE_SEALED) {
        buf_add(&job->index, buf_slice(&seg->index));
        return !buf_failed(&job->index);
    }
    if (!spool_read_octets(s, seg->fd, octets, sizeof(octets),
            seg->size - BLOCK_SIZE) ||
        !trailer_decode(octets, seg->size, &t) ||
        t.key.generation != seg->key.generation || t.key.salt != seg->key.salt)
        return false;
    at = buf_reserve(&job->index, (size_t)t.index_len);
    if (at == NULL ||
        !spool_read_octets(s, seg->fd, at, (size_t)t.index_len, t.index_at) ||
        crc32c(0, at, (size_t)t.index_len) != t.index_crc)
        return false;
    buf_advance(&job->index, (size_t)t.index_len);
    return true;
}

static bool
begin(struct spool *s)
{
    bool in_place = false;
    struct segment *seg = choose(s, &in_place);
    struct clean_job *job;

    if (seg == NULL)
        return false;
    job = mem_alloc(sizeof(*job));
    s->job = job;
    job->seg = seg;
    job->in_place = in_place;
    job->end = seg->end;
    buf_init(&job->index, INT32_MAX);
    if (!load_index(s, job)) {
        log_error("segment/%04" PRIu32 ": its index cannot be read, "
                  "not cleaned before the next start",
            seg->slot);
        seg->stuck = true;
        job_free(s);
        return false;
    }
    job->rest = buf_slice(&job->index);
    return true;
}

static void
add_move(struct spool *s, struct clean_job *job, const struct record_info *r)
{
    if (job->step.count == job->room) {
        job->room = job->room == 0 ? 256 : job->room * 2;
        job->step.moves = mem_resize(job->step.moves,
            job->room * sizeof(*job->step.moves));
        job->infos = mem_resize(job->infos, job->room * sizeof(*job->infos));
    }
    job->infos[job->step.count] = *r;
    job->step.moves[job->step.count++] = (struct spool_move){
        .found = {
            .spool = s,
            .type = (enum record_type)r->type,
            .id = r->id,
            .serial = r->serial,
            .brief = r->brief,
            .place = {
                .segment = job->seg->place,
                .offset = (uint32_t)(r->offset / 8),
                .length = (uint32_t)record_length(r),
            },
            .blob = r->type == RECORD_MESSAGE ? r->other : 0,
            .parted = (r->flags & RECORD_PARTED) != 0,
        },
    };
}

static void
add_remove(struct clean_job *job, const struct record_info *r)
{
    if (job->remove_count == job->remove_room) {
        job->remove_room = job->remove_room == 0 ? 256 : job->remove_room * 2;
        job->removes = mem_resize(job->removes,
            job->remove_room * sizeof(*job->removes));
    }
    job->removes[job->remove_count++] = *r;
}

/* The next entries become a step. */
static void
fill(struct spool *s, struct clean_job *job)
{
    uint64_t octets = 0;
    struct record_info r;

    job->step.count = job->remove_count = 0;
    job->copied = false;
    while (job->step.count + job->remove_count < STEP_RECORDS &&
        octets < STEP_OCTETS && index_entry_next(&job->rest, &r)) {
        if (r.type != RECORD_REMOVE) {
            add_move(s, job, &r);
            octets += record_length(&r);
            continue;
        }
        r.other = target_of_message(s, r.id, r.other);
        if (target_needed(s, job->seg, r.other))
            add_remove(job, &r);
    }
}

static void
pause_cleaner(struct spool *s)
{
    s->clean_after_ms = clock_now_ms() + PAUSE_MS;
}

/* Some of its messages were copied, and it stays: they are there twice. */
static void
note_doubles(struct spool *s)
{
    struct slice rest = buf_slice(&s->job->index);
    struct record_info r;

    while (index_entry_next(&rest, &r))
        if (r.type == RECORD_MESSAGE)
            target_note_double(s, r.id);
}

/* All records were looked at. True: the job is over. */
static bool
finish(struct spool *s)
{
    struct clean_job *job = s->job;
    struct segment *seg = job->seg;
    struct why why;

    if (job->in_place &&
        (job->failed || seg->end != job->end || live_of(s, seg) > 0)) {
        job_free(s);
        pause_cleaner(s);
        return true;
    }
    if (job->failed) {
        seg->stuck = true;
        note_doubles(s);
        job_free(s);
        return true;
    }
    if (job->in_place)
        for (int p = 0; p < PURPOSE_COUNT; p++)
            if (s->open[p] == seg)
                s->open[p] = NULL;
    if (segment_retire(s, seg, &why) != RESULT_OK) {
        log_warning("spool: %s", why.text);
        pause_cleaner(s); /* and again, before anything else is cleaned */
        return false;
    }
    job_free(s);
    segment_trim(s);
    room_refresh(s);
    return true;
}

struct spool_step *
spool_clean_next(struct spool *s)
{
    struct clean_job *job;

    if (s->job != NULL && s->job->asked)
        return NULL;
    if (clock_now_ms() < s->clean_after_ms)
        return NULL;
    for (;;) {
        if (s->job == NULL && !begin(s))
            return NULL;
        job = s->job;
        fill(s, job);
        if (job->step.count > 0) {
            job->asked = true;
            return &job->step;
        }
        if (job->remove_count > 0)
            spool_clean_copy(s, &job->step);
        if (job->failed)
            job->rest.len = 0;
        if (job->rest.len == 0 && !finish(s))
            return NULL;
        if (clock_now_ms() < s->clean_after_ms)
            return NULL;
    }
}

/* One round of copying: what is flushed together. */
struct copying {
    struct batch cold, meta;
    void **octets; /* read records, kept until the flush */
    size_t count, room;
    size_t first; /* moves from here are in it */
};

static void
copying_fini(struct copying *c)
{
    for (size_t i = 0; i < c->count; i++)
        mem_free(c->octets[i]);
    mem_free(c->octets);
    batch_fini(&c->cold);
    batch_fini(&c->meta);
}

static void
keep_octets(struct copying *c, void *octets)
{
    if (c->count == c->room) {
        c->room = c->room == 0 ? 64 : c->room * 2;
        c->octets = mem_resize(c->octets, c->room * sizeof(*c->octets));
    }
    c->octets[c->count++] = octets;
}

/* Contents first: a MESSAGE without its content must not be there alone. */
static bool
write_round(struct spool *s, struct copying *c, size_t end)
{
    struct clean_job *job = s->job;
    struct why why = { 0 };
    bool ok = true;

    if (c->cold.count > 0)
        ok = batch_append(s, &c->cold, PURPOSE_COLD, CLAIM_CLEANER, &why) ==
            RESULT_OK;
    if (ok && c->meta.count > 0)
        ok = batch_append(s, &c->meta, PURPOSE_META, CLAIM_CLEANER, &why) ==
            RESULT_OK;
    for (size_t i = c->first; ok && i < end; i++) {
        struct spool_move *m = &job->step.moves[i];

        if (!m->live)
            continue;
        m->moved = true;
        spool_record_dead(s, &m->found.place);
    }
    if (ok)
        spool_count(s, &s->stats.copied_octets,
            c->cold.octets + c->meta.octets);
    if (!ok) {
        log_warning("spool: cleaner: %s", why.text);
        job->failed = true;
        pause_cleaner(s);
    }
    for (size_t i = 0; i < c->count; i++)
        mem_free(c->octets[i]);
    c->count = 0;
    c->first = end;
    batch_clear(&c->cold);
    batch_clear(&c->meta);
    return ok;
}

/* The record as it is on disk, verified. */
static unsigned char *
read_record(struct spool *s, const struct segment *seg,
    const struct record_info *r, struct record_info *on_disk)
{
    size_t len = (size_t)record_length(r);
    unsigned char *octets = mem_try_alloc(len);

    if (octets != NULL &&
        spool_read_octets(s, seg->fd, octets, len, r->offset) &&
        record_decode(octets, len, r->offset, &seg->key, on_disk) &&
        on_disk->id == r->id && on_disk->serial == r->serial &&
        on_disk->type == r->type && record_payload_valid(octets, on_disk))
        return octets;
    log_error("segment/%04" PRIu32 ": record at %" PRIu64 " of message %" PRIX64
              " cannot be read, the segment is kept",
        seg->slot, r->offset, r->id);
    mem_free(octets);
    return NULL;
}

/* The entries that a record becomes: one, or two when it is parted. */
static void
split(const unsigned char *octets, const struct record_info *r,
    struct spool_move *m, struct entry *meta, struct entry *cold)
{
    const char *payload = (const char *)octets + record_payload_at(r);
    struct entry whole = {
        .info = *r,
        .head = { payload, r->head_len },
        .content = { payload + r->head_len, r->content_len },
        .place = m == NULL ? NULL : &m->to,
    };

    whole.info.flags |= RECORD_COPY;
    *meta = *cold = (struct entry){ 0 };
    if (r->type == RECORD_CONTENT) {
        *cold = whole;
        return;
    }
    *meta = whole;
    if (r->type != RECORD_MESSAGE || r->content_len == 0)
        return;
    *cold = whole;
    cold->info.type = RECORD_CONTENT;
    cold->info.other = 0;
    cold->info.brief.len = 0;
    cold->info.head_len = cold->info.head_crc = 0;
    cold->head.len = 0;
    cold->place = &m->content_to;
    meta->info.flags |= RECORD_PARTED;
    meta->info.content_len = meta->info.content_crc = 0;
    meta->content.len = 0;
}

static bool
takes(const struct spool *s, enum segment_purpose p, const struct batch *b,
    const struct entry *e)
{
    return e->info.type == 0 ||
        batch_takes(s, s->open[p], b, record_length(&e->info),
            index_entry_length(e->info.brief.len));
}

static bool
copy_record(struct spool *s, struct copying *c, const struct record_info *r,
    struct spool_move *m, size_t index)
{
    struct clean_job *job = s->job;
    struct entry meta, cold;
    struct record_info on_disk;
    unsigned char *octets = read_record(s, job->seg, r, &on_disk);

    on_disk.other = r->other; /* a REMOVE's may be wider now */

    if (octets == NULL) {
        job->failed = true;
        if (m != NULL)
            m->live = false; /* stays where it is */
        return true;
    }
    split(octets, &on_disk, m, &meta, &cold);
    if ((!takes(s, PURPOSE_META, &c->meta, &meta) ||
            !takes(s, PURPOSE_COLD, &c->cold, &cold)) &&
        !write_round(s, c, index)) {
        mem_free(octets);
        return false;
    }
    if (meta.info.type != 0)
        batch_add(&c->meta, &meta);
    if (cold.info.type != 0)
        batch_add(&c->cold, &cold);
    keep_octets(c, octets);
    return true;
}

void
spool_clean_copy(struct spool *s, struct spool_step *step)
{
    struct clean_job *job = s->job;
    struct copying c = { 0 };
    bool ok = true;

    if (job->in_place && job->remove_count > 0)
        job->failed = true;
    for (size_t i = 0; ok && !job->in_place && i < job->remove_count; i++)
        ok = copy_record(s, &c, &job->removes[i], NULL, 0);
    for (size_t i = 0; ok && i < step->count; i++) {
        if (job->infos[i].type == 0)
            step->moves[i].live = false; /* removed since it was asked for */
        if (!step->moves[i].live)
            continue;
        if (job->in_place) {
            job->failed = true; /* not all of it is dead after all */
            break;
        }
        ok = copy_record(s, &c, &job->infos[i], &step->moves[i], i);
    }
    if (ok && (c.meta.count > 0 || c.cold.count > 0))
        (void)write_round(s, &c, step->count);
    copying_fini(&c);
    job->copied = true;
}

void
spool_clean_done(struct spool *s, struct spool_step *step)
{
    struct clean_job *job = s->job;

    (void)step;
    job->asked = false;
    job->step.count = job->remove_count = 0;
    if (job->failed)
        job->rest.len = 0; /* give up the rest */
    if (job->rest.len == 0)
        (void)finish(s);
}

void
clean_note_remove(struct spool *s, uint64_t id)
{
    struct clean_job *job = s->job;

    if (job == NULL || !job->asked || job->copied)
        return;
    for (size_t i = 0; i < job->step.count; i++)
        if (job->step.moves[i].found.id == id)
            job->infos[i].type = 0; /* see spool_clean_copy() */
}

bool
clean_target(const struct spool *s, uint64_t id, uint64_t *target)
{
    const struct clean_job *job = s->job;

    if (job == NULL || !job->asked || !job->copied)
        return false;
    for (size_t i = 0; i < job->step.count; i++) {
        const struct spool_move *m = &job->step.moves[i];

        if (m->found.id == id && m->found.type == RECORD_MESSAGE && m->moved) {
            *target = target_at(s, &m->to);
            return true;
        }
    }
    return false;
}

bool
spool_clean(struct spool *s, const struct spool_cleaner *cleaner)
{
    struct spool_step *step = spool_clean_next(s);

    if (step == NULL)
        return false;
    for (size_t i = 0; i < step->count; i++)
        step->moves[i].live = cleaner->live(cleaner->context,
            &step->moves[i].found);
    spool_clean_copy(s, step);
    for (size_t i = 0; i < step->count; i++) {
        const struct spool_move *m = &step->moves[i];

        if (!m->moved)
            continue;
        cleaner->moved(cleaner->context, m->found.type, m->found.id,
            &m->found.place, &m->to);
        if (m->content_to.segment != 0)
            cleaner->moved(cleaner->context, RECORD_CONTENT, m->found.id,
                &m->found.place, &m->content_to);
    }
    spool_clean_done(s, step);
    return true;
}
