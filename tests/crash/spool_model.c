#include "tests/crash/spool_model.h"

#include "lib/base/clock.h"
#include "lib/base/crc32c.h"
#include "lib/base/mem.h"
#include "lib/base/num.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    STEP_MS = 100,
    BATCH_TXNS = 6,
    GHOSTS_MAX = 200,
    TEXT_MAX = 3000,
    RECORDS_MAX = 2
};

enum msg_state { MSG_NEW, MSG_LIVE, MSG_GONE };

struct msg {
    uint64_t id;
    enum msg_state state;
    unsigned content_len;
    uint64_t blob;
    unsigned status; /* number of the newest STATUS; 0: none */
    bool busy;       /* in the batch that is built */
    struct spool_place place, content, status_place;
};

enum act { ACT_ACCEPT, ACT_STATUS, ACT_REMOVE, ACT_NOTICE, ACT_META };

/* One transaction, as the model thinks of it. */
struct deed {
    enum act act;
    bool done;    /* what it did is in the messages */
    size_t msg;   /* accepted, or changed */
    size_t other; /* ACT_NOTICE: whose status is set besides */
    uint64_t meta;
    struct spool_txn txn;
    struct spool_record records[RECORDS_MAX];
    char *head[RECORDS_MAX], *content, *brief;
};

struct model {
    struct model_options options;
    uint64_t rng;
    struct disk_sim *disk;
    struct spool *spool;
    struct msg *msgs;
    size_t msg_count, live_count;
    uint64_t meta;
    struct spool_place meta_place;
    struct deed deeds[BATCH_TXNS]; /* under way */
    size_t deed_count;
    struct deed ghosts[GHOSTS_MAX]; /* failed, nothing succeeded since */
    size_t ghost_count;
    struct model_counts counts;
};

