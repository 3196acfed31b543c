/*
 * From the indexes of all segments to what is in the queue: doubles that the
 * cleaner left are dropped, removed messages are left out, the rest is told.
 */
#include "lib/base/mem.h"
#include "qmgr/spool/state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct recovery {
    struct loading loading;
    struct spool *spool;
    spool_found_fn found;
    struct merge merge;
    size_t in_all;
    struct find *finds; /* of one message */
    size_t count, room;
    const struct find **group; /* what is live of them */
    size_t group_count, group_room;
    struct buf head;
};

static struct segment *
segment_of(const struct spool *s, const struct find *f)
{
    return s->segments[f->slot];
}

static struct record_info
info_of(const struct find *f)
{
    struct slice rest = { f->entry, SIZE_MAX / 2 };
    struct record_info r = { 0 };

    /* It was decoded when it was counted. */
    if (!index_entry_next(&rest, &r))
        abort();
    return r;
}

static bool
is_double(const struct find *a, const struct find *b)
{
    return find_compare(a, b) == 0;
}

/* Take the finds of the next message; false at the end. */
static bool
next_message(struct recovery *rc)
{
    const struct find *f = merge_next(&rc->merge);

    for (rc->count = 0;
         f != NULL && (rc->count == 0 || f->id == rc->finds[0].id);
         f = merge_next(&rc->merge)) {
        if (rc->count == rc->room) {
            rc->room = rc->room == 0 ? 16 : rc->room * 2;
            rc->finds = mem_resize(rc->finds, rc->room * sizeof(*rc->finds));
        }
        rc->finds[rc->count++] = *f;
        merge_skip(&rc->merge);
    }
    return rc->count > 0;
}

/* The same message in two segments: see target.c. */
static void
note_doubles(struct recovery *rc)
{
    for (size_t i = 1; i < rc->count; i++) {
        const struct find *a = &rc->finds[i - 1], *b = &rc->finds[i];

        if (a->type == RECORD_MESSAGE && is_double(a, b))
            target_note_double(rc->spool, a->id);
    }
}

/* Those that are still needed, which is known when all segments are. */
static void
count_removes(struct recovery *rc)
{
    for (size_t i = 0; i < rc->count; i++)
        if (rc->finds[i].type == RECORD_REMOVE) {
            struct record_info r = info_of(&rc->finds[i]);

            r.other = target_of_message(rc->spool, r.id, r.other);
            segment_count_record(rc->spool,
                segment_of(rc->spool, &rc->finds[i]), &r);
        }
}

static void
group_add(struct recovery *rc, const struct find *f)
{
    if (rc->group_count == rc->group_room) {
        rc->group_room = rc->group_room == 0 ? 16 : rc->group_room * 2;
        rc->group = mem_resize(rc->group, rc->group_room * sizeof(*rc->group));
    }
    rc->group[rc->group_count++] = f;
}

static bool
is_parted(const struct find *f)
{
    struct record_info r = info_of(f);

    return f->type == RECORD_MESSAGE && (r.flags & RECORD_PARTED) != 0;
}

/* The source of a copy, which was not overwritten yet, is complete. */
static const struct find *
oldest_double(const struct spool *s, const struct find *f, size_t count)
{
    const struct find *best = f;

    for (size_t i = 1; i < count; i++)
        if (segment_of(s, &f[i])->key.generation <
            segment_of(s, best)->key.generation)
            best = &f[i];
    return best;
}

/* What is live of the finds of one message. */
static void
sift(struct recovery *rc)
{
    const struct find *f = rc->finds;
    size_t doubles;

    rc->group_count = 0;
    for (size_t i = 0; i < rc->count; i += doubles) {
        const struct find *one;

        for (doubles = 1;
             i + doubles < rc->count && is_double(&f[i], &f[i + doubles]);)
            doubles++;
        one = oldest_double(rc->spool, &f[i], doubles);
        switch ((enum record_type)one->type) {
        case RECORD_MESSAGE:
            rc->group_count = 0;
            group_add(rc, one);
            break;
        case RECORD_REMOVE:
            rc->group_count = 0;
            break;
        case RECORD_CONTENT:
            if (rc->group_count == 1 && is_parted(rc->group[0]))
                group_add(rc, one);
            break;
        case RECORD_META:
            group_add(rc, one);
            break;
        case RECORD_STATUS:
        case RECORD_HOLD:
        case RECORD_REPLACE:
            if (rc->group_count > 0)
                group_add(rc, one);
            break;
        }
    }
}

