#include "lib/daemon/slots.h"

#include <assert.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

/* Each process writes to pages of its own; those of unused columns cost none. */
struct slots {
    _Atomic uint32_t columns; /* the most ever used + 1: what is summed up */
    _Atomic uint32_t limit[SLOTS_ROWS];
    _Atomic uint32_t kept[SLOTS_ROWS];
    _Atomic uint32_t strained[SLOTS_ROWS];
    _Alignas(4096) _Atomic uint32_t used[SLOTS_COLUMNS][SLOTS_ROWS];
};

struct slots *
slots_map(int fd)
{
    void *at = mmap(NULL, sizeof(struct slots), PROT_READ | PROT_WRITE,
        MAP_SHARED, fd, 0);

    return at == MAP_FAILED ? NULL : at;
}

void
slots_unmap(struct slots *s)
{
    if (s != NULL)
        munmap(s, sizeof(*s));
}

struct slots *
slots_create(int *fd)
{
    struct slots *s;
    int file = memfd_create("postern slots", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (file < 0)
        return NULL;
    /* Nobody who has it can make another's mapping fault by cutting it off. */
    if (ftruncate(file, sizeof(struct slots)) < 0 ||
        fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) <
            0 ||
        (s = slots_map(file)) == NULL) {
        close(file);
        return NULL;
    }
    *fd = file;
    return s;
}

void
slots_set_limit(struct slots *s, unsigned row, uint32_t limit)
{
    assert(row < SLOTS_ROWS);
    s->limit[row] = limit;
}

void
slots_keep(struct slots *s, unsigned row, uint32_t kept)
{
    assert(row < SLOTS_ROWS);
    s->kept[row] = kept;
}

/* 0: no limit. */
static uint32_t
limit_of_strangers(const struct slots *s, unsigned row)
{
    uint32_t limit = s->limit[row], kept = s->kept[row];

    return limit > kept ? limit - kept : limit;
}

bool
slots_exceeded(struct slots *s, unsigned row)
{
    uint32_t limit;

    assert(row < SLOTS_ROWS);
    limit = limit_of_strangers(s, row);
    return limit > 0 && slots_used(s, row) > limit;
}

void
slots_clear_column(struct slots *s, unsigned column)
{
    assert(column < SLOTS_COLUMNS);
    for (unsigned i = 0; i < SLOTS_ROWS; i++)
        s->used[column][i] = 0;
    if (s->columns <= column)
        s->columns = column + 1;
}

uint32_t
slots_used(const struct slots *s, unsigned row)
{
    uint32_t columns = s->columns, sum = 0;

    assert(row < SLOTS_ROWS);
    if (columns > SLOTS_COLUMNS) /* another process wrote nonsense there */
        columns = SLOTS_COLUMNS;
    for (uint32_t i = 0; i < columns; i++)
        sum += s->used[i][row];
    return sum;
}

bool
slots_take(struct slots *s, unsigned row, unsigned column)
{
    uint32_t limit;

    assert(row < SLOTS_ROWS && column < SLOTS_COLUMNS);
    s->used[column][row]++;
    limit = s->limit[row];
    if (limit == 0 || slots_used(s, row) <= limit)
        return true;
    s->used[column][row]--;
    return false;
}

void
slots_give(struct slots *s, unsigned row, unsigned column)
{
    assert(row < SLOTS_ROWS && column < SLOTS_COLUMNS);
    if (s->used[column][row] > 0)
        s->used[column][row]--;
}

bool
slots_strained(struct slots *s, unsigned row, uint32_t *begun)
{
    uint32_t limit, used;

    assert(row < SLOTS_ROWS);
    *begun = 0;
    limit = limit_of_strangers(s, row);
    if (limit <= 1) /* none, or one after the other as its admin wants it */
        return false;
    used = slots_used(s, row);
    if (used >= limit) {
        if (atomic_exchange(&s->strained[row], 1) == 0)
            *begun = limit;
        return true;
    }
    if (used < limit - limit / 4)
        s->strained[row] = 0;
    return s->strained[row] != 0;
}
