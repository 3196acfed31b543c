/*
 * What a start finds, against what the model was promised.
 */
#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "tests/crash/spool_model_state.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

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
    char *brief = model_brief(msg);

    ms->messages++;
    ms->place = f->place;
    ms->blob = f->blob;
    ms->parted = f->parted;
    if (brief != NULL)
        same_text(s, f->brief, brief, "brief", msg->id);
    else
        same_text(s, f->head, model_head(msg), "head", msg->id);
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
        char *want = model_status(msg, n);

        matched = slice_eq_text(f->head, want) &&
            f->type == model_change_type(msg, n);
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
    size_t i = (size_t)(f->id - model_id(0));
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
    if (f->id < model_id(0) || i >= m->msg_count) {
        wrong(s, "there never was a message %" PRIu64, f->id);
        return true;
    }
    ms = &s->msgs[i];
    if (f->type == RECORD_MESSAGE) {
        saw_message(s, &m->msgs[i], ms, f);
    } else if (ms->messages == 0) {
        wrong(s, "a change of %" PRIu64 " before its message", f->id);
    } else if (f->type == RECORD_STATUS || f->type == RECORD_HOLD ||
        f->type == RECORD_REPLACE) {
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

void
seen_init(struct seen *s, const struct model *m)
{
    *s = (struct seen){ .model = m };
    s->msgs = mem_alloc_array(m->msg_count + 1, sizeof(*s->msgs));
}

void
seen_fini(struct seen *s)
{
    mem_free(s->msgs);
    free(s->wrong);
}

enum result
model_open(const struct model *m, struct disk_sim *disk, struct seen *seen,
    struct spool **spool, struct why *why)
{
    struct spool_options options = {
        .disk = disk_sim_disk(disk),
        .dir = disk_sim_root(disk),
        .segment_size = m->options.segment_size,
    };

    return spool_open(&options, saw, saw_damage, seen, spool, why);
}

/*
 * A deed under way may be found or not. So may a ghost: what was told as failed
 * may be there after a crash until something else became durable
 * (docs/SPOOL-FORMAT.md).
 */
const struct deed *
model_open_deed(const struct model *m, size_t i)
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

    for (size_t i = 0; (d = model_open_deed(m, i)) != NULL; i++) {
        if (d->act != ACT_META && d->msg == msg)
            return (struct pending){ d, false };
        if (d->act == ACT_NOTICE && d->other == msg)
            return (struct pending){ d, true };
    }
    return (struct pending){ 0 };
}

void
seen_check_octets(struct seen *s, struct spool *spool, const struct msg *msg,
    const struct msg_seen *ms)
{
    const struct spool_place *at = ms->parted ? &ms->content : &ms->place;
    char *content = model_content(msg);
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
        same_text(s, buf_slice(&head), model_head(msg), "head", msg->id);
    buf_fini(&head);
    buf_fini(&body);
    mem_free(content);
}

void
seen_check_blob(struct seen *s, struct spool *spool, struct disk *disk,
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
    seen_check_octets(s, spool, msg, ms);
    seen_check_blob(s, spool, disk, msg);
}

/* A notice is there exactly if its cause is settled. */
static void
check_notices(struct seen *s)
{
    const struct model *m = s->model;
    const struct deed *d;

    for (size_t i = 0; (d = model_open_deed(m, i)) != NULL; i++) {
        if (d->act == ACT_NOTICE && !d->done &&
            (s->msgs[d->msg].messages > 0) !=
                (s->msgs[d->other].status == m->msgs[d->other].status + 1))
            wrong(s,
                "half of a notice is there: %u of %" PRIu64
                " and status %u of %" PRIu64,
                s->msgs[d->msg].messages, model_id(d->msg),
                s->msgs[d->other].status, model_id(d->other));
    }
}

void
seen_check(struct seen *s, struct spool *spool, struct disk_sim *disk)
{
    const struct model *m = s->model;
    const struct deed *d;
    bool meta_ok = s->meta == m->meta;

    if (s->damage > 0)
        wrong(s, "damage: %s", s->first_damage);
    for (size_t i = 0; i < m->msg_count; i++)
        check_msg(s, spool, disk_sim_disk(disk), i);
    check_notices(s);
    for (size_t i = 0; (d = model_open_deed(m, i)) != NULL; i++)
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

void
seen_must(struct seen *s, const char *when)
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
    if (model_open(m, disk, &seen, &spool, &why) != RESULT_OK)
        wrong(&seen, "does not open: %s", why.text);
    else
        seen_check(&seen, spool, disk);
    seen_must(&seen, when);
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
        if (model_open(m, i == 0 ? copy : disk, &seen, &spool, &why) !=
            RESULT_OK)
            fail_msg("does not open again: %s", why.text);
        if (seen.meta != 999999999999)
            fail_msg("what was written after a recovery is lost");
        seen.meta = m->meta;
        seen_check(&seen, spool, i == 0 ? copy : disk);
        seen_must(&seen, "second start");
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
