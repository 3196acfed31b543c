/*
 * The cleaner moves each record of a message just before it is read: it is read
 * where it is now, and nothing comes of it.
 */
#include "tests/unit/kept_log.h"
#include "tests/unit/qmgr_world.h"

static const char main_cf[] = "minimal_backoff_time = 60s\n"
                              "queue_run_delay = 60s\n";

enum { RCPTS = 1000 };

/* A record is moved twice at most: for its head and for its content. */
static void
move_it(struct world *w, const struct disk_job *j)
{
    struct stored *s = world_stored(w, &j->place);

    if (s == NULL)
        return;
    if (s->moves == 0 || (s->moves == 1 && j->task == DISK_READ))
        world_move(w, s);
}

static unsigned
moves(const struct world *w, enum record_type type)
{
    unsigned n = 0;

    list_foreach (it, &w->log) {
        const struct stored *s = LIST_ENTRY(it, struct stored, link);

        if (s->type == type)
            n += s->moves;
    }
    return n;
}

static int
open_world(void **state)
{
    struct world *w = world_new(main_cf, world_master_cf);

    logged[0] = '\0';
    log_set_sink(keep_log, NULL, NULL);
    agent_up(&w->q, ROLE_SMTP, w);
    *state = w;
    return 0;
}

static int
close_world(void **state)
{
    world_free(*state);
    log_set_sink(world_no_log, NULL, NULL);
    return 0;
}

/* Killed, and started with a cleaner at work. */
static void
start_again(struct world *w)
{
    world_crash(w);
    w->before_read = move_it;
    world_start(w);
    agent_up(&w->q, ROLE_SMTP, w);
    world_settle(w);
}

static size_t
deliver_all(struct world *w)
{
    size_t recipients = 0;

    for (struct errand *e; (e = world_errand(w, 0)) != NULL;) {
        recipients += e->count;
        world_finish(w, e, OUTCOME_SENT);
    }
    assert_null(strstr(logged, "cannot"));
    return recipients;
}

static void
test_message(void **state)
{
    static const struct world_mail mail = {
        .sender = "s@example.org",
        .recipients = { "a@one.example", "b@two.example" },
        .body = 100,
    };
    struct world *w = *state;

    (void)world_accept(w, &mail);
    world_finish(w, world_errand(w, 0), OUTCOME_SENT);
    world_finish(w, world_errand(w, 0), OUTCOME_DEFERRED);
    start_again(w);
    world_pass_ms(w, 120 * 1000);
    assert_int_equal(moves(w, RECORD_MESSAGE), 2);
    assert_int_equal(moves(w, RECORD_STATUS), 1);
    assert_int_equal(world_only_errand(w)->body_len, 100);
    assert_int_equal(deliver_all(w), 1);
    world_assert_empty(w);
}

/* Its recipients are read in several parts. */
static void
test_list(void **state)
{
    struct world *w = *state;

    world_submit_list(w, world_lease(w), RCPTS, 3);
    world_settle(w);
    start_again(w);
    assert_int_equal(deliver_all(w), RCPTS);
    assert_int_equal(moves(w, RECORD_MESSAGE), 2);
    world_assert_empty(w);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
    const struct CMUnitTest tests[] = { T(test_message), T(test_list) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
