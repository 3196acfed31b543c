#include "qmgr/lend.h"

#include "lib/base/mem.h"
#include "qmgr/record.h"
#include "qmgr/strain.h"

#include <unistd.h>

enum { ROOM_FOR_BLOB = 64 * 1024 }; /* what must be free for one to be lent */

/* A file that a submitter writes a body into. */
struct lent {
    struct map_node node; /* by number */
    uint64_t number;
    const void *owner; /* NULL: gone before the file was there */
    void *request;     /* while the file is being made */
    int fd;            /* -1: likewise */
};

static bool
same(const struct map_node *node, const void *key)
{
    return ((const struct lent *)(const void *)node)->number ==
        *(const uint64_t *)key;
}

static struct lent *
find(struct qmgr *q, uint64_t number, const void *owner)
{
    struct map_node *n = map_find(&q->lent, map_hash_u64(number), same,
        &number);
    struct lent *l = n == NULL ? NULL : LIST_ENTRY(n, struct lent, node);

    return l != NULL && l->owner == owner && l->fd >= 0 ? l : NULL;
}

void
lend_free(struct qmgr *q, struct lent *l)
{
    if (l == NULL)
        return;
    if (l->fd >= 0)
        q->outside->close(q->context, l->fd);
    mem_free(l);
}

static void
take_back(struct qmgr *q, struct lent *l)
{
    map_remove(&q->lent, &l->node);
}

static void
answer(struct qmgr *q, void *request, uint64_t number, enum result res,
    const struct why *why, int fd)
{
    struct queue_answer a = { .result = res, .blob = number };

    if (why != NULL)
        a.why = *why;
    q->outside->answer(q->context, request, MESSAGE_BLOB, &a, fd);
}

static void
was_made(struct qmgr *q, struct disk_job *j)
{
    struct lent *l = j->owner;
    enum result res = j->result;
    int fd = -1;

    if (res == RESULT_OK) {
        l->fd = j->fd;
        fd = dup(j->fd);
        if (fd < 0)
            res = why_errno(&j->why, "lend a file");
    }
    answer(q, l->request, res == RESULT_OK ? l->number : 0, res,
        res == RESULT_OK ? NULL : &j->why, fd);
    l->request = NULL;
    if (res != RESULT_OK || l->owner == NULL) {
        take_back(q, l);
        lend_free(q, l);
    }
    disk_job_free(j);
}

/* Those that are being made count as well. */
static size_t
count_of(struct qmgr *q, const void *owner)
{
    size_t n = 0;

    for (struct map_node *at = map_first(&q->lent); at != NULL;
         at = map_after(&q->lent, at))
        n += LIST_ENTRY(at, struct lent, node)->owner == owner;
    return n;
}

void
lend_blob(struct qmgr *q, void *request, const void *owner)
{
    enum result res = RESULT_OK;
    struct lent *l;
    struct why why;

    if (strain_is_full(q) || !q->outside->has_room(q->context, ROOM_FOR_BLOB))
        res = why_temp(&why, "4.3.1", "Insufficient system storage");
    else if (q->lent.count >= LENT_ALL_MAX || count_of(q, owner) >= LENT_MAX)
        res = why_temp(&why, "4.3.1", "too many files are lent");
    if (res != RESULT_OK) {
        answer(q, request, 0, res, &why, -1);
        return;
    }
    l = mem_alloc(sizeof(*l));
    l->number = ++q->lent_last;
    l->owner = owner;
    l->request = request;
    l->fd = -1;
    map_add(&q->lent, map_hash_u64(l->number), &l->node);
    disk_job_start(q, disk_job_new(DISK_LEND, was_made, l));
}

void
lend_return(struct qmgr *q, uint64_t number, const void *owner)
{
    struct lent *l = find(q, number, owner);

    if (l == NULL)
        return;
    take_back(q, l);
    lend_free(q, l);
}

void
lend_owner_gone(struct qmgr *q, const void *owner)
{
    struct map_node *next;

    for (struct map_node *n = map_first(&q->lent); n != NULL; n = next) {
        struct lent *l = LIST_ENTRY(n, struct lent, node);

        next = map_after(&q->lent, n);
        if (l->owner != owner)
            continue;
        l->owner = NULL;
        if (l->request != NULL)
            continue;
        take_back(q, l);
        lend_free(q, l);
    }
}

static void
was_dropped(struct qmgr *q, struct disk_job *j)
{
    (void)q;
    disk_job_free(j);
}

void
lend_drop(struct qmgr *q, uint64_t blob)
{
    struct disk_job *j = disk_job_new(DISK_DROP, was_dropped, NULL);

    j->blob = blob;
    disk_job_start(q, j);
}

bool
lend_has(struct qmgr *q, uint64_t number, const void *owner)
{
    return find(q, number, owner) != NULL;
}

struct lent *
lend_take(struct qmgr *q, uint64_t number, const void *owner)
{
    struct lent *l = find(q, number, owner);

    take_back(q, l);
    return l;
}

int
lend_fd(const struct lent *l)
{
    return l->fd;
}

void
lend_init(struct qmgr *q)
{
    map_init(&q->lent);
}

void
lend_fini(struct qmgr *q)
{
    struct map_node *next;

    for (struct map_node *n = map_first(&q->lent); n != NULL; n = next) {
        struct lent *l = LIST_ENTRY(n, struct lent, node);

        next = map_after(&q->lent, n);
        take_back(q, l);
        lend_free(q, l);
    }
    map_fini(&q->lent);
}
