/* What qmgr tells submitters of how full it is. */
#include "qmgr/strain.h"

#include "tests/unit/qmgr_world.h"

static const char main_cf[] = "qmgr_memory_limit = 1048576\n"
                              "qmgr_message_active_limit = 10\n"
                              "queue_segment_size = 8388608\n"
                              "minimal_backoff_time = 60s\n"
                              "queue_run_delay = 60s\n";

static const struct world_mail small = {
    .sender = "s@example.org",
    .recipients = { "a@one.example" },
    .body = 100,
};
static const struct world_mail large = {
    .sender = "s@example.org",
    .recipients = { "a@one.example" },
    .body = 100000,
};

static int
open_with(void **state, const char *settings)
{
    struct world *w = world_new(settings, world_master_cf);

    *state = w;
    return 0;
}

static int
open_world(void **state)
{
    return open_with(state, main_cf);
}

static int
open_wide(void **state)
{
    return open_with(state, "qmgr_memory_limit = 1048576\n");
}

static void
look(struct world *w)
{
    world_pass_ms(w, 2000);
}

static void
deliver_all(struct world *w)
{
    while (world_errand(w, 0) != NULL) {
        world_finish(w, world_errand(w, 0), OUTCOME_SENT);
    }
}

static void
test_disk(void **state)
{
    static const struct {
        uint64_t no_room;
        enum pressure want;
    } cases[] = {
        { 0, PRESSURE_NONE },
        { (1 << 20) + 1, PRESSURE_NONE },
        { 1 << 20, PRESSURE_SLOW },
        { 128 * 1024 + 1, PRESSURE_SLOW },
        { 128 * 1024, PRESSURE_FULL },
        { 1, PRESSURE_FULL },
        { 200 * 1024, PRESSURE_SLOW },
        { 0, PRESSURE_NONE },
    };
    struct world *w = *state;

    /* An eighth of a segment is little. */
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        w->no_room = cases[i].no_room;
        qmgr_wake(&w->q);
        look(w);
        if (w->pressure != cases[i].want)
            fail_msg("no room for %ju: %d", (uintmax_t)cases[i].no_room,
                w->pressure);
    }
    /* Nothing happens, but it is looked at. */
    w->no_room = 1;
    qmgr_wake(&w->q);
    look(w);
    assert_int_equal(w->pressure, PRESSURE_FULL);
    w->no_room = 0;
    look(w);
    assert_int_equal(w->pressure, PRESSURE_NONE);
}

static void
test_memory(void **state)
{
    struct world *w = *state;
    unsigned sent = 0;

    agent_up(&w->q, ROLE_SMTP, w);
    while (w->answered_temp == 0 && sent < 30) {
        world_accept(w, &large);
        sent++;
    }
    /* Ten and a half of them are a megabyte. */
    assert_in_range(sent, 10, 12);
    assert_non_null(strstr(w->last_text, "Insufficient system storage"));
    assert_true(strain_is_full(&w->q));
    look(w);
    assert_int_equal(w->pressure, PRESSURE_FULL);
    deliver_all(w);
    look(w);
    assert_int_equal(w->pressure, PRESSURE_NONE);
    assert_false(strain_is_full(&w->q));
    world_accept(w, &small);
    deliver_all(w);
    assert_int_equal(w->answered_temp, 1);
    world_assert_empty(w);
    assert_true(strain_memory(&w->q) < 1000);
}

static void
submit_to(struct world *w, unsigned destination)
{
    struct world_mail m = small;
    char recipient[32];

    (void)snprintf(recipient, sizeof(recipient), "a@d%u.example", destination);
    m.recipients[0] = recipient;
    world_accept(w, &m);
}

static void
test_flow(void **state)
{
    struct world *w = *state;

    /*
     * No agent: ten are active, ten may wait, then it is time to be slower.
     * Each goes elsewhere: what waits for a destination of its own is no reason.
     */
    for (unsigned i = 0; i < 20; i++)
        submit_to(w, i);
    look(w);
    assert_int_equal(w->pressure, PRESSURE_NONE);
    submit_to(w, 20);
    look(w);
    assert_int_equal(w->pressure, PRESSURE_SLOW);
    assert_int_equal(w->answered_temp, 0);
    /* Each change is told once. */
    look(w);
    assert_int_equal(w->pressures, 1);
    agent_up(&w->q, ROLE_SMTP, w);
    world_settle(w);
    deliver_all(w);
    look(w);
    assert_int_equal(w->pressure, PRESSURE_NONE);
    assert_int_equal(w->pressures, 2);
    world_assert_empty(w);
}

/* A full disk refuses fresh mail, not what takes the place of other mail. */
static void
test_settling(void **state)
{
    struct world *w = *state;
    struct world_mail notice = {
        .sender = "",
        .recipients = { "s@example.org" },
        .body = 1000,
    };
    static const uint32_t first = 0;
    struct errand *e;

    agent_up(&w->q, ROLE_SMTP, w);
    world_accept(w, &small);
    w->no_room = 1;
    e = world_errand(w, 0);
    notice.settles = &e->attempt;
    notice.indexes = &first;
    notice.index_count = 1;
    world_accept(w, &small);
    assert_int_equal(w->answered_temp, 1);
    world_accept(w, &notice);
    assert_int_equal(w->answered_temp, 1);
    assert_int_equal(w->answered_ok, 2);
    w->no_room = 0;
    deliver_all(w);
    world_assert_empty(w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_disk, open_world, world_teardown),
        cmocka_unit_test_setup_teardown(test_memory, open_wide, world_teardown),
        cmocka_unit_test_setup_teardown(test_flow, open_world, world_teardown),
        cmocka_unit_test_setup_teardown(test_settling, open_world,
            world_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
