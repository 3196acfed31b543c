#include "lib/daemon/control.h"

#include "lib/base/tlv.h"
#include "lib/daemon/slots.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static struct msg_in
arrived(const struct msg *m, unsigned fds)
{
    return (struct msg_in){
        .type = m->type,
        .body = buf_slice(&m->body),
        .fds = { -1, -1, -1 },
        .fd_count = fds,
    };
}

static void
test_configure(void **state)
{
    (void)state;
    for (unsigned flags = 0; flags < 4; flags++) {
        struct control_configure in = {
            .length = 70000,
            .index = 3,
            .pool = 8,
            .expected = 12,
            .column = 77,
            .log = LOGSINK_STDOUT,
            .has_log = (flags & 1) != 0,
            .has_slots = (flags & 2) != 0,
        };
        struct control_configure out;
        unsigned fds = 1U + in.has_log + in.has_slots;
        struct msg m;
        struct msg_in a;

        msg_init(&m, MESSAGE_CONFIGURE);
        control_configure_encode(&in, &m);
        a = arrived(&m, fds);
        assert_true(control_configure_decode(&a, &out));
        assert_int_equal(out.length, in.length);
        assert_int_equal(out.index, in.index);
        assert_int_equal(out.pool, in.pool);
        assert_int_equal(out.expected, in.expected);
        assert_int_equal(out.column, in.column);
        assert_int_equal(out.log, in.log);
        assert_int_equal(out.has_log, in.has_log);
        assert_int_equal(out.has_slots, in.has_slots);
        a.fd_count = fds - 1;
        assert_false(control_configure_decode(&a, &out));
        a.fd_count = fds + 1;
        assert_false(control_configure_decode(&a, &out));
        msg_fini(&m);
    }
}

static void
test_control(void **state)
{
    const struct control in = {
        .role = ROLE_BOUNCE,
        .index = 2,
        .row = 9,
        .ms = 5000,
        .name = SLICE_LIT("[::1]:25"),
        .service = SLICE_LIT("smtp/inet"),
    };
    struct control out;
    struct msg m;
    struct msg_in a;

    (void)state;
    msg_init(&m, MESSAGE_LISTEN);
    control_encode(&in, &m);
    a = arrived(&m, 0);
    assert_true(control_decode(&a, &out));
    assert_int_equal(out.role, in.role);
    assert_int_equal(out.index, in.index);
    assert_int_equal(out.row, in.row);
    assert_int_equal(out.ms, in.ms);
    assert_true(slice_eq(out.name, in.name));
    assert_true(slice_eq(out.service, in.service));

    /* Cut off anywhere but between attributes it is refused. */
    a.body.len--;
    assert_false(control_decode(&a, &out));
    msg_fini(&m);
}

static const struct {
    const char *name;
    uint32_t tag;
    uint64_t value;
    bool configure, want;
} bounds[] = {
    { "most of a pool", ATTR_INDEX, CONTROL_POOL_MAX, true, true },
    { "index", ATTR_INDEX, CONTROL_POOL_MAX + 1, true, false },
    { "last column", ATTR_SLOT, SLOTS_COLUMNS - 1, true, true },
    { "column", ATTR_SLOT, SLOTS_COLUMNS, true, false },
    { "snapshot", ATTR_LENGTH, CONTROL_SNAPSHOT_MAX + 1, true, false },
    { "log", ATTR_KIND, LOGSINK_STDOUT + 1, true, false },
    { "flags", ATTR_FLAGS, 4, true, false },
    { "unknown attribute", 1000, 5, true, true },

    { "last role", ATTR_ROLE, ROLE_COUNT - 1, false, true },
    { "role", ATTR_ROLE, ROLE_COUNT, false, false },
    { "last row", ATTR_SLOT, SLOTS_ROWS - 1, false, true },
    { "row", ATTR_SLOT, SLOTS_ROWS, false, false },
    { "peer", ATTR_INDEX, UINT64_MAX, false, false },
    { "time", ATTR_LIMIT, (uint64_t)INT32_MAX + 1, false, false },
    { "unknown attribute", 1000, 5, false, true },
};

static void
test_bounds(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
        struct control control;
        struct control_configure configure;
        struct msg m;
        struct msg_in a;

        print_message("  %s\n", bounds[i].name);
        msg_init(&m, bounds[i].configure ? MESSAGE_CONFIGURE : MESSAGE_LINK);
        tlv_put_u64(&m.body, bounds[i].tag, bounds[i].value);
        a = arrived(&m, 1);
        assert_int_equal(bounds[i].configure
                ? control_configure_decode(&a, &configure)
                : control_decode(&a, &control),
            bounds[i].want);
        msg_fini(&m);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_configure),
        cmocka_unit_test(test_control),
        cmocka_unit_test(test_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
