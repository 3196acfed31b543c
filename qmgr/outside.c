#include "qmgr/outside.h"

#include "lib/base/mem.h"
#include "qmgr/core.h"

#include <assert.h>

enum { HEAD_MAX = 256 * 1024 * 1024 };

struct txn *
txn_new(void (*done)(struct qmgr *q, struct txn *t), void *owner)
{
    struct txn *t = mem_alloc(sizeof(*t));

    list_init(&t->spool.link);
    t->spool.records = t->records;
    t->spool.owner = t;
    t->done = done;
    t->owner = owner;
    return t;
}

size_t
txn_add(struct txn *t, enum record_type type, uint64_t id)
{
    size_t n = t->spool.record_count++;

    assert(n < TXN_RECORDS);
    t->records[n] = (struct spool_record){ .type = type, .id = id };
    buf_init(&t->briefs[n], SPOOL_BRIEF_MAX);
    buf_init(&t->heads[n], HEAD_MAX);
    return n;
}

void
txn_commit(struct qmgr *q, struct txn *t)
{
    for (size_t i = 0; i < t->spool.record_count; i++) {
        t->records[i].brief = buf_slice(&t->briefs[i]);
        t->records[i].head = buf_slice(&t->heads[i]);
    }
    txn_send(q, t);
}

void
txn_send(struct qmgr *q, struct txn *t)
{
    q->transactions++;
    q->outside->commit(q->context, t);
}

void
txn_free(struct txn *t)
{
    if (t == NULL)
        return;
    for (size_t i = 0; i < t->spool.record_count; i++) {
        buf_fini(&t->briefs[i]);
        buf_fini(&t->heads[i]);
    }
    mem_free(t);
}

struct disk_job *
disk_job_new(enum disk_task task,
    void (*done)(struct qmgr *q, struct disk_job *j), void *owner)
{
    struct disk_job *j = mem_alloc(sizeof(*j));

    list_init(&j->link);
    j->task = task;
    j->done = done;
    j->owner = owner;
    j->fd = -1;
    buf_init(&j->head, HEAD_MAX);
    buf_init(&j->content, HEAD_MAX);
    return j;
}

void
disk_job_free(struct disk_job *j)
{
    if (j == NULL)
        return;
    buf_fini(&j->head);
    buf_fini(&j->content);
    mem_free(j);
}

void
disk_job_work(struct spool *s, struct disk_job *j)
{
    j->result = RESULT_OK;
    switch (j->task) {
    case DISK_READ:
    case DISK_READ_HEAD:
        j->result = spool_read(s, &j->place, j->id, &j->head, &j->content,
            &j->why);
        if (j->task == DISK_READ_HEAD)
            buf_fini(&j->content);
        break;
    case DISK_LEND:
        j->result = spool_blob_lend(s, &j->fd, &j->why);
        break;
    case DISK_KEEP:
        j->result = spool_blob_keep(s, j->fd, j->length, j->crc, &j->blob,
            &j->why);
        break;
    case DISK_OPEN:
        j->result = spool_blob_open(s, j->blob, &j->fd, &j->why);
        break;
    case DISK_DROP:
        spool_blob_drop(s, j->blob);
        break;
    case DISK_CALL:
        j->call(s, j->owner);
        break;
    }
}
