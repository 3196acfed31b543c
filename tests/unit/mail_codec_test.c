/* The typed ends of messages: what goes in comes out, and limits hold. */
#include "lib/mail/delivery.h"
#include "lib/mail/envelope.h"
#include "lib/mail/queue_id.h"
#include "lib/mail/submission.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static struct arena arena;
static struct why why;

static int
setup(void **state)
{
    (void)state;
    arena_init(&arena, 1 << 20);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    arena_clear(&arena);
    return 0;
}

static struct envelope
sample_envelope(void)
{
    struct envelope e = {
        .id = 77,
        .arrival_us = 1700000000123456,
        .size = 4242,
        .flags = ENVELOPE_8BIT | ENVELOPE_LOCAL,
        .hops = 3,
        .sender = SLICE_LIT("ann@example.org"),
        .envid = SLICE_LIT("QQ 314159"),
        .ret = RET_HDRS,
        .helo = SLICE_LIT("client.example"),
    };
    struct recipient r = { .address = SLICE_LIT("bob@example.com"),
        .original = SLICE_LIT("robert@example.com"),
        .orcpt = SLICE_LIT("rfc822;robert@example.com"),
        .notify = NOTIFY_SUCCESS | NOTIFY_DELAY };

    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(envelope_add_recipient(&e, &arena, &r, &why),
            RESULT_OK);
    return e;
}

static void
test_envelope_round_trip(void **state)
{
    struct envelope in = sample_envelope(), out;
    struct recipient r;
    struct slice rest;
    size_t count = 0;
    struct buf buf;

    (void)state;
    buf_init(&buf, 1 << 20);
    envelope_encode(&in, &buf);
    assert_int_equal(envelope_decode(buf_slice(&buf), &arena, &out, &why),
        RESULT_OK);
    assert_int_equal(out.id, in.id);
    assert_int_equal(out.arrival_us, in.arrival_us);
    assert_int_equal(out.flags, in.flags);
    assert_int_equal(out.ret, in.ret);
    assert_true(slice_eq(out.sender, in.sender));
    assert_true(slice_eq(out.envid, in.envid));
    assert_int_equal(out.recipient_count, 100);
    assert_true(slice_eq(out.recipients[99].orcpt, in.recipients[99].orcpt));
    assert_int_equal(out.recipients[99].notify, in.recipients[99].notify);
    for (rest = buf_slice(&buf); envelope_next_recipient(&rest, &r); count++)
        assert_true(slice_eq(r.address, in.recipients[0].address));
    assert_int_equal(count, 100);
    buf_fini(&buf);
}

/* More than most: checked and counted, and read one at a time, in pieces. */
static void
test_envelope_of_a_list(void **state)
{
    struct envelope in = sample_envelope(), out;
    struct slice rest, piece;
    struct recipient r;
    size_t count = 0;
    struct buf buf;

    (void)state;
    buf_init(&buf, 1 << 20);
    in.recipients[98].original = in.recipients[98].address;
    envelope_encode(&in, &buf);
    assert_int_equal(envelope_decode_most(buf_slice(&buf), 100, &arena, &out,
                         &why),
        RESULT_OK);
    assert_non_null(out.recipients);
    assert_int_equal(out.recipients[98].original.len, 0);
    assert_true(slice_eq(recipient_original(&out.recipients[98]),
        in.recipients[98].address));
    assert_int_equal(envelope_decode_most(buf_slice(&buf), 99, &arena, &out,
                         &why),
        RESULT_OK);
    assert_null(out.recipients);
    assert_int_equal(out.recipient_count, 100);
    assert_true(slice_eq(out.sender, in.sender));
    (void)envelope_count_recipients(buf_slice(&buf), &rest);
    while (rest.len > 0) {
        piece = envelope_some_recipients(rest, 200);
        assert_in_range(piece.len, 1, 200);
        rest = slice_skip(rest, piece.len);
        for (; envelope_next_recipient(&piece, &r); count++)
            assert_true(slice_eq(r.address, in.recipients[count].address));
        assert_int_equal(piece.len, 0);
    }
    assert_int_equal(count, 100);
    /* A piece of one is no octets. */
    buf.len--;
    assert_int_equal(envelope_decode_most(buf_slice(&buf), 10, &arena, &out,
                         &why),
        RESULT_PERMFAIL);
    buf_fini(&buf);
}

static void
test_envelope_cut_short(void **state)
{
    struct envelope in = sample_envelope(), out;
    struct buf buf;

    (void)state;
    buf_init(&buf, 1 << 20);
    envelope_encode(&in, &buf);
    for (size_t n = 0; n < 80; n++) {
        struct slice part = slice_head(buf_slice(&buf), n);
        enum result res = envelope_decode(part, &arena, &out, &why);

        assert_true(res == RESULT_OK || res == RESULT_PERMFAIL);
    }
    buf_fini(&buf);
}

