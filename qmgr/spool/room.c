#include "lib/base/clock.h"
#include "qmgr/spool/state.h"

#include <pthread.h>

/* A look at the disk is good for so long. */
enum {
    ROOM_STALE_MS = 1000,
    SLACK_PART =
        64, /* of a segment: for records that nothing was set aside for */
};

/* What an empty segment takes, somewhat rounded down. */
static uint64_t
usable(const struct spool *s)
{
    return s->segment_size - s->segment_size / 8;
}

static uint64_t
minus(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

/* Under lock, or on the committer: what the open segment still takes. */
static uint64_t
head_left(const struct spool *s, uint64_t disk_free)
{
    const struct segment *seg = s->open[PURPOSE_FRESH];
    uint64_t left, grown;

    if (seg == NULL)
        return 0;
    left = segment_left(seg);
    grown = minus(seg->reserved, seg->end);
    if (grown > UINT64_MAX - disk_free)
        return left;
    return left < grown + disk_free ? left : grown + disk_free;
}

/* Under lock, or on the committer: what is there whatever others do. */
static uint64_t
sure_octets(const struct spool *s, uint64_t cleaner)
{
    const struct segment *seg = s->open[PURPOSE_FRESH];
    uint64_t left = 0;

    if (seg != NULL) {
        left = minus(seg->reserved, seg->end);
        if (left > segment_left(seg))
            left = segment_left(seg);
    }
    return left + minus(segments_free(s), cleaner) * usable(s);
}

/*
 * Blocks for what has been set aside, and as much again for what will be: set
 * aside is only what is there, so that it cannot be lost to others who fill the
 * disk.
 */
static uint64_t
make_sure(struct spool *s, uint64_t cleaner)
{
    struct segment *seg = s->open[PURPOSE_FRESH];
    uint64_t piece = s->segment_size / GROWTH_PART;
    uint64_t want, sure = sure_octets(s, cleaner);

    pthread_mutex_lock(&s->lock);
    want = 2 * s->room_taken + s->room_wanted + piece;
    s->room_wanted = 0;
    pthread_mutex_unlock(&s->lock);
    if (sure >= want)
        return sure;
    if (seg != NULL && seg->reserved < seg->size &&
        segment_reserve(s, seg, seg->end + want) == 0)
        sure = sure_octets(s, cleaner);
    while (sure < want && segments_add(s))
        sure = sure_octets(s, cleaner);
    return sure;
}

/*
 * Committer. Settling may have all but the cleaner's segments; fresh mail not
 * the one for settling either, and nothing when the file system is below
 * min_free. As long as there is only the first segment, which grows, the
 * reserve is a part of that.
 */
void
room_refresh(struct spool *s)
{
    int64_t looked = s->disk->free_octets(s->disk, s->dir);
    uint64_t disk_free = looked < 0 ? 0 : (uint64_t)looked;
    uint64_t left = head_left(s, disk_free);
    uint64_t spare = segments_free(s) + disk_free / s->segment_size;
    uint64_t cleaner = RESERVE_CLEANER, settling, fresh, sure;

    for (int p = PURPOSE_META; p < PURPOSE_COUNT; p++)
        cleaner -= s->open[p] != NULL;
    sure = make_sure(s, cleaner);
    settling = left + minus(spare, cleaner) * usable(s);
    if (spare >= cleaner + RESERVE_SETTLING)
        fresh = left + (spare - cleaner - RESERVE_SETTLING) * usable(s);
    else if (s->segment_count <= 1)
        fresh = minus(left, s->segment_size / 16);
    else
        fresh = 0;
    if (disk_free < s->min_free)
        fresh = 0;
    s->pressed = s->segment_count > 1 && spare < cleaner + RESERVE_SETTLING + 1;
    pthread_mutex_lock(&s->lock);
    s->room_settling = settling;
    s->room_fresh = fresh;
    s->room_sure = sure;
    s->room_seen_ms = clock_now_ms();
    pthread_mutex_unlock(&s->lock);
}

static bool
fits(const struct spool *s, uint64_t octets)
{
    uint64_t rest = minus(s->room_settling, s->room_taken);

    return octets <= s->room_fresh && octets <= rest;
}

bool
room_for_fresh(struct spool *s, uint64_t octets)
{
    bool yes;

    if (clock_now_ms() - s->room_seen_ms >= ROOM_STALE_MS)
        room_refresh(s);
    pthread_mutex_lock(&s->lock);
    yes = fits(s, octets);
    pthread_mutex_unlock(&s->lock);
    if (yes)
        return true;
    room_refresh(s);
    pthread_mutex_lock(&s->lock);
    yes = fits(s, octets);
    pthread_mutex_unlock(&s->lock);
    return yes;
}

bool
spool_has_room(struct spool *s, uint64_t octets)
{
    bool yes;

    pthread_mutex_lock(&s->lock);
    /* Nothing was committed for a while: let a transaction try. */
    yes = fits(s, octets) || clock_now_ms() - s->room_seen_ms >= ROOM_STALE_MS;
    pthread_mutex_unlock(&s->lock);
    return yes;
}

void
spool_look(struct spool *s)
{
    room_refresh(s);
}

/* What is more than that would never be there. */
static uint64_t
capped(const struct spool *s, uint64_t octets)
{
    uint64_t most = usable(s) / 4;

    return octets < most ? octets : most;
}

bool
spool_room_take(struct spool *s, uint64_t octets)
{
    uint64_t slack = s->segment_size / SLACK_PART, wanted = capped(s, octets);
    bool yes;

    /* Who asks for nothing may go on for a while with what is under way. */
    if (octets == 0)
        slack /= 2;
    pthread_mutex_lock(&s->lock);
    yes = wanted + slack <= minus(s->room_sure, s->room_taken);
    if (yes)
        s->room_taken += wanted;
    else if (s->room_wanted < usable(s))
        s->room_wanted += wanted;
    pthread_mutex_unlock(&s->lock);
    return yes;
}

void
spool_room_give(struct spool *s, uint64_t octets)
{
    pthread_mutex_lock(&s->lock);
    s->room_taken = minus(s->room_taken, capped(s, octets));
    pthread_mutex_unlock(&s->lock);
}
