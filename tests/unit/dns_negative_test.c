/*
 * For how long a name is known not to be there (RFC 2308): from the packet to
 * who asked.
 */
#include "lib/dns/dns_codec.h"
#include "lookup/wire.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define NAME "\1n\4test\0"
#define ASKED   \
    NAME "\0\1" \
         "\0\1"
/* Its own lifetime, then that of what is not there: two octets of each. */
#define SOA(ttl, minimum)                                              \
    "\4test\0\0\6\0\1\0\0" ttl "\0\26\0\0\0\0\0\1\0\0\0\1\0\0\0\1\0\0" \
    "\0\1\0\0" minimum

static const struct {
    const char *name;
    struct slice packet;
    enum dns_status status;
    uint32_t ttl;
} cases[] = {
    { "the SOA record's minimum",
        SLICE_LIT("\0\1\201\203\0\1\0\0\0\1\0\0" ASKED SOA("\1\54", "\0\74")),
        DNS_NXDOMAIN, 60 },
    { "its own lifetime, if shorter",
        SLICE_LIT("\0\1\201\203\0\1\0\0\0\1\0\0" ASKED SOA("\0\12", "\0\74")),
        DNS_NXDOMAIN, 10 },
    { "no record of the type",
        SLICE_LIT("\0\1\201\200\0\1\0\0\0\1\0\0" ASKED SOA("\1\54", "\0\74")),
        DNS_NODATA, 60 },
    { "no SOA record", SLICE_LIT("\0\1\201\203\0\1\0\0\0\0\0\0" ASKED),
        DNS_NXDOMAIN, 0 },
};

static void
test_negative(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct dns_answer answer, told;
        struct wire_info info;
        struct arena arena;
        struct why why = { .text = "" };
        struct msg m;

        print_message("  %s\n", cases[i].name);
        arena_init(&arena, 1 << 16);
        assert_int_equal(wire_answer(cases[i].packet, SLICE_LIT("n.test"),
                             DNS_A, &arena, &answer, &info),
            cases[i].status);
        assert_int_equal(answer.negative_ttl, cases[i].ttl);
        msg_init(&m, MESSAGE_DNS_ANSWER);
        dns_answer_encode(&answer, &why, &m);
        assert_int_equal(dns_answer_decode(buf_slice(&m.body), &arena, &told,
                             &why),
            cases[i].status);
        assert_int_equal(told.negative_ttl, cases[i].ttl);
        msg_fini(&m);
        arena_clear(&arena);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_negative) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
