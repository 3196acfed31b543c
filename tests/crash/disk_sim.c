#include "tests/crash/disk_sim.h"

#include "lib/base/crc32c.h"
#include "lib/base/list.h"
#include "lib/base/mem.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = 4096, SECTOR = 512, NAME_SIZE = 64, FD_BASE = 1000 };

/* Names and what they mean. */
struct names {
    struct name {
        char name[NAME_SIZE];
        size_t inode;
    } * items;
    size_t count, room;
};

/* One sector that was written and is not durable. */
struct sector_write {
    uint64_t sector;
    uint64_t write;  /* which write it was part of */
    bool lost_flush; /* no flush makes it durable any more */
    unsigned char octets[SECTOR];
};

struct octets {
    unsigned char *ptr;
    uint64_t size; /* of the file */
    uint64_t room;
};

struct inode {
    bool directory;
    bool uncounted;      /* nobody can reach it, but a cut may bring it back */
    size_t links, opens; /* names now, descriptors */
    bool locked;
    struct octets now, durable;
    struct sector_write *writes;
    size_t write_count, write_room;
    struct names names, durable_names;
    uint64_t bad_from, bad_to;
};

/* A change of names that is not durable. */
struct name_change {
    enum { NAME_ADD, NAME_REMOVE, NAME_MOVE } kind;
    size_t dir, to_dir, inode;
    char name[NAME_SIZE], to_name[NAME_SIZE];
};

struct disk_sim {
    struct disk disk; /* first */
    struct inode **inodes;
    size_t inode_count;
    struct {
        size_t inode;
        bool open, locks;
    } * fds;
    size_t fd_count;
    struct name_change *changes;
    size_t change_count, change_room;
    uint64_t capacity, used;
    uint64_t calls, writes;
    struct disk_fault fault;
    void (*after)(void *context);
    void *context;
};

static void *
grow(void *ptr, size_t count, size_t *room, size_t size)
{
    if (count < *room)
        return ptr;
    *room = *room == 0 ? 16 : *room * 2;
    return mem_resize(ptr, *room * size);
}

static void
octets_extend(struct octets *o, uint64_t size)
{
    if (size > o->room) {
        uint64_t room = size < 4096 ? 4096 : size + size / 2;

        o->ptr = mem_resize(o->ptr, (size_t)room);
        memset(o->ptr + o->room, 0, (size_t)(room - o->room));
        o->room = room;
    }
    if (size > o->size)
        o->size = size;
}

static void
octets_copy(struct octets *to, const struct octets *from)
{
    octets_extend(to, from->size);
    if (from->size > 0)
        memcpy(to->ptr, from->ptr, (size_t)from->size);
}

static struct name *
names_find(const struct names *n, const char *name)
{
    for (size_t i = 0; i < n->count; i++)
        if (strcmp(n->items[i].name, name) == 0)
            return &n->items[i];
    return NULL;
}

static void
names_add(struct names *n, const char *name, size_t inode)
{
    struct name *at = names_find(n, name);

    if (at != NULL) {
        at->inode = inode;
        return;
    }
    n->items = grow(n->items, n->count, &n->room, sizeof(*n->items));
    at = &n->items[n->count++];
    assert(strlen(name) < sizeof(at->name));
    memcpy(at->name, name, strlen(name) + 1);
    at->inode = inode;
}

static void
names_remove(struct names *n, const char *name)
{
    struct name *at = names_find(n, name);

    if (at != NULL)
        *at = n->items[--n->count];
}

static void
names_copy(struct names *to, const struct names *from)
{
    for (size_t i = 0; i < from->count; i++)
        names_add(to, from->items[i].name, from->items[i].inode);
}

static size_t
inode_new(struct disk_sim *sim, bool directory)
{
    size_t i;

    for (i = 0; i < sim->inode_count && sim->inodes[i] != NULL; i++)
        continue;
    if (i == sim->inode_count) {
        sim->inodes = mem_resize(sim->inodes,
            (sim->inode_count + 1) * sizeof(*sim->inodes));
        sim->inode_count++;
    }
    sim->inodes[i] = mem_alloc(sizeof(*sim->inodes[i]));
    sim->inodes[i]->directory = directory;
    return i;
}

