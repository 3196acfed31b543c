/*
 * A full disk: nothing is handed to agents whose result could not be recorded,
 * and all of it leaves in the end.
 */
#include "tests/unit/qmgr_world.h"

enum {
    MESSAGES = 400,
    RCPTS = 6,
    SEGMENT = 256 * 1024,
    DISK = 64 * 1024 * 1024,
};

/* Few are active, and have room set aside, until the disk is full. */
#define MAIN_CF                                 \
    "default_destination_recipient_limit = 1\n" \
    "initial_destination_concurrency = 1000\n"  \
    "default_destination_concurrency_limit = 1000\n"
static const char few_cf[] = MAIN_CF "qmgr_message_active_limit = 10\n";
static const char many_cf[] = MAIN_CF;

struct reserve_test {
    struct world w;
    size_t delivered;
    unsigned times[MESSAGES][RCPTS]; /* each was */
    bool was_short;
};

static void
submit(struct world *w, unsigned number)
{
    struct world_mail mail = { .sender = "s@x", .body = 4000 };
    static char names[RCPTS][40];

    for (unsigned i = 0; i < RCPTS; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "m%u.%u@d%u.test", number, i,
            i);
        mail.recipients[i] = names[i];
    }
    world_submit(w, &mail);
}

/* Each flush is of one record or two: that takes the most room. */
static void
step(struct reserve_test *x)
{
    struct errand *e;

    for (size_t n = 0; n < 2 && (e = world_errand(&x->w, 0)) != NULL; n++) {
        unsigned message, rcpt;

        /* NOLINTNEXTLINE(cert-err34-c): we wrote it */
        assert_int_equal(sscanf(e->addresses[0], "m%u.%u", &message, &rcpt), 2);
        x->times[message][rcpt]++;
        world_report(&x->w, e, OUTCOME_SENT, DESTINATION_OK);
        x->delivered++;
    }
    qmgr_pump(&x->w.q);
    world_settle(&x->w);
    x->was_short |= reserve_is_short(&x->w.q);
    world_pass_ms(&x->w, 1);
}

static struct config_set *
read_config(const char *text)
{
    struct config_set *set;
    struct why why;

    assert_int_equal(config_from_text(text, world_master_cf, &set, &why),
        RESULT_OK);
    return set;
}

/* With so many messages on a disk where nothing is left. */
static struct reserve_test *
open_full(unsigned messages)
{
    struct reserve_test *x = mem_alloc(sizeof(*x));
    struct config_set *few = read_config(few_cf), *many = read_config(many_cf);

    random_set_seed(5);
    world_open_on(&x->w, few, disk_sim_new(DISK), SEGMENT);
    for (unsigned n = 0; n < messages; n++) {
        submit(&x->w, n);
        world_settle(&x->w);
    }
    world_pass_ms(&x->w, 1000);
    disk_sim_set_capacity(x->w.sim, disk_sim_used(x->w.sim));
    qmgr_configure(&x->w.q, many);
    agent_up(&x->w.q, ROLE_SMTP, x);
    config_drop(few);
    config_drop(many);
    return x;
}

/* All of it leaves, once. */
static void
run_out(struct reserve_test *x, unsigned messages)
{
    for (unsigned n = 0; x->w.q.index.entries.count > 0; n++) {
        assert_true(n < 100000);
        step(x);
        assert_false(x->w.txn_failed);
    }
    assert_int_equal(x->delivered, messages * RCPTS);
    for (unsigned n = 0; n < messages; n++)
        for (unsigned i = 0; i < RCPTS; i++)
            assert_int_equal(x->times[n][i], 1);
    world_assert_empty(&x->w);
    world_close_all(&x->w);
    mem_free(x);
}

/* What leaves makes room for what is next. */
static void
test_it_empties(void **state)
{
    struct reserve_test *x = open_full(MESSAGES);

    (void)state;
    run_out(x, MESSAGES);
}

/*
 * There is but one segment, which has no place to grow, and none for the
 * cleaner: no more is delivered than could be recorded, so that a power cut
 * repeats nothing. When there is room again it goes on.
 */
static void
test_power_cut(void **state)
{
    enum { FEW = 30 };
    struct reserve_test *x = open_full(FEW);

    (void)state;
    for (unsigned n = 0; n < 1000; n++) {
        step(x);
        assert_false(x->w.txn_failed);
    }
    assert_true(x->was_short);
    assert_in_range(x->delivered, 1, FEW * RCPTS);
    world_crash(&x->w);
    disk_sim_set_capacity(x->w.sim, DISK);
    world_start(&x->w);
    agent_up(&x->w.q, ROLE_SMTP, x);
    run_out(x, FEW);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_empties),
        cmocka_unit_test(test_power_cut),
    };

    log_set_sink(world_no_log, NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
