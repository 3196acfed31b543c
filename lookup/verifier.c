#include "lookup/verifier.h"

#include "lib/base/clock.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/printable.h"
#include "lib/io/fiber.h"
#include "lib/table/memo.h"
#include "lookup/memo_keeper.h"
#include "lookup/refusal.h"
#include "lookup/verify_book.h"

/* The process's. */
static struct {
    struct verify_rules rules;
    struct list waiters;
} verifier = { .waiters = LIST_INIT(verifier.waiters) };

/*
 * Who waits gets the result itself: without address_verify_negative_cache it is
 * in no book.
 */
struct waiter {
    struct list node;
    struct slice key;
    struct fiber_cond found;
    bool done;
    enum verified verified;
    struct buf text;
};

void
verifier_configure(const struct config_set *set)
{
    verify_rules_read(&verifier.rules, config_of_service(set, "verify"));
}

static void
wait_for_result(struct slice key, int64_t deadline_ms, struct buf *text,
    struct verify_answer *a)
{
    struct waiter w = { .key = key };
    struct book *b;

    fiber_cond_init(&w.found);
    buf_init(&w.text, VERIFY_TEXT_MAX);
    list_append(&verifier.waiters, &w.node);
    while (!w.done && fiber_cond_wait(&w.found, deadline_ms) == WAIT_OK)
        continue;
    list_remove(&w.node);
    if (w.done) {
        buf_add(text, buf_slice(&w.text));
        *a = (struct verify_answer){ .verified = w.verified,
            .text = buf_slice(text) };
    } else {
        b = memo_keeper_book(MEMO_VERIFY); /* none when we are ending */
        *a = (struct verify_answer){ .verified = VERIFIED_PENDING };
        if (b != NULL)
            verify_book_ask(b, &verifier.rules, key, false, clock_wall_s(), a);
    }
    buf_fini(&w.text);
}

static void
refuse(struct request *r)
{
    if (refusal_due(r->link))
        log_warning("%s: malformed question about an address",
            link_peer_name(r->link));
    request_drop(r);
}

static void
answer(struct request *r, const struct verify_question *q)
{
    struct verify_answer a = { .verified = VERIFIED_PENDING };
    struct buf lower, text;
    struct slice key;
    struct book *b;
    struct msg m;

    buf_init(&lower, MEMO_KEY_MAX);
    buf_init(&text, VERIFY_TEXT_MAX);
    key = verify_key(q->address, &lower);
    b = memo_keeper_book(MEMO_VERIFY);
    if (b != NULL && key.len > 0) {
        verify_book_ask(b, &verifier.rules, key,
            (q->flags & VERIFY_ASK_PROBE) != 0, clock_wall_s(), &a);
        if (a.probe_due)
            memo_keeper_write();
        else if (a.verified == VERIFIED_PENDING && q->wait_ms > 0)
            wait_for_result(key, clock_now_ms() + q->wait_ms, &text, &a);
    }
    verify_answer_encode(&a, &m);
    request_reply(r, &m);
    buf_fini(&lower);
    buf_fini(&text);
}

void
verifier_ask(struct request *r)
{
    struct verify_question q;

    if (verify_question_decode(r->in->body, &q))
        answer(r, &q);
    else
        refuse(r);
}

void
verifier_look(struct request *r)
{
    struct verify_question q;

    if (!verify_question_decode(r->in->body, &q)) {
        refuse(r);
        return;
    }
    q.flags &= ~(uint32_t)VERIFY_ASK_PROBE;
    q.wait_ms = 0;
    answer(r, &q);
}

static void
wake(struct slice key, const struct verify_result *result)
{
    list_foreach (it, &verifier.waiters) {
        struct waiter *w = LIST_ENTRY(it, struct waiter, node);

        if (w->done || !slice_eq(w->key, key))
            continue;
        w->done = true;
        w->verified = (enum verified)result->verified;
        printable_add(slice_head(result->text, VERIFY_TEXT_MAX), &w->text);
        fiber_cond_signal(&w->found);
    }
}

void
verifier_found(struct request *r)
{
    struct verify_result result;
    struct buf lower;
    struct slice key;
    struct book *b;

    if (!verify_result_decode(r->in->body, &result)) {
        refuse(r);
        return;
    }
    buf_init(&lower, MEMO_KEY_MAX);
    key = verify_key(result.address, &lower);
    b = memo_keeper_book(MEMO_VERIFY);
    if (b != NULL && key.len > 0) {
        verify_book_found(b, &verifier.rules, key, &result, clock_wall_s());
        memo_keeper_write();
        wake(key, &result);
    }
    buf_fini(&lower);
    request_drop(r);
}

void
verifier_lost(struct request *r)
{
    struct verify_result lost;
    struct buf lower;
    struct slice key;
    struct book *b;

    if (!verify_result_decode(r->in->body, &lost)) {
        refuse(r);
        return;
    }
    buf_init(&lower, MEMO_KEY_MAX);
    key = verify_key(lost.address, &lower);
    b = memo_keeper_book(MEMO_VERIFY);
    if (b != NULL && key.len > 0) {
        verify_book_lost(b, &verifier.rules, key, clock_wall_s());
        memo_keeper_write();
    }
    buf_fini(&lower);
    request_drop(r);
}
