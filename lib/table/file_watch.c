#include "lib/table/file_watch.h"

#include "lib/base/clock.h"
#include "lib/daemon/daemon.h"

enum { TICK_MS = 20 }; /* more than that of any file system's times */

static bool
same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
        a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
        a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Written to in the last so many milliseconds. */
static bool
is_young(const struct stat *st, int64_t ms)
{
    int64_t age_us = clock_wall_us() -
        ((int64_t)st->st_mtim.tv_sec * 1000000 + st->st_mtim.tv_nsec / 1000);

    return age_us >= 0 && age_us < ms * 1000;
}

void
file_watch_set(struct file_watch *w, const struct stat *st)
{
    w->known = true;
    w->seen = *st;
    /* What comes in the same tick of the clock would not show. */
    if (is_young(st, TICK_MS))
        w->seen.st_mtim.tv_nsec ^= 1;
    w->next_ms = clock_now_ms() + FILE_WATCH_MS;
    w->reload = daemon_reloads();
}

/* What was put in its place is whole; what was written into it may not be yet. */
static bool
is_complete(const struct stat *was, const struct stat *st)
{
    return was->st_ino != st->st_ino || was->st_dev != st->st_dev ||
        !is_young(st, FILE_WATCH_MS);
}

bool
file_watch_changed(struct file_watch *w, const char *path)
{
    int64_t now = clock_now_ms();
    bool reloaded = w->reload != daemon_reloads();
    struct stat st;

    if (!w->known)
        return true;
    if (now < w->next_ms && !reloaded)
        return false;
    w->next_ms = now + FILE_WATCH_MS;
    w->reload = daemon_reloads();
    return stat(path, &st) == 0 && !same_file(&st, &w->seen) &&
        (reloaded || is_complete(&w->seen, &st));
}