static void
inode_free(struct inode *n)
{
    if (n == NULL)
        return;
    mem_free(n->now.ptr);
    mem_free(n->durable.ptr);
    mem_free(n->writes);
    mem_free(n->names.items);
    mem_free(n->durable_names.items);
    mem_free(n);
}

/* Octets in use, as free_octets() counts: of files that can be reached. */
static void
inode_unused(struct disk_sim *sim, size_t i)
{
    struct inode *n = sim->inodes[i];

    /* The durable names may still speak of it: it stays for a cut. */
    if (n->links == 0 && n->opens == 0 && !n->directory && !n->uncounted) {
        sim->used -= n->now.size;
        n->uncounted = true;
    }
}

static int
fd_new(struct disk_sim *sim, size_t inode)
{
    size_t i;

    for (i = 0; i < sim->fd_count && sim->fds[i].open; i++)
        continue;
    if (i == sim->fd_count) {
        sim->fds = mem_resize(sim->fds,
            (sim->fd_count + 1) * sizeof(*sim->fds));
        sim->fd_count++;
    }
    sim->fds[i].open = true;
    sim->fds[i].locks = false;
    sim->fds[i].inode = inode;
    sim->inodes[inode]->opens++;
    return FD_BASE + (int)i;
}

static struct inode *
inode_of(struct disk_sim *sim, int fd)
{
    size_t i = (size_t)(fd - FD_BASE);

    assert(fd >= FD_BASE && i < sim->fd_count && sim->fds[i].open);
    return sim->inodes[sim->fds[i].inode];
}

static size_t
number_of(struct disk_sim *sim, int fd)
{
    (void)inode_of(sim, fd);
    return sim->fds[fd - FD_BASE].inode;
}

/* Count a call; true when it has to fail. */
static bool
counted(struct disk_sim *sim)
{
    sim->calls++;
    if (sim->calls < sim->fault.first ||
        sim->calls - sim->fault.first >= sim->fault.count)
        return false;
    errno = sim->fault.err;
    return true;
}

static int
done(struct disk_sim *sim, int result)
{
    int saved = errno;

    if (sim->after != NULL)
        sim->after(sim->context);
    errno = saved;
    return result;
}

static struct disk_sim *
sim_of(struct disk *d)
{
    return (struct disk_sim *)(void *)d;
}

static void
change(struct disk_sim *sim, const struct name_change *c)
{
    sim->changes = grow(sim->changes, sim->change_count, &sim->change_room,
        sizeof(*c));
    sim->changes[sim->change_count++] = *c;
}

static void
set_name(char to[NAME_SIZE], const char *from)
{
    assert(strlen(from) < NAME_SIZE);
    memcpy(to, from, strlen(from) + 1);
}

static void
add_name(struct disk_sim *sim, size_t dir, const char *name, size_t inode)
{
    struct name_change c = { .kind = NAME_ADD, .dir = dir, .inode = inode };

    set_name(c.name, name);
    names_add(&sim->inodes[dir]->names, name, inode);
    sim->inodes[inode]->links++;
    change(sim, &c);
}

static int
sim_open(struct disk *d, int dir, const char *name, int flags, mode_t mode)
{
    struct disk_sim *sim = sim_of(d);
    struct name *at;
    size_t inode;

    (void)mode;
    if ((flags & O_TMPFILE) == O_TMPFILE) {
        if (counted(sim))
            return done(sim, -1);
        return done(sim, fd_new(sim, inode_new(sim, false)));
    }
    if (strcmp(name, ".") == 0)
        return fd_new(sim, number_of(sim, dir));
    at = names_find(&inode_of(sim, dir)->names, name);
    if (at != NULL) {
        if ((flags & O_EXCL) != 0) {
            errno = EEXIST;
            return -1;
        }
        return fd_new(sim, at->inode);
    }
    if ((flags & O_CREAT) == 0) {
        errno = ENOENT;
        return -1;
    }
    if (counted(sim))
        return done(sim, -1);
    inode = inode_new(sim, false);
    add_name(sim, number_of(sim, dir), name, inode);
    return done(sim, fd_new(sim, inode));
}

