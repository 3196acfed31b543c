#include "qmgr/spool/clean.h"

#include "lib/base/clock.h"
#include "lib/base/crc32c.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#include <inttypes.h>
#include <string.h>

enum {
    STEP_RECORDS = 2048,
    STEP_OCTETS = 4 * 1024 * 1024,
    STEP_SHORT = 256 * 1024, /* while mail would wait for it */
    SLACK = 3,               /* segments in use above twice what is live */
    SLACK_PROMISED = 4,
    PAUSE_MS = 1000,
    STUCK_MS = 60 * 1000, /* until a disk may be well again */
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
 * padding. What cannot be won back does not count, or the rest would be copied
 * for ever: neither of segments that are stuck, nor the indexes' part.
 */
static struct segment *
choose_complete(struct spool *s)
{
    uint64_t used = 0, live = 0;
    int64_t now = clock_now_ms();
    struct segment *best = NULL;

    for (size_t i = 0; i < s->segment_count; i++) {
        struct segment *seg = s->segments[i];

        if (!segment_in_use(seg) || seg->given_up)
            continue;
        if (is_complete(seg) && seg->live == 0)
            return seg;
        if (now < seg->stuck_until_ms)
            continue;
        used += seg->size;
        live += seg->live;
        if (!is_complete(seg))
            continue;
        if (seg->bad || seg->damaged)
            return seg;
        if (best == NULL || seg->live < best->live ||
            (seg->live == best->live &&
                seg->key.generation < best->key.generation))
            best = seg;
    }
    s->behind = false;
    if (best == NULL || best->live >= best->end / 4 * 3)
        return NULL;
    s->behind = used > 2 * live + SLACK_PROMISED * s->segment_size;
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

/* What is wholly dead costs next to nothing. */
static bool
must_wait(struct spool *s, const struct segment *seg)
{
    s->clean_waits = live_of(s, seg) > 0 && !s->pressed &&
        !budget_allows(&s->budget);
    return s->clean_waits;
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
        /* Without memory it is not whole: what it lacks may be live. */
        return !buf_failed(&job->index) && !buf_failed(&seg->index);
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

    if (seg == NULL || must_wait(s, seg))
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
        seg->given_up = true;
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
    uint64_t octets = 0, most;
    struct record_info r;

    most = budget_is_idle(&s->budget) ? STEP_OCTETS : STEP_SHORT;
    job->step.count = job->remove_count = 0;
    job->copied = false;
    while (job->step.count + job->remove_count < STEP_RECORDS &&
        octets < most && index_entry_next(&job->rest, &r)) {
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
        clean_pause(s);
        return true;
    }
    if (job->failed) {
        /* A REMOVE that counts since: it would be tried again at once. */
        if (job->unreadable && live_of(s, seg) == 0)
            seg->given_up = true;
        seg->stuck_until_ms = job->unreadable ? INT64_MAX
                                              : clock_now_ms() + STUCK_MS;
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
        clean_pause(s); /* and again, before anything else is cleaned */
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
    s->clean_waits = clock_now_ms() < s->clean_after_ms;
    if (s->clean_waits)
        return NULL;
    for (;;) {
        if (s->job == NULL ? !begin(s) : must_wait(s, s->job->seg))
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
        s->clean_waits = clock_now_ms() < s->clean_after_ms;
        if (s->clean_waits)
            return NULL;
    }
}

bool
spool_clean_waits(const struct spool *s)
{
    return s->clean_waits;
}

void
clean_pause(struct spool *s)
{
    s->clean_after_ms = clock_now_ms() + PAUSE_MS;
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