static void
tell_missing(struct recovery *rc, const struct find *f)
{
    char text[80];

    (void)snprintf(text, sizeof(text),
        "the content of message %" PRIX64 " is missing", f->id);
    tell_damage(&rc->loading, segment_of(rc->spool, f), text);
}

/* False: the record is damaged, which was told. */
static bool
read_head(struct recovery *rc, const struct find *f,
    const struct record_info *r)
{
    struct spool *s = rc->spool;
    struct segment *seg = segment_of(s, f);
    size_t len = (size_t)record_payload_at(r) + r->head_len;
    unsigned char *octets;
    bool was_read;
    char text[80];

    buf_clear(&rc->head);
    octets = (unsigned char *)buf_reserve(&rc->head, len);
    was_read = octets != NULL &&
        spool_read_octets(s, seg->fd, octets, len, r->offset);
    if (was_read && record_head_valid(octets, len, r, &seg->key)) {
        buf_advance(&rc->head, len);
        return true;
    }
    (void)snprintf(text, sizeof(text),
        "record of type %u of message %" PRIX64 " %s", r->type, r->id,
        was_read ? "is damaged" : "cannot be read");
    seg->damaged = true;
    if (!was_read)
        tell_damage(&rc->loading, seg, text);
    if (!was_read ||
        !set_aside(&rc->loading, seg, r->offset, octets, len, text))
        seg->keep = true;
    return false;
}

static bool
tell_one(struct recovery *rc, const struct find *f, bool *damaged,
    struct why *why)
{
    struct spool *s = rc->spool;
    struct segment *seg = segment_of(s, f);
    struct record_info r = info_of(f);
    struct spool_found found = {
        .spool = s,
        .type = (enum record_type)r.type,
        .id = r.id,
        .serial = r.serial,
        .brief = r.brief,
        .place = {
            .segment = seg->place,
            .offset = (uint32_t)(r.offset / 8),
            .length = (uint32_t)record_length(&r),
        },
        .blob = r.type == RECORD_MESSAGE ? r.other : 0,
        .parted = (r.flags & RECORD_PARTED) != 0,
        .in_all = rc->in_all,
    };

    *damaged = false;
    if (r.brief.len == 0 && r.head_len > 0) {
        if (!read_head(rc, f, &r)) {
            *damaged = true;
            return true;
        }
        found.head = slice_skip(buf_slice(&rc->head),
            (size_t)record_payload_at(&r));
    }
    segment_count_record(s, seg, &r);
    return rc->found(rc->loading.context, &found, why);
}

static bool
tell_group(struct recovery *rc, struct why *why)
{
    const struct find *first = rc->group_count > 0 ? rc->group[0] : NULL;

    if (first != NULL && is_parted(first) &&
        (rc->group_count == 1 || rc->group[1]->type != RECORD_CONTENT))
        tell_missing(rc, first);
    for (size_t i = 0; i < rc->group_count; i++) {
        bool damaged;

        if (!tell_one(rc, rc->group[i], &damaged, why))
            return false;
        /* Without the message itself its changes mean nothing. */
        if (damaged && rc->group[i]->type == RECORD_MESSAGE)
            return true;
    }
    return true;
}

static bool
tell_all(struct recovery *rc, struct why *why)
{
    struct loading *l = &rc->loading;

    for (size_t i = 0; i < l->run_count; i++)
        rc->in_all += l->runs[i].count;
    merge_init(&rc->merge, l->runs, l->run_count);
    while (next_message(rc)) {
        note_doubles(rc);
        count_removes(rc);
        sift(rc);
        if (!tell_group(rc, why))
            return false;
    }
    return true;
}