static int
sim_close(struct disk *d, int fd)
{
    struct disk_sim *sim = sim_of(d);
    struct inode *n = inode_of(sim, fd);

    if (sim->fds[fd - FD_BASE].locks)
        n->locked = false;
    sim->fds[fd - FD_BASE].open = false;
    n->opens--;
    inode_unused(sim, sim->fds[fd - FD_BASE].inode);
    return 0;
}

static bool
extend(struct disk_sim *sim, struct inode *n, uint64_t size)
{
    uint64_t more = size > n->now.size ? size - n->now.size : 0;

    if (more > 0 && sim->used + more > sim->capacity) {
        errno = ENOSPC;
        return false;
    }
    sim->used += more;
    octets_extend(&n->now, size);
    return true;
}

/* Each sector that the write touched, as it is now. */
static void
note_sectors(struct disk_sim *sim, struct inode *n, uint64_t from, uint64_t to)
{
    for (uint64_t s = from / SECTOR; s * SECTOR < to; s++) {
        uint64_t at = s * SECTOR;
        size_t len = n->now.size - at < SECTOR ? (size_t)(n->now.size - at)
                                               : SECTOR;
        struct sector_write *w;

        n->writes = grow(n->writes, n->write_count, &n->write_room,
            sizeof(*n->writes));
        w = &n->writes[n->write_count++];
        memset(w, 0, sizeof(*w));
        w->sector = s;
        w->write = sim->writes;
        memcpy(w->octets, n->now.ptr + at, len);
    }
}

static bool
write_some(struct disk_sim *sim, struct inode *n, const struct iovec *iov,
    int count, uint64_t offset, uint64_t most)
{
    uint64_t at = offset;

    if (most == 0)
        return true;
    if (!extend(sim, n, offset + most))
        return false;
    for (int i = 0; i < count && most > 0; i++) {
        uint64_t len = iov[i].iov_len < most ? iov[i].iov_len : most;

        if (len > 0)
            memcpy(n->now.ptr + at, iov[i].iov_base, (size_t)len);
        at += len;
        most -= len;
    }
    sim->writes++;
    note_sectors(sim, n, offset, at);
    return true;
}

/* Out of space is found before a page is touched; a device stops anywhere. */
static uint64_t
partial(int err, uint64_t len)
{
    return err == ENOSPC ? len / 2 / PAGE * PAGE : len / 2;
}

static int
sim_write(struct disk *d, int fd, const struct iovec *iov, int count,
    off_t offset)
{
    struct disk_sim *sim = sim_of(d);
    struct inode *n = inode_of(sim, fd);
    uint64_t len = 0;
    int result = 0;

    for (int i = 0; i < count; i++)
        len += iov[i].iov_len;
    if (counted(sim)) {
        int err = errno;

        if (sim->fault.partial)
            (void)write_some(sim, n, iov, count, (uint64_t)offset,
                partial(err, len));
        errno = err;
        return done(sim, -1);
    }
    if (!write_some(sim, n, iov, count, (uint64_t)offset, len))
        result = -1;
    return done(sim, result);
}

static ssize_t
sim_read(struct disk *d, int fd, void *to, size_t len, off_t offset)
{
    struct inode *n = inode_of(sim_of(d), fd);
    uint64_t at = (uint64_t)offset;

    if (at < n->bad_to && at + len > n->bad_from) {
        errno = EIO;
        return -1;
    }
    if (at >= n->now.size)
        return 0;
    if (len > n->now.size - at)
        len = (size_t)(n->now.size - at);
    if (len > 0)
        memcpy(to, n->now.ptr + at, len);
    return (ssize_t)len;
}

/* A write that is durable now makes older lost ones of its sector moot. */
static void
forget_lost(struct inode *n, uint64_t sector, size_t before)
{
    for (size_t i = 0; i < before; i++)
        if (n->writes[i].sector == sector && n->writes[i].lost_flush)
            n->writes[i].write = 0;
}

static void
apply_sector(struct octets *o, const struct sector_write *w, uint64_t limit)
{
    uint64_t at = w->sector * SECTOR;
    uint64_t end = at + SECTOR < limit ? at + SECTOR : limit;

    if (end <= at)
        return;
    octets_extend(o, end);
    memcpy(o->ptr + at, w->octets, (size_t)(end - at));
}