static uint64_t
next(uint64_t *rng)
{
    uint64_t z = (*rng += 0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static unsigned
below(struct model *m, unsigned n)
{
    return (unsigned)(next(&m->rng) % n);
}

static uint64_t
id_of(size_t msg)
{
    return 1000 + msg;
}

/* Octets that are different for each message, and a prefix of themselves. */
static char *
content_of(const struct msg *msg)
{
    char *octets = mem_alloc(msg->content_len + 1);
    uint64_t rng = msg->id;

    for (unsigned i = 0; i < msg->content_len; i++)
        octets[i] = (char)next(&rng);
    return octets;
}

static char *
head_of(const struct msg *msg)
{
    return mem_format("message %" PRIu64 " content %u blob %" PRIx64 "%*s",
        msg->id, msg->content_len, msg->blob, (int)(msg->id * 37 % 900), "");
}

static char *
status_of(const struct msg *msg, unsigned n)
{
    return mem_format("status %" PRIu64 " %u%*s", msg->id, n,
        (int)(msg->id * 91 % 500), "");
}

/* Every third has a brief, which then comes without its head. */
static char *
brief_of(const struct msg *msg)
{
    return msg->id % 3 == 0 ? mem_format("brief %" PRIu64, msg->id) : NULL;
}

/* What one start finds. */
struct seen {
    const struct model *model;
    bool running; /* the model's own start: places are taken over */
    struct msg_seen {
        unsigned messages, contents;
        unsigned status; /* the last one */
        unsigned statuses;
        struct spool_place place, content, status_place;
        uint64_t blob;
        bool parted;
    } * msgs;
    uint64_t meta;
    struct spool_place meta_place;
    unsigned damage;
    char first_damage[300];
    char *wrong; /* the first thing that was not as promised */
};

static void wrong(struct seen *s, const char *fmt, ...) ATTR_PRINTF(2, 3);

static void
wrong(struct seen *s, const char *fmt, ...)
{
    va_list ap;

    if (s->wrong != NULL)
        return;
    va_start(ap, fmt);
    if (vasprintf(&s->wrong, fmt, ap) < 0)
        abort();
    va_end(ap);
}

static void
same_text(struct seen *s, struct slice got, char *want, const char *what,
    uint64_t id)
{
    if (!slice_eq_text(got, want))
        wrong(s, "%s of %" PRIu64 " has other octets", what, id);
    mem_free(want);
}

static void
saw_message(struct seen *s, const struct msg *msg, struct msg_seen *ms,
    const struct spool_found *f)
{
    char *brief = brief_of(msg);

    ms->messages++;
    ms->place = f->place;
    ms->blob = f->blob;
    ms->parted = f->parted;
    if (brief != NULL)
        same_text(s, f->brief, brief, "brief", msg->id);
    else
        same_text(s, f->head, head_of(msg), "head", msg->id);
    if (f->blob != msg->blob)
        wrong(s, "message %" PRIu64 " has another blob", msg->id);
}

static void
saw_status(struct seen *s, const struct msg *msg, struct msg_seen *ms,
    const struct spool_found *f)
{
    unsigned n = ms->status + 1;
    bool matched = false;

    ms->statuses++;
    /* Those in between may have gone. */
    for (; n <= msg->status + 1 && !matched; n++) {
        char *want = status_of(msg, n);

        matched = slice_eq_text(f->head, want);
        mem_free(want);
        if (matched)
            ms->status = n;
    }
    if (!matched)
        wrong(s, "status of %" PRIu64 " is not one that follows", msg->id);
    if (s->running && ms->status_place.segment != 0)
        spool_record_dead(f->spool, &ms->status_place);
    ms->status_place = f->place;
}

static bool
saw(void *context, const struct spool_found *f, struct why *why)
{
    struct seen *s = context;
    const struct model *m = s->model;
    size_t i = (size_t)(f->id - id_of(0));
    struct msg_seen *ms;

    (void)why;
    if (f->type == RECORD_META) {
        uint64_t value = 0;

        if (!num_parse_u64(f->head, UINT64_MAX, &value) || value <= s->meta)
            wrong(s, "META goes back");
        if (s->running && s->meta_place.segment != 0)
            spool_record_dead(f->spool, &s->meta_place);
        s->meta = value;
        s->meta_place = f->place;
        return true;
    }
    if (f->id < id_of(0) || i >= m->msg_count) {
        wrong(s, "there never was a message %" PRIu64, f->id);
        return true;
    }
    ms = &s->msgs[i];
    if (f->type == RECORD_MESSAGE) {
        saw_message(s, &m->msgs[i], ms, f);
    } else if (ms->messages == 0) {
        wrong(s, "a change of %" PRIu64 " before its message", f->id);
    } else if (f->type == RECORD_STATUS) {
        saw_status(s, &m->msgs[i], ms, f);
    } else if (f->type == RECORD_CONTENT) {
        ms->contents++;
        ms->content = f->place;
    } else {
        wrong(s, "a record of type %d", f->type);
    }
    return true;
}

static void
saw_damage(void *context, const char *text)
{
    struct seen *s = context;

    if (s->damage++ == 0)
        (void)snprintf(s->first_damage, sizeof(s->first_damage), "%s", text);
}

static void
seen_init(struct seen *s, const struct model *m)
{
    *s = (struct seen){ .model = m };
    s->msgs = mem_alloc_array(m->msg_count + 1, sizeof(*s->msgs));
}

static void
seen_fini(struct seen *s)
{
    mem_free(s->msgs);
    free(s->wrong);
}

static enum result
open_spool(const struct model *m, struct disk_sim *disk, struct seen *seen,
    struct spool **spool, struct why *why)
{
    struct spool_options options = {
        .disk = disk_sim_disk(disk),
        .dir = disk_sim_root(disk),
        .segment_size = m->options.segment_size,
    };

    return spool_open(&options, saw, saw_damage, seen, spool, why);
}

/* ------------------------------------------------ was it as promised? */

/*
 * A deed under way may be found or not. So may a ghost: what was told as failed
 * may be there after a crash until something else became durable
 * (docs/SPOOL-FORMAT.md).
 */
static const struct deed *
open_deed(const struct model *m, size_t i)
{
    if (i < m->deed_count)
        return &m->deeds[i];
    i -= m->deed_count;
    return i < m->ghost_count ? &m->ghosts[i] : NULL;
}

/* What the open deeds would make of a message. */
struct pending {
    const struct deed *deed;
    bool as_other; /* it is the one that a notice settles */
};

static struct pending
pending_of(const struct model *m, size_t msg)
{
    const struct deed *d;

    for (size_t i = 0; (d = open_deed(m, i)) != NULL; i++) {
        if (d->act != ACT_META && d->msg == msg)
            return (struct pending){ d, false };
        if (d->act == ACT_NOTICE && d->other == msg)
            return (struct pending){ d, true };
    }
    return (struct pending){ 0 };
}

static void
check_octets(struct seen *s, struct spool *spool, const struct msg *msg,
    const struct msg_seen *ms)
{
    const struct spool_place *at = ms->parted ? &ms->content : &ms->place;
    char *content = content_of(msg);
    struct buf head, body;
    struct why why;

    buf_init(&head, TEXT_MAX);
    buf_init(&body, msg->content_len + 1);
    if (ms->parted &&
        spool_read(spool, &ms->place, msg->id, &head, &body, &why) != RESULT_OK)
        wrong(s, "message %" PRIu64 ": %s", msg->id, why.text);
    if (spool_read(spool, at, msg->id, &head, &body, &why) != RESULT_OK)
        wrong(s, "content of %" PRIu64 ": %s", msg->id, why.text);
    else if (body.len != msg->content_len ||
        memcmp(body.ptr == NULL ? "" : body.ptr, content, body.len) != 0)
        wrong(s, "content of %" PRIu64 " has other octets", msg->id);
    else
        same_text(s, buf_slice(&head), head_of(msg), "head", msg->id);
    buf_fini(&head);
    buf_fini(&body);
    mem_free(content);
}

static void
check_blob(struct seen *s, struct spool *spool, struct disk *disk,
    const struct msg *msg)
{
    char octets[100];
    struct why why;
    int fd;

    if (msg->blob == 0)
        return;
    if (spool_blob_open(spool, msg->blob, &fd, &why) != RESULT_OK) {
        wrong(s, "blob of %" PRIu64 ": %s", msg->id, why.text);
        return;
    }
    if (disk->read(disk, fd, octets, sizeof(octets), 0) != 8 ||
        memcmp(octets, &msg->id, 8) != 0)
        wrong(s, "blob of %" PRIu64 " has other octets", msg->id);
    spool_blob_close(spool, fd);
}

static void
check_msg(struct seen *s, struct spool *spool, struct disk *disk, size_t i)
{
    const struct model *m = s->model;
    const struct msg *msg = &m->msgs[i];
    const struct msg_seen *ms = &s->msgs[i];
    struct pending p = pending_of(m, i);
    bool may_come = p.deed != NULL && !p.as_other &&
        (p.deed->act == ACT_ACCEPT || p.deed->act == ACT_NOTICE);
    bool may_go = p.deed != NULL && p.deed->act == ACT_REMOVE;
    bool may_change = p.deed != NULL &&
        (p.as_other || p.deed->act == ACT_STATUS);

    if (ms->messages == 0) {
        if (msg->state == MSG_LIVE && !may_go)
            wrong(s, "message %" PRIu64 " is lost", msg->id);
        return;
    }
    if (ms->messages > 1 || ms->contents > 1)
        wrong(s, "message %" PRIu64 " is there twice", msg->id);
    if (msg->state == MSG_GONE)
        wrong(s, "message %" PRIu64 " was removed and is back", msg->id);
    if (msg->state == MSG_NEW && !may_come)
        wrong(s, "message %" PRIu64 " was refused and is there", msg->id);
    if (ms->parted && ms->contents == 0)
        wrong(s, "message %" PRIu64 " has lost its content", msg->id);
    if (ms->status != msg->status &&
        !(may_change && ms->status == msg->status + 1))
        wrong(s, "message %" PRIu64 " has status %u, not %u", msg->id,
            ms->status, msg->status);
    check_octets(s, spool, msg, ms);
    check_blob(s, spool, disk, msg);
}

/* A notice is there exactly if its cause is settled. */
static void
check_notices(struct seen *s)
{
    const struct model *m = s->model;
    const struct deed *d;

    for (size_t i = 0; (d = open_deed(m, i)) != NULL; i++) {
        if (d->act == ACT_NOTICE && !d->done &&
            (s->msgs[d->msg].messages > 0) !=
                (s->msgs[d->other].status == m->msgs[d->other].status + 1))
            wrong(s,
                "half of a notice is there: %u of %" PRIu64
                " and status %u of %" PRIu64,
                s->msgs[d->msg].messages, id_of(d->msg),
                s->msgs[d->other].status, id_of(d->other));
    }
}

static void
check_seen(struct seen *s, struct spool *spool, struct disk_sim *disk)
{
    const struct model *m = s->model;
    const struct deed *d;
    bool meta_ok = s->meta == m->meta;

    if (s->damage > 0)
        wrong(s, "damage: %s", s->first_damage);
    for (size_t i = 0; i < m->msg_count; i++)
        check_msg(s, spool, disk_sim_disk(disk), i);
    check_notices(s);
    for (size_t i = 0; (d = open_deed(m, i)) != NULL; i++)
        meta_ok = meta_ok || (d->act == ACT_META && s->meta == d->meta);
    if (!meta_ok)
        wrong(s, "META is %" PRIu64 ", not %" PRIu64, s->meta, m->meta);
}

static char note[200];

void
model_note(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(note, sizeof(note), fmt, ap);
    va_end(ap);
}

static void
must(struct seen *s, const char *when)
{
    char text[800];

    if (s->wrong == NULL)
        return;
    (void)snprintf(text, sizeof(text), "%s: %s: %s", note, when, s->wrong);
    fail_msg("%s", text);
}

/* Start from this disk and look. The spool stays open. */
static struct spool *
look(const struct model *m, struct disk_sim *disk, const char *when)
{
    struct spool *spool = NULL;
    struct seen seen;
    struct why why = { 0 };

    seen_init(&seen, m);
    if (open_spool(m, disk, &seen, &spool, &why) != RESULT_OK)
        wrong(&seen, "does not open: %s", why.text);
    else
        check_seen(&seen, spool, disk);
    must(&seen, when);
    seen_fini(&seen);
    return spool;
}

static void
commit_one(struct spool *spool, struct spool_record *r)
{
    struct spool_txn txn = { .records = r, .record_count = 1 };
    struct list txns = LIST_INIT(txns);

    list_append(&txns, &txn.link);
    spool_commit(spool, &txns);
    if (txn.result != RESULT_OK)
        fail_msg("after a start nothing is taken: %s", txn.why.text);
}

/* It goes on as if nothing had been, and what is then written counts, too. */
static void
go_on_from(const struct model *m, struct disk_sim *disk, struct spool *spool)
{
    struct disk_sim *copy;
    struct spool_record r = {
        .type = RECORD_META,
        .head = SLICE_LIT("999999999999"),
    };

    commit_one(spool, &r);
    copy = disk_sim_cut(disk, CUT_LOST, 0);
    spool_close(spool);
    for (unsigned i = 0; i < 2; i++) {
        struct seen seen;
        struct why why;

        seen_init(&seen, m);
        if (open_spool(m, i == 0 ? copy : disk, &seen, &spool, &why) !=
            RESULT_OK)
            fail_msg("does not open again: %s", why.text);
        if (seen.meta != 999999999999)
            fail_msg("what was written after a recovery is lost");
        seen.meta = m->meta;
        check_seen(&seen, spool, i == 0 ? copy : disk);
        must(&seen, "second start");
        seen_fini(&seen);
        spool_close(spool);
    }
    disk_sim_free(copy);
}

struct in_recovery {
    const struct model *model;
    struct disk_sim *disk;
    uint64_t seed;
    bool inside;
};

static void
cut_in_recovery(void *context)
{
    struct in_recovery *r = context;
    struct disk_sim *left;

    r->seed = r->seed * 6364136223846793005 + 1442695040888963407;
    left = disk_sim_cut(r->disk, (enum cut)((r->seed >> 40) % CUT_KINDS),
        r->seed);
    spool_close(look(r->model, left, "cut in recovery"));
    disk_sim_free(left);
}

void
model_check(const struct model *m, struct disk_sim *left, bool thorough)
{
    struct in_recovery r = { .model = m, .disk = left, .seed = m->rng };
    struct spool *spool;

    if (thorough)
        disk_sim_watch(left, cut_in_recovery, &r);
    spool = look(m, left, "start");
    disk_sim_watch(left, NULL, NULL);
    if (thorough)
        go_on_from(m, left, spool);
    else
        spool_close(spool);
    disk_sim_free(left);
}

/* ------------------------------------------------ the script */

static void
deed_free(struct deed *d)
{
    for (size_t i = 0; i < RECORDS_MAX; i++)
        mem_free(d->head[i]);
    mem_free(d->content);
    mem_free(d->brief);
    *d = (struct deed){ 0 };
}

static void
not_busy(struct model *m, const struct deed *d)
{
    if (d->act != ACT_META)
        m->msgs[d->msg].busy = false;
    if (d->act == ACT_NOTICE)
        m->msgs[d->other].busy = false;
}

static void
forget(struct model *m, struct deed *deeds, size_t *count)
{
    for (size_t i = 0; i < *count; i++) {
        not_busy(m, &deeds[i]);
        deed_free(&deeds[i]);
    }
    *count = 0;
}

static void
forget_deeds(struct model *m)
{
    forget(m, m->deeds, &m->deed_count);
    forget(m, m->ghosts, &m->ghost_count);
}

static bool
start(struct model *m)
{
    struct seen seen;
    struct why why;

    seen_init(&seen, m);
    seen.running = true;
    if (open_spool(m, m->disk, &seen, &m->spool, &why) != RESULT_OK) {
        m->spool = NULL;
        seen_fini(&seen);
        return false;
    }
    check_seen(&seen, m->spool, m->disk);
    must(&seen, "restart");
    m->counts.restarts++;
    /* What was found of deeds that had failed, or not: it is decided now. */
    m->live_count = 0;
    for (size_t i = 0; i < m->msg_count; i++) {
        struct msg *msg = &m->msgs[i];
        const struct msg_seen *ms = &seen.msgs[i];

        msg->state = ms->messages > 0 ? MSG_LIVE
            : msg->state == MSG_NEW   ? MSG_NEW
                                      : MSG_GONE;
        m->live_count += ms->messages > 0;
        msg->place = ms->place;
        msg->content = ms->content;
        msg->status_place = ms->status_place;
        msg->status = ms->status;
    }
    m->meta = seen.meta;
    m->meta_place = seen.meta_place;
    seen_fini(&seen);
    forget_deeds(m);
    return true;
}

struct model *
model_new(const struct model_options *options)
{
    struct model *m = mem_alloc(sizeof(*m));

    m->options = *options;
    m->rng = options->seed;
    m->disk = disk_sim_new(options->capacity);
    clock_set(1000, 1000000);
    return m;
}

void
model_free(struct model *m)
{
    spool_close(m->spool);
    forget_deeds(m);
    disk_sim_free(m->disk);
    mem_free(m->msgs);
    mem_free(m);
}

struct model *
model_crashed(const struct model *m, struct disk_sim *left, uint64_t seed)
{
    struct model *after = mem_alloc(sizeof(*after));
    const struct deed *d;

    after->options = m->options;
    after->rng = seed;
    after->disk = left;
    after->msg_count = m->msg_count;
    after->live_count = m->live_count;
    after->msgs = mem_alloc_array(m->msg_count + 1, sizeof(*m->msgs));
    if (m->msg_count > 0)
        memcpy(after->msgs, m->msgs, m->msg_count * sizeof(*m->msgs));
    for (size_t i = 0; i < m->msg_count; i++)
        after->msgs[i].busy = false;
    after->meta = m->meta;
    for (size_t i = 0; (d = open_deed(m, i)) != NULL; i++)
        if (!d->done && after->ghost_count < GHOSTS_MAX)
            after->ghosts[after->ghost_count++] = (struct deed){
                .act = d->act,
                .msg = d->msg,
                .other = d->other,
                .meta = d->meta,
            };
    return after;
}

struct disk_sim *
model_disk(struct model *m)
{
    return m->disk;
}

struct spool *
model_spool(struct model *m)
{
    return m->spool;
}

struct model_counts
model_counts(const struct model *m)
{
    return m->counts;
}

static size_t
new_msg(struct model *m)
{
    struct msg *msg;

    m->msgs = mem_resize(m->msgs, (m->msg_count + 1) * sizeof(*m->msgs));
    msg = &m->msgs[m->msg_count];
    *msg = (struct msg){ .id = id_of(m->msg_count), .busy = true };
    /* Mostly small, sometimes nothing, sometimes large. */
    if (below(m, 8) != 0)
        msg->content_len = below(m,
            below(m, 5) == 0 ? m->options.content_max : 600);
    return m->msg_count++;
}

/* A live one that no other deed of the batch has to do with. */
static bool
pick(struct model *m, size_t *found)
{
    size_t from;

    if (m->live_count == 0)
        return false;
    from = below(m, (unsigned)m->msg_count);
    for (size_t n = 0; n < m->msg_count; n++) {
        size_t i = (from + n) % m->msg_count;

        if (m->msgs[i].state == MSG_LIVE && !m->msgs[i].busy) {
            m->msgs[i].busy = true;
            *found = i;
            return true;
        }
    }
    return false;
}

static bool
make_blob(struct model *m, struct msg *msg)
{
    struct disk *disk = disk_sim_disk(m->disk);
    struct iovec iov = { &msg->id, 8 };
    uint64_t number = 0;
    struct why why;
    bool kept;
    int fd;

    if (spool_blob_lend(m->spool, &fd, &why) != RESULT_OK)
        return false;
    kept = disk->write(disk, fd, &iov, 1, 0) == 0 &&
        spool_blob_keep(m->spool, fd, 8, crc32c(0, &msg->id, 8), &number,
            &why) == RESULT_OK;
    spool_blob_close(m->spool, fd);
    msg->blob = number;
    m->counts.blobs += kept;
    return kept;
}

static void
message_record(struct model *m, struct deed *d, size_t n)
{
    const struct msg *msg = &m->msgs[d->msg];

    d->head[n] = head_of(msg);
    d->content = content_of(msg);
    d->records[n] = (struct spool_record){
        .type = RECORD_MESSAGE,
        .id = msg->id,
        .head = slice_of(d->head[n]),
        .content = { d->content, msg->content_len },
        .blob = msg->blob,
    };
}

static void
status_record(struct model *m, struct deed *d, size_t msg, size_t n)
{
    d->head[n] = status_of(&m->msgs[msg], m->msgs[msg].status + 1);
    d->records[n] = (struct spool_record){
        .type = RECORD_STATUS,
        .id = m->msgs[msg].id,
        .head = slice_of(d->head[n]),
    };
}

static bool
make_deed(struct model *m, enum act act)
{
    struct deed *d = &m->deeds[m->deed_count];

    *d = (struct deed){ .act = act };
    d->txn.record_count = 1;
    switch (act) {
    case ACT_ACCEPT:
        d->msg = new_msg(m);
        if (below(m, 10) == 0 && !make_blob(m, &m->msgs[d->msg])) {
            m->msgs[d->msg].busy = false;
            return false;
        }
        message_record(m, d, 0);
        break;
    case ACT_STATUS:
        if (!pick(m, &d->msg))
            return false;
        status_record(m, d, d->msg, 0);
        break;
    case ACT_REMOVE:
        if (!pick(m, &d->msg))
            return false;
        d->records[0] = (struct spool_record){
            .type = RECORD_REMOVE,
            .id = m->msgs[d->msg].id,
            /* Sometimes the owner does not say: that must be safe, too. */
            .target = below(m, 6) == 0 ? (struct spool_place){ 0 }
                                       : m->msgs[d->msg].place,
        };
        break;
    case ACT_NOTICE:
        if (!pick(m, &d->other))
            return false;
        d->msg = new_msg(m);
        message_record(m, d, 0);
        status_record(m, d, d->other, 1);
        d->txn.record_count = 2;
        break;
    case ACT_META:
        d->meta = m->meta + 1;
        d->head[0] = mem_format("%" PRIu64, d->meta);
        d->records[0] = (struct spool_record){
            .type = RECORD_META,
            .head = slice_of(d->head[0]),
        };
        break;
    }
    if (act == ACT_ACCEPT || act == ACT_NOTICE) {
        d->brief = brief_of(&m->msgs[d->msg]);
        d->records[0].brief = slice_of(d->brief);
    }
    d->txn.records = d->records;
    d->txn.settling = act != ACT_ACCEPT;
    m->deed_count++;
    return true;
}

static void
dead(struct model *m, struct spool_place *place)
{
    spool_record_dead(m->spool, place);
    *place = (struct spool_place){ 0 };
}

static void
new_status(struct model *m, size_t i, const struct spool_place *place)
{
    dead(m, &m->msgs[i].status_place);
    m->msgs[i].status_place = *place;
    m->msgs[i].status++;
}

static void
done_deed(struct model *m, struct deed *d)
{
    struct msg *msg = &m->msgs[d->msg];

    d->done = true;
    switch (d->act) {
    case ACT_ACCEPT:
    case ACT_NOTICE:
        msg->state = MSG_LIVE;
        msg->place = d->records[0].place;
        m->live_count++;
        m->counts.accepted++;
        if (d->act == ACT_NOTICE)
            new_status(m, d->other, &d->records[1].place);
        break;
    case ACT_STATUS:
        new_status(m, d->msg, &d->records[0].place);
        break;
    case ACT_REMOVE:
        msg->state = MSG_GONE;
        m->live_count--;
        m->counts.removed++;
        dead(m, &msg->place);
        dead(m, &msg->content);
        dead(m, &msg->status_place);
        if (msg->blob != 0)
            spool_blob_drop(m->spool, msg->blob);
        break;
    case ACT_META:
        m->meta = d->meta;
        dead(m, &m->meta_place);
        m->meta_place = d->records[0].place;
        break;
    }
}

/* What failed behind the last success stays in mind as a ghost. */
static void
commit_deeds(struct model *m)
{
    struct list txns = LIST_INIT(txns);
    size_t went = 0;

    for (size_t i = 0; i < m->deed_count; i++)
        list_append(&txns, &m->deeds[i].txn.link);
    spool_commit(m->spool, &txns);
    for (size_t i = 0; i < m->deed_count; i++) {
        mem_free(m->deeds[i].brief);
        m->deeds[i].brief = NULL;
        if (m->deeds[i].txn.result != RESULT_OK) {
            m->counts.refused++;
            continue;
        }
        done_deed(m, &m->deeds[i]);
        went = i + 1;
    }
    if (went > 0)
        forget(m, m->ghosts, &m->ghost_count);
    for (size_t i = 0; i < m->deed_count; i++) {
        struct deed *d = &m->deeds[i];

        if (i >= went && m->ghost_count < GHOSTS_MAX) {
            m->ghosts[m->ghost_count++] = *d;
            continue;
        }
        not_busy(m, d);
        deed_free(d);
    }
    m->deed_count = 0;
}

static void
commit_some(struct model *m)
{
    unsigned n = 1 + below(m, BATCH_TXNS);
    bool meta = false;

    for (unsigned i = 0; i < n; i++) {
        unsigned r = below(m, 100);
        enum act act = m->live_count > m->options.live_max && r < 45
            ? ACT_REMOVE
            : r < 45 ? ACT_ACCEPT
            : r < 65 ? ACT_STATUS
            : r < 88 ? ACT_REMOVE
            : r < 96 ? ACT_NOTICE
                     : ACT_META;

        if (act == ACT_META && meta)
            continue;
        meta = meta || act == ACT_META;
        (void)make_deed(m, act);
    }
    if (m->deed_count > 0)
        commit_deeds(m);
}

static bool
is_live(void *context, const struct spool_found *f)
{
    struct model *m = context;
    const struct spool_place *at = NULL;
    size_t i = (size_t)(f->id - id_of(0));

    if (f->type == RECORD_META) {
        at = &m->meta_place;
    } else if (m->msgs[i].state == MSG_LIVE) {
        if (f->type == RECORD_MESSAGE)
            at = &m->msgs[i].place;
        else if (f->type == RECORD_CONTENT)
            at = &m->msgs[i].content;
        else
            at = &m->msgs[i].status_place;
    }
    return at != NULL && at->segment == f->place.segment &&
        at->offset == f->place.offset;
}

static void
has_moved(void *context, enum record_type type, uint64_t id,
    const struct spool_place *from, const struct spool_place *to)
{
    struct model *m = context;
    size_t i = (size_t)(id - id_of(0));

    (void)from;
    if (type == RECORD_META)
        m->meta_place = *to;
    else if (type == RECORD_MESSAGE)
        m->msgs[i].place = *to;
    else if (type == RECORD_CONTENT)
        m->msgs[i].content = *to;
    else
        m->msgs[i].status_place = *to;
}

static bool
clean(struct model *m)
{
    struct spool_cleaner cleaner = { is_live, has_moved, m };
    bool did = spool_clean(m->spool, &cleaner);

    m->counts.cleaned += did;
    return did;
}

static bool
blob_is_live(void *context, uint64_t number)
{
    const struct model *m = context;

    for (size_t i = 0; i < m->msg_count; i++)
        if (m->msgs[i].blob == number && m->msgs[i].state == MSG_LIVE)
            return true;
    return false;
}

bool
model_step(struct model *m)
{
    /* The cleaner pauses after failures. */
    clock_advance_ms(STEP_MS);
    if (m->spool == NULL) {
        if (!start(m))
            return false;
        spool_blob_sweep(m->spool, blob_is_live, m);
        return true;
    }
    switch (below(m, 40)) {
    case 0:
        spool_close(m->spool);
        m->spool = NULL;
        return true;
    case 1:
    case 2:
    case 3:
    case 4:
    case 5:
    case 6:
        for (unsigned n = below(m, 4); n > 0 && clean(m); n--)
            continue;
        (void)clean(m);
        return true;
    default:
        commit_some(m);
        return true;
    }
}

void
model_drain(struct model *m)
{
    while (m->spool == NULL)
        (void)model_step(m);
    while (m->live_count > 0) {
        for (size_t i = 0; i < BATCH_TXNS; i++)
            (void)make_deed(m, ACT_REMOVE);
        commit_deeds(m);
    }
    while (clean(m))
        continue;
}

void
model_check_running(struct model *m)
{
    struct seen seen;

    seen_init(&seen, m);
    for (size_t i = 0; m->spool != NULL && i < m->msg_count; i++) {
        const struct msg *msg = &m->msgs[i];
        struct msg_seen ms = {
            .place = msg->place,
            .content = msg->content,
            .parted = msg->content.segment != 0,
        };

        if (msg->state == MSG_LIVE) {
            check_octets(&seen, m->spool, msg, &ms);
            check_blob(&seen, m->spool, disk_sim_disk(m->disk), msg);
        }
    }
    must(&seen, "running");
    seen_fini(&seen);
}
