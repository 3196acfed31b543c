/* Names of clients: asked once for all who ask at a time, kept for a while. */
#include "lookup/clients.h"

#include "tests/unit/fibers.h"

#include <stdio.h>

static unsigned asked, answered;
static int64_t answer_at;

static void
ask(const struct sock_addr *addr, struct client_name *name)
{
    char text[SOCK_TEXT_MAX];

    asked++;
    if (answer_at > 0)
        (void)fiber_sleep_until(answer_at);
    *name = (struct client_name){ CLIENT_NAME_OK, CLIENT_NAME_OK, "", "" };
    snprintf(name->name, sizeof(name->name), "n%s", sock_addr_text(addr, text));
}

struct question {
    struct clients *c;
    const char *addr;
    uint16_t port;
    int64_t deadline;
    const char *want;
};

static void
find(void *arg)
{
    const struct question *q = arg;
    struct sock_addr addr;
    struct client_name name;

    if (!sock_addr_parse(slice_of(q->addr), q->port, &addr))
        return;
    clients_find(q->c, &addr, q->deadline, &name);
    if (strcmp(name.name, q->want) == 0)
        answered++;
    else
        note(name.name);
}

static void
test_together_and_again(void **state)
{
    struct question q = { clients_new(ask), "192.0.2.1", 1000, NOW + 100,
        "n192.0.2.1" };
    struct question other = { q.c, "2001:db8::1", 1, NOW + 100,
        "n2001:db8::1" };

    (void)state;
    asked = answered = 0;
    answer_at = NOW + 50;
    for (int i = 0; i < 10; i++)
        spawn(find, &q);
    spawn(find, &other);
    settle();
    assert_int_equal(asked, 2);
    assert_int_equal(answered, 0);
    advance(50);
    assert_string_equal(notes, "");
    assert_int_equal(answered, 11);
    /* Another port is the same client. */
    answer_at = 0;
    q.port = 2000;
    spawn(find, &q);
    settle();
    assert_int_equal(asked, 2);
    assert_int_equal(answered, 12);
    advance(CLIENTS_KEEP_MS);
    spawn(find, &q);
    settle();
    assert_int_equal(asked, 3);
    assert_int_equal(answered, 13);
    clients_free(q.c);
}

static void
test_late_answer(void **state)
{
    struct question first = { clients_new(ask), "192.0.2.1", 1, NOW + 1000,
        "n192.0.2.1" };
    struct question second = { first.c, "192.0.2.1", 1, NOW + 10, "unknown" };

    (void)state;
    asked = answered = 0;
    answer_at = NOW + 500;
    spawn(find, &first);
    spawn(find, &second);
    settle();
    advance(10);
    assert_int_equal(answered, 1);
    advance(490);
    assert_string_equal(notes, "");
    assert_int_equal(answered, 2);
    clients_free(first.c);
}

/* However many clients there are, few are asked for and few are kept. */
static void
test_bounds(void **state)
{
    static struct question q[CLIENTS_ASKING_MAX + 10];
    static char text[CLIENTS_ASKING_MAX + 10][2][32];
    struct clients *c = clients_new(ask);
    unsigned n = sizeof(q) / sizeof(q[0]);

    (void)state;
    asked = answered = 0;
    answer_at = NOW + 50;
    for (unsigned i = 0; i < n; i++) {
        snprintf(text[i][0], 32, "10.0.%u.%u", i >> 8, i & 255);
        snprintf(text[i][1], 32, "n10.0.%u.%u", i >> 8, i & 255);
        q[i] = (struct question){ c, text[i][0], 1, NOW + 100,
            i < CLIENTS_ASKING_MAX ? text[i][1] : "unknown" };
        spawn(find, &q[i]);
    }
    settle();
    assert_int_equal(asked, CLIENTS_ASKING_MAX);
    assert_int_equal(answered, n - CLIENTS_ASKING_MAX);
    advance(50);
    assert_string_equal(notes, "");
    assert_int_equal(answered, n);
    clients_free(c);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        FIBER_TEST(test_together_and_again),
        FIBER_TEST(test_late_answer),
        FIBER_TEST(test_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