static void
make_durable(struct inode *n)
{
    size_t kept = 0;

    octets_extend(&n->durable, n->now.size);
    for (size_t i = 0; i < n->write_count; i++)
        if (!n->writes[i].lost_flush) {
            apply_sector(&n->durable, &n->writes[i], n->now.size);
            forget_lost(n, n->writes[i].sector, i);
        }
    for (size_t i = 0; i < n->write_count; i++)
        if (n->writes[i].lost_flush && n->writes[i].write != 0)
            n->writes[kept++] = n->writes[i];
    n->write_count = kept;
}

static void
apply_change(struct disk_sim *sim, const struct name_change *c)
{
    struct names *dir = &sim->inodes[c->dir]->durable_names;

    switch (c->kind) {
    case NAME_ADD:
        names_add(dir, c->name, c->inode);
        break;
    case NAME_REMOVE:
        names_remove(dir, c->name);
        break;
    case NAME_MOVE:
        if (names_find(dir, c->name) == NULL)
            break; /* its creation was lost */
        names_remove(dir, c->name);
        names_add(&sim->inodes[c->to_dir]->durable_names, c->to_name, c->inode);
        break;
    }
}

static void
sync_names(struct disk_sim *sim, size_t dir)
{
    size_t kept = 0;

    for (size_t i = 0; i < sim->change_count; i++) {
        const struct name_change *c = &sim->changes[i];

        if (c->dir == dir || (c->kind == NAME_MOVE && c->to_dir == dir))
            apply_change(sim, c);
        else
            sim->changes[kept++] = *c;
    }
    sim->change_count = kept;
}

static int
flush(struct disk_sim *sim, int fd)
{
    struct inode *n = inode_of(sim, fd);

    if (counted(sim)) {
        for (size_t i = 0; i < n->write_count; i++)
            n->writes[i].lost_flush = true;
        return done(sim, -1);
    }
    if (n->directory)
        sync_names(sim, number_of(sim, fd));
    else
        make_durable(n);
    return done(sim, 0);
}

static int
sim_flush(struct disk *d, int fd)
{
    return flush(sim_of(d), fd);
}

static int
sim_reserve(struct disk *d, int fd, off_t len)
{
    struct disk_sim *sim = sim_of(d);

    if (counted(sim))
        return done(sim, -1);
    return done(sim, extend(sim, inode_of(sim, fd), (uint64_t)len) ? 0 : -1);
}

static void
drop_link(struct disk_sim *sim, size_t inode)
{
    sim->inodes[inode]->links--;
    inode_unused(sim, inode);
}

static int
sim_rename(struct disk *d, int from_dir, const char *from, int to_dir,
    const char *to)
{
    struct disk_sim *sim = sim_of(d);
    struct name_change c = { .kind = NAME_MOVE };
    struct name *at;

    if (counted(sim))
        return done(sim, -1);
    c.dir = number_of(sim, from_dir);
    c.to_dir = number_of(sim, to_dir);
    set_name(c.name, from);
    set_name(c.to_name, to);
    at = names_find(&sim->inodes[c.dir]->names, from);
    if (at == NULL) {
        errno = ENOENT;
        return done(sim, -1);
    }
    c.inode = at->inode;
    at = names_find(&sim->inodes[c.to_dir]->names, to);
    if (at != NULL)
        drop_link(sim, at->inode);
    names_remove(&sim->inodes[c.dir]->names, from);
    names_add(&sim->inodes[c.to_dir]->names, to, c.inode);
    change(sim, &c);
    return done(sim, 0);
}

static int
sim_unlink(struct disk *d, int dir, const char *name)
{
    struct disk_sim *sim = sim_of(d);
    struct name_change c = { .kind = NAME_REMOVE };
    struct name *at;

    if (names_find(&inode_of(sim, dir)->names, name) == NULL) {
        errno = ENOENT;
        return -1;
    }
    if (counted(sim))
        return done(sim, -1);
    at = names_find(&inode_of(sim, dir)->names, name);
    c.dir = number_of(sim, dir);
    c.inode = at->inode;
    set_name(c.name, name);
    names_remove(&sim->inodes[c.dir]->names, name);
    change(sim, &c);
    drop_link(sim, c.inode);
    return done(sim, 0);
}

