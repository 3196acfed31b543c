/*
 * power_cut - the disk of a recording (qmgr/spool/disk_record), as a power cut
 * would have left it.
 *
 * power_cut RECORDING FACTS CUTS SEED [SETTLE_MS]
 *     Cuts the power at so many instants, starts the spool from what is left,
 *     and checks that against FACTS: lines "a NUMBER NS" (the message with
 *     X-Number: NUMBER was acknowledged at that time) and "d NUMBER NS" (it was
 *     delivered). What was acknowledged is there or was delivered; what was
 *     delivered is not there any more, unless that was within the settle delay;
 *     nothing is there twice. Prints what was seen; exit status 1 if anything
 *     was not so.
 *
 * power_cut --export DIRECTORY RECORDING SEED
 *     Writes what one power cut leaves into DIRECTORY, and prints the time of
 *     that instant.
 */
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "qmgr/record.h"
#include "qmgr/spool/disk_record.h"
#include "qmgr/spool/spool.h"
#include "tests/crash/disk_sim.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FDS = 65536,
    NUMBERS = 2 << 20,
    MESSAGE_MAX = 64 << 20,
    FAILURE = 1,
    USAGE = 64,
};

static void fail(const char *fmt, ...) ATTR_PRINTF(1, 2)
    __attribute__((noreturn));

static void
fail(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)fputs("power_cut: ", stderr);
    (void)vfprintf(stderr, fmt, ap);
    (void)fputc('\n', stderr);
    va_end(ap);
    exit(FAILURE);
}

