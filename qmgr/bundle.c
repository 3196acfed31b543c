#include "qmgr/bundle.h"

#include "lib/base/mem.h"
#include "qmgr/destination_private.h"

struct key {
    uint64_t serial;
    const struct destination *destination;
};

static uint64_t
hash_of(const struct key *k)
{
    return map_hash_u64(k->serial ^ k->destination->hash);
}

static bool
same(const struct map_node *node, const void *key)
{
    const struct bundle *b = (const struct bundle *)(const void *)node;
    const struct key *k = key;

    return b->message->serial == k->serial && b->destination == k->destination;
}

static struct bundle *
bundle_of(struct qmgr *q, struct destination *d, struct mail *m)
{
    struct key k = { m->serial, d };
    uint64_t hash = hash_of(&k);
    struct map_node *n = map_find(&q->bundles, hash, same, &k);
    struct bundle *b;

    if (n != NULL)
        return LIST_ENTRY(n, struct bundle, node);
    b = mem_alloc(sizeof(*b));
    b->message = m;
    b->destination = d;
    list_init(&b->rcpts);
    list_init(&b->link);
    b->gathering = true;
    d->gathering++;
    list_append(&m->bundles, &b->message_link);
    map_add(&q->bundles, hash, &b->node);
    return b;
}

struct bundle *
bundle_put(struct qmgr *q, struct destination *d, struct rcpt *r)
{
    struct bundle *b = bundle_of(q, d, r->message);

    rcpt_set_state(r, RCPT_WAITING);
    r->bundle = b;
    r->message->transport = d->transport;
    list_append(&b->rcpts, &r->link);
    b->count++;
    d->transport->waiting++;
    return b;
}

static void
bundle_free(struct qmgr *q, struct bundle *b)
{
    if (b->gathering)
        b->destination->gathering--;
    map_remove(&q->bundles, &b->node);
    list_remove(&b->link);
    list_remove(&b->message_link);
    mem_free(b);
}

void
bundle_take(struct qmgr *q, struct rcpt *r)
{
    struct bundle *b = r->bundle;
    struct destination *d = b->destination;

    list_remove(&r->link);
    r->bundle = NULL;
    d->transport->waiting--;
    if (--b->count > 0)
        return;
    bundle_free(q, b);
    destination_touch(q, d);
    destination_release(q, d);
}

void
bundle_free_all(struct qmgr *q, struct mail *m)
{
    list_foreach_safe (it, &m->bundles) {
        struct bundle *b = LIST_ENTRY(it, struct bundle, message_link);
        struct destination *d = b->destination;

        d->transport->waiting -= b->count;
        bundle_free(q, b);
        destination_touch(q, d);
        destination_release(q, d);
    }
}

struct rcpt *
bundle_next(struct qmgr *q, struct bundle *b)
{
    struct list *it = list_take(&b->rcpts);
    struct rcpt *r;

    if (it == NULL) {
        bundle_free(q, b);
        return NULL;
    }
    b->count--;
    b->destination->transport->waiting--;
    r = LIST_ENTRY(it, struct rcpt, link);
    r->bundle = NULL;
    return r;
}
