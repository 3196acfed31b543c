#include "lib/table/file_watch.h"

#include "lib/base/clock.h"

void
file_watch_set(struct file_watch *w, const struct stat *st)
{
    w->known = true;
    w->seen = *st;
    w->next_ms = clock_now_ms() + FILE_WATCH_MS;
}

static bool
same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
        a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
        a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

bool
file_watch_changed(struct file_watch *w, const char *path)
{
    int64_t now = clock_now_ms();
    struct stat st;

    if (!w->known)
        return true;
    if (now < w->next_ms)
        return false;
    w->next_ms = now + FILE_WATCH_MS;
    return stat(path, &st) == 0 && !same_file(&st, &w->seen);
}