static void
test_recipients_meet_the_ceiling(void **state)
{
    struct recipient r = { .address = SLICE_LIT("bob@example.com") };
    enum result res = RESULT_OK;
    struct envelope e = { 0 };
    struct arena small;

    (void)state;
    arena_init(&small, 4096);
    for (unsigned i = 0; i < 1000 && res == RESULT_OK; i++)
        res = envelope_add_recipient(&e, &small, &r, &why);
    assert_int_equal(res, RESULT_TEMPFAIL);
    assert_string_equal(why.status, "4.3.1");
    arena_clear(&small);
}

static const uint64_t ids[] = { 1, 1023, (uint64_t)1700000000123456 << 10,
    ((uint64_t)1700000000999999 << 10) + 1023, (uint64_t)51 << 20 };

static void
test_queue_id(void **state)
{
    static const char *const bad[] = { "", "z", "0", "xyz", "0000000000z",
        "0z1", "AAAAAAAAAAAAAAAAAAAAAAAAA", "12 4", "zzzzzzzzzzzzzzzzz", "abc",
        "19a" };
    char text[QUEUE_ID_SIZE];
    uint64_t id;

    (void)state;
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        for (int form = 0; form < 2; form++) {
            queue_id_text(ids[i], form == 1, text);
            assert_true(queue_id_parse(slice_of(text), &id));
            assert_int_equal(id, ids[i]);
        }
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(queue_id_parse(slice_of(bad[i]), &id));
}

static void
test_delivery_round_trip(void **state)
{
    struct delivery_recipient rcpts[2] = {
        { .index = 3, .rcpt.address = SLICE_LIT("a@x") },
        { .index = 70000,
            .rcpt.address = SLICE_LIT("b@x"),
            .rcpt.original = SLICE_LIT("c@x") },
    };
    struct delivery d = {
        .attempt = { .id = 9, .nonce = UINT64_MAX, .number = 2 },
        .transport = SLICE_LIT("smtp"),
        .nexthop = SLICE_LIT("[192.0.2.1]:25"),
        .envelope = sample_envelope(),
        .header = SLICE_LIT("Subject: x\r\n"),
        .body = SLICE_LIT("hello\r\n"),
        .fd = -1,
        .active_us = 12345,
        .recipients = rcpts,
        .recipient_count = 2
    };
    struct delivery out;
    struct msg_in in = { .type = MESSAGE_DELIVER };
    struct msg m;

    (void)state;
    delivery_encode(&d, &m);
    in.body = buf_slice(&m.body);
    assert_int_equal(delivery_decode(&in, &arena, &out, &why), RESULT_OK);
    assert_int_equal(out.attempt.nonce, UINT64_MAX);
    assert_int_equal(out.recipient_count, 2);
    assert_int_equal(out.recipients[1].index, 70000);
    assert_true(slice_eq_text(out.recipients[1].rcpt.original, "c@x"));
    assert_int_equal(out.envelope.recipient_count, 0);
    assert_true(slice_eq_text(out.body, "hello\r\n"));
    assert_int_equal(out.fd, -1);
    msg_fini(&m);
}

static void
test_answer_round_trip(void **state)
{
    struct rcpt_result r[2] = {
        { .index = 1,
            .outcome = OUTCOME_SENT,
            .status = "2.0.0",
            .text = SLICE_LIT("250 ok") },
        { .index = 2,
            .outcome = OUTCOME_BOUNCED,
            .status = "5.1.1",
            .text = SLICE_LIT("unknown"),
            .remote = SLICE_LIT("mx.x") },
    };
    struct delivery_answer a = { .attempt = { .id = 5, .nonce = 6 },
        .destination = DESTINATION_BUSY,
        .destination_status = "4.7.0",
        .destination_text = SLICE_LIT("421 too many"),
        .results = r,
        .count = 2 };
    struct delivery_answer out;
    struct msg m;

    (void)state;
    delivery_answer_encode(&a, &m);
    assert_int_equal(delivery_answer_decode(buf_slice(&m.body), &arena, &out,
                         &why),
        RESULT_OK);
    assert_int_equal(out.destination, DESTINATION_BUSY);
    assert_string_equal(out.destination_status, "4.7.0");
    assert_int_equal(out.count, 2);
    assert_string_equal(out.results[1].status, "5.1.1");
    assert_true(slice_eq_text(out.results[1].remote, "mx.x"));
    msg_fini(&m);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_envelope_round_trip, setup,
            teardown),
        cmocka_unit_test_setup_teardown(test_envelope_of_a_list, setup,
            teardown),
        cmocka_unit_test_setup_teardown(test_envelope_cut_short, setup,
            teardown),
        cmocka_unit_test(test_recipients_meet_the_ceiling),
        cmocka_unit_test(test_queue_id),
        cmocka_unit_test_setup_teardown(test_delivery_round_trip, setup,
            teardown),
        cmocka_unit_test_setup_teardown(test_answer_round_trip, setup,
            teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
