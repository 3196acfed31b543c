#include "tests/crash/disk_sim.h"

#include "lib/base/mem.h"
#include "tests/crash/disk_sim_state.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = 4096 };

static void *
grow(void *ptr, size_t count, size_t *room, size_t size)
{
    if (count < *room)
        return ptr;
    *room = *room == 0 ? 16 : *room * 2;
    return mem_resize(ptr, *room * size);
}

void
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

struct name *
names_find(const struct names *n, const char *name)
{
    for (size_t i = 0; i < n->count; i++)
        if (strcmp(n->items[i].name, name) == 0)
            return &n->items[i];
    return NULL;
}

void
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

void
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

int
disk_sim_fd(struct disk_sim *sim, size_t inode)
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
        return done(sim, disk_sim_fd(sim, inode_new(sim, false)));
    }
    if (strcmp(name, ".") == 0)
        return disk_sim_fd(sim, number_of(sim, dir));
    at = names_find(&inode_of(sim, dir)->names, name);
    if (at != NULL) {
        if ((flags & O_EXCL) != 0) {
            errno = EEXIST;
            return -1;
        }
        return disk_sim_fd(sim, at->inode);
    }
    if ((flags & O_CREAT) == 0) {
        errno = ENOENT;
        return -1;
    }
    if (counted(sim))
        return done(sim, -1);
    inode = inode_new(sim, false);
    add_name(sim, number_of(sim, dir), name, inode);
    return done(sim, disk_sim_fd(sim, inode));
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

void
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

void
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

struct disk_sim *
disk_sim_empty(uint64_t capacity)
{
    struct disk_sim *sim = mem_alloc(sizeof(*sim));

    sim->disk = calls;
    sim->capacity = capacity;
    return sim;
}

struct disk_sim *
disk_sim_new(uint64_t capacity)
{
    struct disk_sim *sim = disk_sim_empty(capacity);

    (void)disk_sim_fd(sim, inode_new(sim, true));
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