/*
 * The last segment of each purpose is appended to again, unless it is damaged
 * or was closed. A sealed one does not need its index in memory any more.
 */
static void
go_on(struct spool *s)
{
    struct segment *last[PURPOSE_COUNT] = { NULL };

    for (size_t i = 0; i < s->segment_count; i++) {
        struct segment *seg = s->segments[i], *other;

        if (seg == NULL || seg->place == 0)
            continue;
        if (seg->use == USE_SEALED) {
            buf_fini(&seg->index);
            buf_init(&seg->index, INT32_MAX);
            continue;
        }
        other = last[seg->purpose];
        if (!seg->damaged && !seg->bad &&
            (other == NULL || other->key.generation < seg->key.generation))
            last[seg->purpose] = seg;
    }
    for (int p = 0; p < PURPOSE_COUNT; p++)
        if (last[p] != NULL && segment_may_open(s)) {
            s->open[p] = last[p];
            last[p]->use = USE_OPEN;
            /* With what is known of closed ones now. */
            last[p]->header_done = false;
        }
}

/*
 * A new epoch, durable before anything else is written: so no serial and no
 * generation is ever given twice, whatever became of what had them.
 */
static enum result
begin_epoch(struct recovery *rc, struct why *why)
{
    struct spool *s = rc->spool;
    uint64_t seen = rc->loading.max_serial >> SERIAL_BITS;

    if (rc->loading.max_generation >> 32 > seen)
        seen = rc->loading.max_generation >> 32;
    if (seen > s->epoch)
        s->epoch = seen;
    s->epoch++;
    s->end_count = 0; /* used, and about to be wrong */
    s->serial = s->epoch << SERIAL_BITS;
    s->generation = s->epoch << 32;
    s->closures_durable = true; /* they were read */
    atomic_store(&s->blob_serial, s->serial);
    /* That it is being adopted is in both slots: losing one must not free it. */
    if (s->adoption != SPOOL_OWN && owner_write(s, why) != RESULT_OK)
        return RESULT_TEMPFAIL;
    return owner_write(s, why);
}

static enum result
identify(struct loading *l, const char *adopter, struct why *why)
{
    switch (owner_read(l->spool, why)) {
    case OWNER_OK:
        if (!owner_is_for(l->spool, adopter, why))
            return RESULT_PERMFAIL;
        break;
    case OWNER_NEWER:
        return RESULT_PERMFAIL;
    case OWNER_ERROR:
        return RESULT_TEMPFAIL;
    case OWNER_DAMAGED:
        l->damage(l->context,
            "spool/owner: is damaged, written anew from the segments");
        l->foreign_id = true;
        break;
    case OWNER_NONE:
        if (adopter != NULL)
            return why_perm(why, "5.3.0", "there is no spool");
        l->foreign_id = l->owner_missing = true;
        break;
    }
    return adopter == NULL ? RESULT_OK : owner_adopt(l->spool, adopter, why);
}

static enum result
recover(struct recovery *rc, const char *adopter, struct why *why)
{
    struct spool *s = rc->spool;
    enum result res = identify(&rc->loading, adopter, why);

    if (res == RESULT_OK)
        res = spool_load(&rc->loading, why);
    if (res == RESULT_OK)
        res = begin_epoch(rc, why);
    if (res != RESULT_OK)
        return res;
    if (!tell_all(rc, why))
        return RESULT_PERMFAIL;
    go_on(s);
    return RESULT_OK;
}

enum result
spool_recover(struct spool *s, const struct spool_options *options,
    spool_found_fn found, spool_damage_fn damage, void *context,
    struct why *why)
{
    struct recovery rc = {
        .loading = { .spool = s,
            .threads = options->threads,
            .damage = damage,
            .context = context },
        .spool = s,
        .found = found,
    };
    enum result res;

    buf_init(&rc.head, INT32_MAX);
    res = recover(&rc, options->adopter, why);
    buf_fini(&rc.head);
    merge_fini(&rc.merge);
    loading_fini(&rc.loading);
    mem_free(rc.finds);
    mem_free(rc.group);
    return res;
}