static int
sim_link(struct disk *d, int fd, int dir, const char *name)
{
    struct disk_sim *sim = sim_of(d);

    if (counted(sim))
        return done(sim, -1);
    if (names_find(&inode_of(sim, dir)->names, name) != NULL) {
        errno = EEXIST;
        return done(sim, -1);
    }
    add_name(sim, number_of(sim, dir), name, number_of(sim, fd));
    return done(sim, 0);
}

static int
sim_mkdir(struct disk *d, int dir, const char *name, mode_t mode)
{
    struct disk_sim *sim = sim_of(d);

    (void)mode;
    if (names_find(&inode_of(sim, dir)->names, name) != NULL) {
        errno = EEXIST;
        return -1;
    }
    if (counted(sim))
        return done(sim, -1);
    add_name(sim, number_of(sim, dir), name, inode_new(sim, true));
    return done(sim, 0);
}

static int
sim_list(struct disk *d, int dir, disk_name_fn fn, void *context)
{
    struct inode *n = inode_of(sim_of(d), dir);

    for (size_t i = 0; i < n->names.count; i++)
        fn(context, n->names.items[i].name);
    return 0;
}

static int64_t
sim_length(struct disk *d, int fd)
{
    return (int64_t)inode_of(sim_of(d), fd)->now.size;
}

static int64_t
sim_free_octets(struct disk *d, int dir)
{
    struct disk_sim *sim = sim_of(d);

    (void)dir;
    return sim->used > sim->capacity ? 0 : (int64_t)(sim->capacity - sim->used);
}

static int
sim_lock(struct disk *d, int fd)
{
    struct disk_sim *sim = sim_of(d);
    struct inode *n = inode_of(sim, fd);

    if (n->locked) {
        errno = EAGAIN;
        return -1;
    }
    n->locked = sim->fds[fd - FD_BASE].locks = true;
    return 0;
}

static const struct disk calls = {
    .open = sim_open,
    .close = sim_close,
    .write = sim_write,
    .read = sim_read,
    .flush = sim_flush,
    .sync = sim_flush,
    .reserve = sim_reserve,
    .rename = sim_rename,
    .unlink = sim_unlink,
    .link = sim_link,
    .mkdir = sim_mkdir,
    .list = sim_list,
    .length = sim_length,
    .free_octets = sim_free_octets,
    .lock = sim_lock,
};

static struct disk_sim *
empty(uint64_t capacity)
{
    struct disk_sim *sim = mem_alloc(sizeof(*sim));

    sim->disk = calls;
    sim->capacity = capacity;
    return sim;
}

struct disk_sim *
disk_sim_new(uint64_t capacity)
{
    struct disk_sim *sim = empty(capacity);

    (void)fd_new(sim, inode_new(sim, true));
    return sim;
}

void
disk_sim_free(struct disk_sim *sim)
{
    if (sim == NULL)
        return;
    for (size_t i = 0; i < sim->inode_count; i++)
        inode_free(sim->inodes[i]);
    mem_free(sim->inodes);
    mem_free(sim->fds);
    mem_free(sim->changes);
    mem_free(sim);
}

struct disk *
disk_sim_disk(struct disk_sim *sim)
{
    return &sim->disk;
}

int
disk_sim_root(struct disk_sim *sim)
{
    (void)sim;
    return FD_BASE;
}

void
disk_sim_set_capacity(struct disk_sim *sim, uint64_t capacity)
{
    sim->capacity = capacity;
}

uint64_t
disk_sim_used(const struct disk_sim *sim)
{
    return sim->used;
}

void
disk_sim_fail(struct disk_sim *sim, const struct disk_fault *fault)
{
    sim->fault = *fault;
}

uint64_t
disk_sim_calls(const struct disk_sim *sim)
{
    return sim->calls;
}

void
disk_sim_bad_place(struct disk_sim *sim, int fd, uint64_t from, uint64_t to)
{
    struct inode *n = inode_of(sim, fd);

    n->bad_from = from;
    n->bad_to = to;
}

void
disk_sim_watch(struct disk_sim *sim, void (*after)(void *context),
    void *context)
{
    sim->after = after;
    sim->context = context;
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
    struct disk_sim *left = empty(sim->capacity);

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
    (void)fd_new(left, 0);
    return left;
}

static uint64_t
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
