#include "lib/base/clock.h"
#include "qmgr/spool/state.h"

#include <pthread.h>

/* A look at the disk is good for so long. */
enum { ROOM_STALE_MS = 1000 };

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
    uint64_t cleaner = RESERVE_CLEANER, settling, fresh;

    for (int p = PURPOSE_META; p < PURPOSE_COUNT; p++)
        cleaner -= s->open[p] != NULL;
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

bool
spool_room_take(struct spool *s, uint64_t octets)
{
    bool yes;

    pthread_mutex_lock(&s->lock);
    yes = octets <= minus(s->room_settling, s->room_taken) ||
        (s->room_taken == 0 &&
            clock_now_ms() - s->room_seen_ms >= ROOM_STALE_MS);
    if (yes)
        s->room_taken += octets;
    pthread_mutex_unlock(&s->lock);
    return yes;
}

void
spool_room_give(struct spool *s, uint64_t octets)
{
    pthread_mutex_lock(&s->lock);
    s->room_taken = minus(s->room_taken, octets);
    pthread_mutex_unlock(&s->lock);
}
