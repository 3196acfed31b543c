/*
 * qmgr_world_submit - who submits to a world: queue ids, messages short and long,
 * what they settle of others, and what the answers were.
 */
#pragma once

#include "lib/base/clock.h"
#include "lib/base/tlv.h"
#include "qmgr/intake.h"
#include "qmgr/lease.h"
#include "tests/unit/qmgr_world_disk.h"
#include "tests/unit/qmgr_world_state.h"

#include <unistd.h>

/* What they are told. */

WORLD_FN void
world_pressure(void *context, enum pressure level)
{
    struct world *w = context;

    w->pressure = level;
    w->pressures++;
}

WORLD_FN void
world_answer(void *context, void *request, enum message type,
    const struct queue_answer *a, int fd)
{
    struct world *w = context;
    enum result *told = request == w ? NULL : request;

    if (type == MESSAGE_BLOB && a->result == RESULT_OK) {
        w->blobs++;
        assert_true(a->blob > 0);
        assert_int_equal(close(fd), 0);
        fd = -1;
    } else if (type == MESSAGE_BLOB) {
        w->blobs_refused++;
    }
    assert_int_equal(fd, -1);
    if (type == MESSAGE_LEASED && a->result == RESULT_OK) {
        w->next_id = a->id;
        w->lease_count = a->count;
    }
    if (type == MESSAGE_SUBMITTED) {
        w->answered_ok += a->result == RESULT_OK;
        w->answered_temp += a->result == RESULT_TEMPFAIL;
        w->answered_perm += a->result == RESULT_PERMFAIL;
        (void)snprintf(w->last_text, sizeof(w->last_text), "%s %s",
            a->why.status, a->why.text);
    }
    if (told != NULL)
        *told = a->result;
}

/* What they send. */

struct world_mail {
    const char *sender;
    const char *recipients[WORLD_RCPTS]; /* ends with NULL */
    const char *drop_file;
    const char *original; /* of each; NULL: the same */
    const char *expanded; /* the alias that they came from, or NULL */
    uint32_t notify;      /* of all */
    uint32_t flags;
    size_t body; /* octets */
    const struct attempt *settles;
    const uint32_t *indexes;
    size_t index_count;
    const struct rcpt_result *result; /* of those, for the sender */
    bool settle_only;
};

WORLD_FN void
world_put_settle(const struct world_mail *mail, struct buf *to)
{
    struct buf one;

    buf_init(&one, 65536);
    attempt_encode(mail->settles, ATTR_TOKEN, &one);
    for (size_t i = 0; i < mail->index_count; i++)
        tlv_put_u64(&one, ATTR_RCPT_INDEX, mail->indexes[i]);
    if (mail->result != NULL)
        rcpt_result_encode(mail->result, ATTR_RCPT_RESULT, &one);
    tlv_put(to, ATTR_SETTLE, buf_slice(&one));
    buf_fini(&one);
}

WORLD_FN struct msg_in *
world_msg(struct slice body)
{
    struct msg_in *in = mem_alloc(sizeof(*in) + body.len);

    if (body.len > 0)
        memcpy(in + 1, body.ptr, body.len);
    in->type = MESSAGE_SUBMIT;
    in->body = (struct slice){ (const char *)(in + 1), body.len };
    return in;
}

/* told, if given, gets the answer when it comes. */
WORLD_FN void
world_submit_as(struct world *w, uint64_t id, const struct world_mail *mail,
    enum result *told)
{
    struct envelope env = {
        .id = id,
        .arrival_us = clock_wall_us(),
        .size = 300 + mail->body,
        .flags = mail->flags,
        .sender = slice_of(mail->sender),
        .drop_file = slice_of(mail->drop_file),
    };
    struct arena arena;
    struct buf envelope, body;
    char *octets = mem_alloc(mail->body + 1);
    struct why why;

    memset(octets, 'x', mail->body);
    arena_init(&arena, 1 << 20);
    buf_init(&envelope, 1 << 20);
    buf_init(&body, 1 << 24);
    for (size_t i = 0; mail->recipients[i] != NULL; i++) {
        struct recipient r = { .address = slice_of(mail->recipients[i]),
            .original = slice_of(mail->original),
            .notify = mail->notify };

        assert_int_equal(envelope_add_recipient(&env, &arena, &r, &why),
            RESULT_OK);
    }
    if (mail->expanded != NULL) {
        struct recipient r = { .address = slice_of(mail->expanded),
            .notify = NOTIFY_SUCCESS,
            .expanded = 1 };

        assert_int_equal(envelope_add_recipient(&env, &arena, &r, &why),
            RESULT_OK);
    }
    envelope_encode(&env, &envelope);
    tlv_put(&body, ATTR_ENVELOPE, buf_slice(&envelope));
    tlv_put(&body, ATTR_HEADER, SLICE_LIT("Subject: test\r\n"));
    tlv_put(&body, ATTR_BODY, (struct slice){ octets, mail->body });
    if (mail->settles != NULL)
        world_put_settle(mail, &body);
    if (mail->settle_only)
        tlv_put_u64(&body, ATTR_PRIVATE, 1);
    assert_false(buf_failed(&body));
    intake_submit(&w->q, told == NULL ? (void *)w : told, w,
        w->place == 0 ? 1 : w->place, world_msg(buf_slice(&body)));
    buf_fini(&envelope);
    buf_fini(&body);
    arena_clear(&arena);
    mem_free(octets);
}

/* A message to r0@d0.test, r1@d1.test ..., over so many destinations. */
WORLD_FN void
world_submit_list(struct world *w, uint64_t id, size_t count,
    unsigned destinations)
{
    struct envelope env = {
        .id = id,
        .arrival_us = clock_wall_us(),
        .size = 300,
        .sender = SLICE_LIT("list@senders.test"),
    };
    struct arena arena;
    struct buf envelope, body;
    struct why why;

    arena_init(&arena, 1 << 28);
    buf_init(&envelope, 1 << 28);
    buf_init(&body, 1 << 28);
    for (size_t i = 0; i < count; i++) {
        char name[48];
        int n = snprintf(name, sizeof(name), "r%zu@d%zu.test", i,
            i % destinations);
        struct recipient r = { .address = { name, (size_t)n } };

        assert_int_equal(envelope_add_recipient(&env, &arena, &r, &why),
            RESULT_OK);
    }
    envelope_encode(&env, &envelope);
    tlv_put(&body, ATTR_ENVELOPE, buf_slice(&envelope));
    tlv_put(&body, ATTR_HEADER, SLICE_LIT("Subject: list\r\n"));
    assert_false(buf_failed(&body));
    intake_submit(&w->q, w, w, 1, world_msg(buf_slice(&body)));
    buf_fini(&envelope);
    buf_fini(&body);
    arena_clear(&arena);
}

/* 0: the disk is too full even for that. */
WORLD_FN uint64_t
world_lease_try(struct world *w)
{
    if (w->lease_count == 0) {
        lease_ask(&w->q, w, 16);
        while (w->lease_count == 0 && world_step_txn(w))
            ;
        if (w->lease_count == 0)
            return 0;
    }
    w->lease_count--;
    return w->next_id++;
}

WORLD_FN uint64_t
world_lease(struct world *w)
{
    uint64_t id = world_lease_try(w);

    assert_true(id != 0);
    return id;
}

WORLD_FN uint64_t
world_submit(struct world *w, const struct world_mail *mail)
{
    uint64_t id = world_lease(w);

    world_submit_as(w, id, mail, NULL);
    return id;
}
