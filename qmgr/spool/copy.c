/*
 * The cleaner's second half: what is live is read, verified and written anew.
 */
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "qmgr/spool/clean.h"

#include <inttypes.h>

/* One round of copying: what is flushed together. */
struct copying {
    struct batch cold, meta;
    void **octets; /* read records, kept until the flush */
    size_t count, room;
    size_t first; /* moves from here are in it */
};

static void
copying_fini(struct copying *c)
{
    for (size_t i = 0; i < c->count; i++)
        mem_free(c->octets[i]);
    mem_free(c->octets);
    batch_fini(&c->cold);
    batch_fini(&c->meta);
}

static void
keep_octets(struct copying *c, void *octets)
{
    if (c->count == c->room) {
        c->room = c->room == 0 ? 64 : c->room * 2;
        c->octets = mem_resize(c->octets, c->room * sizeof(*c->octets));
    }
    c->octets[c->count++] = octets;
}

/* Copies of contents that nobody will take over, where there are any. */
static void
forget_contents(struct spool *s, const struct copying *c, size_t end,
    bool written)
{
    for (size_t i = c->first; i < end; i++) {
        struct spool_move *m = &s->job->step.moves[i];
        struct spool_place *to = m->found.type == RECORD_CONTENT
            ? &m->to
            : &m->content_to;

        if (written && to->segment != 0)
            spool_record_dead(s, to);
        *to = (struct spool_place){ 0 };
    }
}

/* Contents first: a MESSAGE without its content must not be there alone. */
static bool
write_round(struct spool *s, struct copying *c, size_t end)
{
    struct clean_job *job = s->job;
    struct why why = { 0 };
    bool ok = true, contents;

    if (c->cold.count > 0)
        ok = batch_append(s, &c->cold, PURPOSE_COLD, CLAIM_CLEANER, &why) ==
            RESULT_OK;
    contents = ok;
    if (ok && c->meta.count > 0)
        ok = batch_append(s, &c->meta, PURPOSE_META, CLAIM_CLEANER, &why) ==
            RESULT_OK;
    for (size_t i = c->first; ok && i < end; i++) {
        struct spool_move *m = &job->step.moves[i];

        if (!m->live)
            continue;
        m->moved = true;
        spool_record_dead(s, &m->found.place);
    }
    if (ok)
        spool_count(s, &s->stats.copied_octets,
            c->cold.octets + c->meta.octets);
    if (!ok) {
        log_warning("spool: cleaner: %s", why.text);
        forget_contents(s, c, end, contents);
        job->failed = true;
        clean_pause(s);
    }
    for (size_t i = 0; i < c->count; i++)
        mem_free(c->octets[i]);
    c->count = 0;
    c->first = end;
    batch_clear(&c->cold);
    batch_clear(&c->meta);
    return ok;
}

/* The record as it is on disk, verified. */
static unsigned char *
read_record(struct spool *s, const struct segment *seg,
    const struct record_info *r, struct record_info *on_disk)
{
    size_t len = (size_t)record_length(r);
    unsigned char *octets = mem_try_alloc(len);

    budget_spend(&s->budget, len, 0);
    if (octets != NULL &&
        spool_read_octets(s, seg->fd, octets, len, r->offset) &&
        record_decode(octets, len, r->offset, &seg->key, on_disk) &&
        on_disk->id == r->id && on_disk->serial == r->serial &&
        on_disk->type == r->type && record_payload_valid(octets, on_disk))
        return octets;
    log_error("segment/%04" PRIu32 ": record at %" PRIu64 " of message %" PRIX64
              " cannot be read, the segment is kept",
        seg->slot, r->offset, r->id);
    mem_free(octets);
    return NULL;
}

/* The entries that a record becomes: one, or two when it is parted. */
static void
split(const unsigned char *octets, const struct record_info *r,
    struct spool_move *m, struct entry *meta, struct entry *cold)
{
    const char *payload = (const char *)octets + record_payload_at(r);
    struct entry whole = {
        .info = *r,
        .head = { payload, r->head_len },
        .content = { payload + r->head_len, r->content_len },
        .place = m == NULL ? NULL : &m->to,
    };

    whole.info.flags |= RECORD_COPY;
    *meta = *cold = (struct entry){ 0 };
    if (r->type == RECORD_CONTENT) {
        *cold = whole;
        return;
    }
    *meta = whole;
    if (r->type != RECORD_MESSAGE || r->content_len == 0)
        return;
    *cold = whole;
    cold->info.type = RECORD_CONTENT;
    cold->info.other = 0;
    cold->info.brief.len = 0;
    cold->info.head_len = cold->info.head_crc = 0;
    cold->head.len = 0;
    cold->place = &m->content_to;
    meta->info.flags |= RECORD_PARTED;
    meta->info.content_len = meta->info.content_crc = 0;
    meta->content.len = 0;
}

static bool
takes(const struct spool *s, enum segment_purpose p, const struct batch *b,
    const struct entry *e)
{
    return e->info.type == 0 ||
        batch_takes(s, s->open[p], b, record_length(&e->info),
            index_entry_length(e->info.brief.len));
}

static bool
copy_record(struct spool *s, struct copying *c, const struct record_info *r,
    struct spool_move *m, size_t index)
{
    struct clean_job *job = s->job;
    struct entry meta, cold;
    struct record_info on_disk;
    unsigned char *octets = read_record(s, job->seg, r, &on_disk);

    on_disk.other = r->other; /* a REMOVE's may be wider now */

    if (octets == NULL) {
        job->failed = job->unreadable = true;
        if (m != NULL)
            m->live = false; /* stays where it is */
        return true;
    }
    split(octets, &on_disk, m, &meta, &cold);
    if ((!takes(s, PURPOSE_META, &c->meta, &meta) ||
            !takes(s, PURPOSE_COLD, &c->cold, &cold)) &&
        !write_round(s, c, index)) {
        mem_free(octets);
        return false;
    }
    if (meta.info.type != 0)
        batch_add(&c->meta, &meta);
    if (cold.info.type != 0)
        batch_add(&c->cold, &cold);
    keep_octets(c, octets);
    return true;
}

void
spool_clean_copy(struct spool *s, struct spool_step *step)
{
    struct clean_job *job = s->job;
    struct copying c = { 0 };
    bool ok = true;

    if (job->in_place && job->remove_count > 0)
        job->failed = true;
    for (size_t i = 0; ok && !job->in_place && i < job->remove_count; i++)
        ok = copy_record(s, &c, &job->removes[i], NULL, 0);
    for (size_t i = 0; ok && i < step->count; i++) {
        if (job->infos[i].type == 0)
            step->moves[i].live = false; /* removed since it was asked for */
        if (!step->moves[i].live)
            continue;
        if (job->in_place) {
            job->failed = true; /* not all of it is dead after all */
            break;
        }
        ok = copy_record(s, &c, &job->infos[i], &step->moves[i], i);
    }
    if (ok && (c.meta.count > 0 || c.cold.count > 0))
        (void)write_round(s, &c, step->count);
    copying_fini(&c);
    job->copied = true;
}