static uint64_t
mix(uint64_t *rng)
{
    uint64_t z = (*rng += 0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

/* The recording, and the disk that is made of it. */

struct replay {
    const unsigned char *octets;
    size_t size, at;
    uint64_t entries, done;
    struct disk_sim *sim;
    int fds[FDS]; /* of the recording -> of the simulated disk; -1 */
};

static bool
next_entry(const struct replay *p, struct disk_record *r)
{
    if (p->at + sizeof(*r) > p->size)
        return false;
    memcpy(r, p->octets + p->at, sizeof(*r));
    return r->len <= p->size - p->at - sizeof(*r);
}

static void
rewind_to_begin(struct replay *p)
{
    disk_sim_free(p->sim);
    p->sim = disk_sim_new(UINT64_MAX / 2);
    p->at = 0;
    p->done = 0;
    for (size_t i = 0; i < FDS; i++)
        p->fds[i] = -1;
}

static void
load(struct replay *p, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct disk_record r;
    struct stat st;
    void *at;

    if (fd < 0 || fstat(fd, &st) < 0)
        fail("%s: %s", path, strerror(errno));
    at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (at == MAP_FAILED)
        fail("%s: %s", path, strerror(errno));
    p->octets = at;
    p->size = (size_t)st.st_size;
    for (p->at = 0; next_entry(p, &r); p->at += sizeof(r) + r.len)
        p->entries++;
    close(fd);
    rewind_to_begin(p);
}

static int
fd_of(const struct replay *p, int fd)
{
    if (fd < 0 || fd >= FDS || p->fds[fd] < 0)
        fail("entry %" PRIu64 ": descriptor %d is not open", p->done, fd);
    return p->fds[fd];
}

/* The spool's own directory was opened before the recording. */
static int
dir_of(const struct replay *p, int fd)
{
    return fd >= 0 && fd < FDS && p->fds[fd] >= 0 ? p->fds[fd]
                                                  : disk_sim_root(p->sim);
}

static int
play(struct replay *p, const struct disk_record *r, const char *octets)
{
    struct disk *d = disk_sim_disk(p->sim);
    struct iovec iov = { (void *)(uintptr_t)octets, r->len };
    int fd;

    switch ((enum disk_record_call)r->call) {
    case DISK_RECORD_OPEN:
        fd = d->open(d, dir_of(p, r->dir), octets, (int)r->flags, 0600);
        if (fd >= 0)
            p->fds[r->result] = fd;
        return fd;
    case DISK_RECORD_CLOSE:
        fd = fd_of(p, r->fd);
        p->fds[r->fd] = -1;
        return d->close(d, fd);
    case DISK_RECORD_WRITE:
        return d->write(d, fd_of(p, r->fd), &iov, 1, r->offset);
    case DISK_RECORD_FLUSH:
        return d->flush(d, dir_of(p, r->fd));
    case DISK_RECORD_RESERVE:
        return d->reserve(d, fd_of(p, r->fd), r->offset);
    case DISK_RECORD_RENAME:
        return d->rename(d, dir_of(p, r->dir), octets, dir_of(p, r->to_dir),
            octets + strlen(octets) + 1);
    case DISK_RECORD_UNLINK:
        return d->unlink(d, dir_of(p, r->dir), octets);
    case DISK_RECORD_LINK:
        return d->link(d, fd_of(p, r->fd), dir_of(p, r->dir), octets);
    case DISK_RECORD_MKDIR:
        return d->mkdir(d, dir_of(p, r->dir), octets, 0700);
    }
    errno = EINVAL;
    return -1;
}

/* Up to entry n. */
static void
play_until(struct replay *p, uint64_t n)
{
    struct disk_record r;

    while (p->done < n && next_entry(p, &r)) {
        const char *octets = (const char *)p->octets + p->at + sizeof(r);

        if (play(p, &r, octets) < 0)
            fail("entry %" PRIu64 ", call %u: %s", p->done, r.call,
                strerror(errno));
        p->at += sizeof(r) + r.len;
        p->done++;
    }
}

/* The cut comes just before what is the next entry. */
static int64_t
instant(const struct replay *p)
{
    struct disk_record r;

    return next_entry(p, &r) ? r.time_ns : INT64_MAX;
}

/* What is known of each message. */

struct fact {
    int64_t acknowledged, delivered; /* 0: never */
};

static struct fact *
read_facts(const char *path)
{
    struct fact *facts = mem_alloc_array(NUMBERS, sizeof(*facts));
    FILE *f = fopen(path, "re");
    unsigned long number;
    long long ns;
    char what;

    if (f == NULL)
        fail("%s: %s", path, strerror(errno));
    /* NOLINTNEXTLINE(cert-err34-c): numbers that we wrote */
    while (fscanf(f, " %c %lu %lld", &what, &number, &ns) == 3) {
        if (number >= NUMBERS)
            fail("%s: number %lu", path, number);
        if (what == 'a')
            facts[number].acknowledged = ns;
        else if (facts[number].delivered == 0 || facts[number].delivered > ns)
            facts[number].delivered = ns;
    }
    (void)fclose(f);
    return facts;
}

/* What a start finds. */

struct letter {
    uint64_t id;
    uint64_t blob;
    struct spool_place place, content;
    bool settled;
};

struct left {
    struct letter *messages;
    size_t count, room;
    unsigned damage;
};

static bool
found(void *context, const struct spool_found *f, struct why *why)
{
    struct left *l = context;
    struct letter *m = l->count == 0 ? NULL : &l->messages[l->count - 1];
    struct status_brief b;

    (void)why;
    if (f->type == RECORD_MESSAGE) {
        if (l->count == l->room) {
            l->room = l->room == 0 ? 64 : l->room * 2;
            l->messages = mem_resize(l->messages,
                l->room * sizeof(*l->messages));
        }
        l->messages[l->count++] = (struct letter){
            .id = f->id,
            .blob = f->blob,
            .place = f->place,
        };
    } else if (f->type == RECORD_CONTENT && m != NULL) {
        m->content = f->place;
    } else if (f->type == RECORD_STATUS && m != NULL) {
        if (status_brief_decode(f->brief, &b, why) != RESULT_OK)
            return false;
        if ((b.flags & STATUS_PART) == 0 && b.unsettled == 0)
            m->settled = true;
    }
    return true;
}

static void
damage(void *context, const char *text)
{
    (void)fprintf(stderr, "power_cut: damage: %s\n", text);
    ((struct left *)context)->damage++;
}

static uint64_t
number_in(struct slice header)
{
    static const char name[] = "X-Number: ";
    const char *at = memmem(header.ptr, header.len, name, sizeof(name) - 1);

    return at == NULL ? 0 : strtoull(at + sizeof(name) - 1, NULL, 10);
}

static uint64_t
number_of(struct spool *s, struct disk *d, const struct letter *m)
{
    struct buf head, content;
    uint64_t number;
    struct why why;
    int fd;

    buf_init(&head, MESSAGE_MAX);
    buf_init(&content, MESSAGE_MAX);
    if (spool_read(s, &m->place, m->id, &head, &content, &why) != RESULT_OK ||
        (m->content.segment != 0 &&
            spool_read(s, &m->content, m->id, &head, &content, &why) !=
                RESULT_OK))
        fail("message %" PRIX64 ": %s", m->id, why.text);
    number = number_in(buf_slice(&content));
    if (m->blob != 0) {
        struct message_record r;

        if (message_record_decode(buf_slice(&head), &r, &why) != RESULT_OK ||
            spool_blob_open(s, m->blob, &fd, &why) != RESULT_OK)
            fail("message %" PRIX64 ": %s", m->id, why.text);
        if (d->length(d, fd) != (int64_t)r.blob_length)
            fail("message %" PRIX64 ": its blob is too short", m->id);
        spool_blob_close(s, fd);
    }
    buf_fini(&head);
    buf_fini(&content);
    return number;
}

struct checking {
    struct replay replay;
    struct fact *facts;
    unsigned char *there; /* by number */
    int64_t settle_ns;
    uint64_t cuts, messages, repeats, wrong;
    int64_t oldest_repeat_ns;
};

static void
wrong(struct checking *c, enum cut kind, uint64_t number, const char *text)
{
    if (c->wrong++ < 20)
        (void)fprintf(stderr,
            "power_cut: entry %" PRIu64 " kind %d: message %" PRIu64 " %s\n",
            c->replay.done, (int)kind, number, text);
}

static void
compare(struct checking *c, enum cut kind)
{
    int64_t now = instant(&c->replay);

    for (uint64_t n = 1; n < NUMBERS; n++) {
        const struct fact *f = &c->facts[n];
        bool delivered = f->delivered != 0 && f->delivered < now;

        if (c->there[n] > 1)
            wrong(c, kind, n, "is there twice");
        if (f->acknowledged != 0 && f->acknowledged < now && !delivered &&
            c->there[n] == 0)
            wrong(c, kind, n, "is lost");
        if (!delivered || c->there[n] == 0)
            continue;
        c->repeats++;
        if (now - f->delivered > c->oldest_repeat_ns)
            c->oldest_repeat_ns = now - f->delivered;
        if (now - f->delivered > c->settle_ns)
            wrong(c, kind, n, "was delivered long ago and is there again");
    }
}

static struct spool *
start(struct disk_sim *sim, struct left *l)
{
    struct spool_options options = {
        .disk = disk_sim_disk(sim),
        .dir = disk_sim_root(sim),
        .segment_size = SPOOL_SEGMENT_MIN,
    };
    struct spool *s;
    struct why why;

    if (spool_open(&options, found, damage, l, &s, &why) != RESULT_OK)
        fail("does not start: %s", why.text);
    return s;
}

static void
check_cut(struct checking *c, enum cut kind, uint64_t seed)
{
    struct disk_sim *sim = disk_sim_cut(c->replay.sim, kind, seed);
    struct left l = { 0 };
    struct spool *s = start(sim, &l);

    memset(c->there, 0, NUMBERS);
    for (size_t i = 0; i < l.count; i++)
        if (!l.messages[i].settled)
            c->there[number_of(s, disk_sim_disk(sim), &l.messages[i]) %
                NUMBERS]++;
    if (l.damage > 0)
        wrong(c, kind, 0, "and others: damage was told");
    compare(c, kind);
    c->cuts++;
    c->messages += l.count;
    spool_close(s);
    disk_sim_free(sim);
    mem_free(l.messages);
}

static int
compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static int
check(const char *recording, const char *facts, uint64_t cuts, uint64_t seed,
    int64_t settle_ms)
{
    static struct checking c;
    uint64_t *at = mem_alloc_array(cuts + 1, sizeof(*at)), rng = seed;

    load(&c.replay, recording);
    c.facts = read_facts(facts);
    c.there = mem_alloc(NUMBERS);
    c.settle_ns = settle_ms * 1000000;
    for (uint64_t i = 0; i < cuts; i++)
        at[i] = mix(&rng) % (c.replay.entries + 1);
    qsort(at, cuts, sizeof(*at), compare_u64);
    for (uint64_t i = 0; i < cuts; i++) {
        play_until(&c.replay, at[i]);
        check_cut(&c, (enum cut)(mix(&rng) % CUT_KINDS), mix(&rng));
    }
    (void)printf("seed %" PRIu64 ": %" PRIu64 " power cuts in %" PRIu64
                 " calls, %" PRIu64 " messages found, %" PRIu64
                 " delivered already, at most %" PRId64 " ms ago\n",
        seed, c.cuts, c.replay.entries, c.messages, c.repeats,
        c.oldest_repeat_ns / 1000000);
    mem_free(at);
    return c.wrong == 0 && c.messages > 0 ? EXIT_SUCCESS : FAILURE;
}

/* One cut, as files. */

struct exporting {
    struct disk *disk;
    int dir;        /* of the simulated disk */
    const char *to; /* a real directory */
};

static void
export_file(void *context, const char *name)
{
    struct exporting *x = context;
    int from = x->disk->open(x->disk, x->dir, name, O_RDONLY, 0), to;
    int64_t len = x->disk->length(x->disk, from);
    char *path = mem_format("%s/%s", x->to, name);
    char *octets = mem_alloc((size_t)len + 1);

    to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (x->disk->read(x->disk, from, octets, (size_t)len, 0) != len || to < 0 ||
        write(to, octets, (size_t)len) != len)
        fail("%s: %s", path, strerror(errno));
    close(to);
    (void)x->disk->close(x->disk, from);
    mem_free(octets);
    mem_free(path);
}

static void
export_directory(struct disk_sim *sim, const char *name, const char *to)
{
    struct disk *d = disk_sim_disk(sim);
    char *path = mem_format("%s/%s", to, name);
    struct exporting x = { .disk = d, .to = path };

    x.dir = d->open(d, disk_sim_root(sim), name, O_RDONLY | O_DIRECTORY, 0);
    if (x.dir >= 0 && mkdir(path, 0700) == 0)
        (void)d->list(d, x.dir, export_file, &x);
    mem_free(path);
}

static int
export_cut(const char *to, const char *recording, uint64_t seed)
{
    static struct replay p;
    struct disk_sim *sim;
    struct exporting x;
    uint64_t rng = seed;
    int fd;

    load(&p, recording);
    play_until(&p, p.entries / 4 + mix(&rng) % (p.entries * 3 / 4));
    sim = disk_sim_cut(p.sim, (enum cut)(mix(&rng) % CUT_KINDS), mix(&rng));
    export_directory(sim, "segment", to);
    export_directory(sim, "blob", to);
    export_directory(sim, "damaged", to);
    x = (struct exporting){ disk_sim_disk(sim), disk_sim_root(sim), to };
    fd = x.disk->open(x.disk, x.dir, "owner", O_RDONLY, 0);
    if (fd >= 0)
        export_file(&x, "owner");
    (void)printf("%" PRId64 "\n", instant(&p));
    disk_sim_free(sim);
    return EXIT_SUCCESS;
}

static uint64_t
number(const char *text)
{
    uint64_t n;

    if (!num_parse_u64(slice_of(text), UINT64_MAX, &n))
        fail("%s is no number", text);
    return n;
}

int
main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "--export") == 0)
        return export_cut(argv[2], argv[3], number(argv[4]));
    if (argc == 5 || argc == 6)
        return check(argv[1], argv[2], number(argv[3]), number(argv[4]),
            argc == 6 ? (int64_t)number(argv[5]) : 1000);
    (void)fputs("usage: power_cut RECORDING FACTS CUTS SEED [SETTLE_MS]\n"
                "       power_cut --export DIRECTORY RECORDING SEED\n",
        stderr);
    return USAGE;
}
