/*
 * The index blocks of sealed segments: most of what there is to read at the
 * start, so several threads do it.
 */
#include "lib/base/crc32c.h"
#include "lib/base/thread.h"
#include "qmgr/spool/state.h"

/* False: there is no trailer, or it is of another use. */
static bool
read_trailer(struct spool *s, const struct segment *seg, struct trailer *t)
{
    unsigned char octets[TRAILER_SIZE];

    return seg->reserved >= seg->size &&
        spool_read_octets(s, seg->fd, octets, sizeof(octets),
            seg->size - BLOCK_SIZE) &&
        trailer_decode(octets, seg->size, t) &&
        t->key.generation == seg->key.generation &&
        t->key.salt == seg->key.salt;
}

static bool
read_index(struct spool *s, struct segment *seg, const struct trailer *t,
    struct run *run)
{
    char *at = buf_reserve(&seg->index, (size_t)t->index_len);

    if (at == NULL ||
        !spool_read_octets(s, seg->fd, at, (size_t)t->index_len, t->index_at) ||
        crc32c(0, at, (size_t)t->index_len) != t->index_crc)
        return false;
    buf_advance(&seg->index, (size_t)t->index_len);
    return run_collect(run, seg->slot, buf_slice(&seg->index), t->entries) &&
        run->count == t->entries;
}

struct side {
    const struct loading *loading;
    struct sealed *sealed;
};

/* Of one segment, which is nobody else's meanwhile. */
static void
read_one(void *context, size_t i)
{
    struct side *side = context;
    struct sealed *one = &side->sealed[i];
    struct run *run = &side->loading->runs[i];
    struct segment *seg = one->segment;

    if (seg == NULL || one->closed ||
        !read_trailer(side->loading->spool, seg, &one->trailer))
        return;
    if (read_index(side->loading->spool, seg, &one->trailer, run)) {
        one->found = SEALED_OK;
        seg->entries = one->trailer.entries;
    } else {
        one->found = SEALED_DAMAGED;
        buf_fini(&seg->index);
        buf_init(&seg->index, INT32_MAX);
        run_fini(run);
    }
    if (run->max_serial < one->trailer.last_serial)
        run->max_serial = one->trailer.last_serial;
}

void
sealed_read(const struct loading *l, struct sealed *sealed)
{
    struct side side = { l, sealed };

    thread_each(l->threads, l->run_count, read_one, &side);
}
