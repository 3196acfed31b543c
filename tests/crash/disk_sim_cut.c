/*
 * What is left of a simulated disk without power, and what tests do to it
 * behind its back.
 */
#include "lib/base/crc32c.h"
#include "lib/base/mem.h"
#include "tests/crash/disk_sim_state.h"

#include <string.h>

static void
octets_copy(struct octets *to, const struct octets *from)
{
    octets_extend(to, from->size);
    if (from->size > 0)
        memcpy(to->ptr, from->ptr, (size_t)from->size);
}

static void
names_copy(struct names *to, const struct names *from)
{
    for (size_t i = 0; i < from->count; i++)
        names_add(to, from->items[i].name, from->items[i].inode);
}

/* splitmix64 */
static uint64_t
mix(uint64_t z)
{
    z += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

/* Is this part there after the cut? density is of 256. */
static bool
survives(enum cut kind, uint64_t seed, uint64_t part, uint64_t sector,
    bool lost)
{
    /* Some cuts keep much, others little. */
    uint64_t density = mix(seed) % 257;

    switch (kind) {
    case CUT_KEPT:
        return true;
    case CUT_LOST:
        return false;
    case CUT_TORN:
        return mix(seed ^ mix(part ^ mix(sector))) % 256 < density;
    case CUT_REORDERED:
        /* What a failed flush lost, was lost in sectors. */
        return mix(seed ^ mix(part ^ (lost ? mix(sector) : 0))) % 256 < density;
    case CUT_KINDS:
        break;
    }
    return false;
}

static void
cut_file(struct inode *to, const struct inode *from, enum cut kind,
    uint64_t seed, uint64_t number)
{
    octets_copy(&to->durable, &from->durable);
    if (kind == CUT_KEPT ||
        (kind != CUT_LOST && survives(kind, seed, number, 1, false)))
        octets_extend(&to->durable, from->now.size);
    for (size_t i = 0; i < from->write_count; i++) {
        const struct sector_write *w = &from->writes[i];

        if (survives(kind, seed, w->write, w->sector, w->lost_flush))
            apply_sector(&to->durable, w, from->now.size);
    }
    octets_copy(&to->now, &to->durable);
}

/* Names that speak of nothing any more; then who is reached. */
static void
settle_names(struct disk_sim *sim)
{
    for (size_t i = 0; i < sim->inode_count; i++) {
        struct inode *n = sim->inodes[i];

        if (n == NULL)
            continue;
        names_copy(&n->names, &n->durable_names);
        for (size_t k = 0; k < n->names.count; k++)
            sim->inodes[n->names.items[k].inode]->links++;
    }
    for (size_t i = 1; i < sim->inode_count; i++) {
        struct inode *n = sim->inodes[i];

        if (n != NULL && n->links == 0) {
            inode_free(n);
            sim->inodes[i] = NULL;
        } else if (n != NULL) {
            sim->used += n->now.size;
        }
    }
}

struct disk_sim *
disk_sim_cut(const struct disk_sim *sim, enum cut kind, uint64_t seed)
{
    struct disk_sim *left = disk_sim_empty(sim->capacity);

    left->inode_count = sim->inode_count;
    left->inodes = mem_alloc_array(sim->inode_count, sizeof(*left->inodes));
    for (size_t i = 0; i < sim->inode_count; i++) {
        const struct inode *from = sim->inodes[i];
        struct inode *to;

        if (from == NULL)
            continue;
        to = left->inodes[i] = mem_alloc(sizeof(*to));
        to->directory = from->directory;
        cut_file(to, from, kind, seed, i);
        names_copy(&to->durable_names, &from->durable_names);
    }
    for (size_t i = 0; i < sim->change_count; i++)
        if (survives(kind, seed ^ 1, i, 0, false))
            apply_change(left, &sim->changes[i]);
    settle_names(left);
    (void)disk_sim_fd(left, 0);
    return left;
}

static uint64_t
/* NOLINTNEXTLINE(misc-no-recursion): as deep as our spool */
hash_names(const struct disk_sim *sim, const struct inode *dir, uint64_t h)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < dir->names.count; i++) {
        const struct name *n = &dir->names.items[i];
        const struct inode *inode = sim->inodes[n->inode];
        uint64_t one = crc32c(0, n->name, strlen(n->name));

        if (inode->directory)
            one = hash_names(sim, inode, one);
        else
            one ^= (uint64_t)crc32c(1, inode->now.ptr, (size_t)inode->now.size)
                    << 32 ^
                mix(inode->now.size);
        sum += mix(one); /* whichever order they stand in */
    }
    return mix(h ^ sum);
}

uint64_t
disk_sim_hash(const struct disk_sim *sim)
{
    return hash_names(sim, sim->inodes[0], 0);
}

static struct inode *
find_file(const struct disk_sim *sim, const char *dir, const char *name)
{
    const struct inode *in = sim->inodes[0];
    struct name *at;

    if (dir[0] != '\0') {
        at = names_find(&in->names, dir);
        if (at == NULL)
            return NULL;
        in = sim->inodes[at->inode];
    }
    at = names_find(&in->names, name);
    return at == NULL ? NULL : sim->inodes[at->inode];
}

bool
disk_sim_rot(struct disk_sim *sim, const char *dir, const char *name,
    uint64_t offset, unsigned char xor)
{
    struct inode *n = find_file(sim, dir, name);

    if (n == NULL || offset >= n->now.size || offset >= n->durable.size)
        return false;
    n->now.ptr[offset] ^= xor;
    n->durable.ptr[offset] ^= xor;
    return true;
}

int64_t
disk_sim_file_length(const struct disk_sim *sim, const char *dir,
    const char *name)
{
    const struct inode *n = find_file(sim, dir, name);

    return n == NULL ? -1 : (int64_t)n->now.size;
}

size_t
disk_sim_file_read(const struct disk_sim *sim, const char *dir,
    const char *name, uint64_t offset, void *to, size_t len)
{
    const struct inode *n = find_file(sim, dir, name);

    if (n == NULL || offset >= n->now.size)
        return 0;
    if (len > n->now.size - offset)
        len = (size_t)(n->now.size - offset);
    memcpy(to, n->now.ptr + offset, len);
    return len;
}
