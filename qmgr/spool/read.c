#include "lib/base/mem.h"
#include "qmgr/spool/state.h"

#include <errno.h>
#include <inttypes.h>

static enum result
deliver(const unsigned char *octets, const struct record_info *r,
    struct buf *head, struct buf *content, struct why *why)
{
    const char *at = (const char *)octets + record_payload_at(r);
    size_t head_len = head->len;

    buf_add(head, (struct slice){ at, r->head_len });
    buf_add(content, (struct slice){ at + r->head_len, r->content_len });
    if (!buf_failed(head) && !buf_failed(content))
        return RESULT_OK;
    if (!buf_failed(head))
        buf_truncate(head, head_len);
    return why_temp(why, "4.3.0", "record is larger than there is room for");
}

static enum result
check(const unsigned char *octets, const struct segment *seg,
    const struct segment_key *key, const struct spool_place *place, uint64_t id,
    struct record_info *r, struct why *why)
{
    uint64_t offset = (uint64_t)place->offset * 8;

    if (!record_decode(octets, place->length, offset, key, r) || r->id != id ||
        !record_payload_valid(octets, r))
        return why_perm(why, "5.3.0",
            "segment/%04" PRIu32 ": record at %" PRIu64 " of message %" PRIx64
            " is damaged",
            seg->slot, offset, id);
    return RESULT_OK;
}

/* Is it still what place speaks of? Its octets may have been overwritten. */
static bool
still_there(struct spool *s, const struct segment *seg,
    const struct spool_place *place)
{
    bool same;

    pthread_mutex_lock(&s->lock);
    same = seg->place == place->segment;
    pthread_mutex_unlock(&s->lock);
    return same;
}

static enum result
read_held(struct spool *s, struct segment *seg, const struct segment_key *key,
    const struct spool_place *place, uint64_t id, struct buf *head,
    struct buf *content, struct why *why)
{
    unsigned char *octets = mem_try_alloc(place->length);
    struct record_info r;
    enum result res;

    if (octets == NULL)
        return why_temp(why, "4.3.0", "out of memory");
    if (!spool_read_octets(s, seg->fd, octets, place->length,
            (uint64_t)place->offset * 8))
        res = why_errno(why, "segment/%04" PRIu32 ": read", seg->slot);
    else
        res = check(octets, seg, key, place, id, &r, why);
    if (res != RESULT_OK && !still_there(s, seg, place))
        res = why_temp(why, "4.3.0", "record was moved meanwhile");
    if (res == RESULT_OK)
        res = deliver(octets, &r, head, content, why);
    mem_free(octets);
    return res;
}

enum result
spool_read(struct spool *s, const struct spool_place *place, uint64_t id,
    struct buf *head, struct buf *content, struct why *why)
{
    struct segment_key key;
    struct segment *seg = segment_hold(s, place, &key);
    enum result res;

    if (seg == NULL)
        return why_temp(why, "4.3.0", "record is not there any more");
    res = read_held(s, seg, &key, place, id, head, content, why);
    segment_release(s, seg);
    return res;
}
