#include "lib/base/crc32c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* RFC 3720 appendix B.4. */
static void
test_rfc(void **state)
{
    unsigned char octets[32];

    (void)state;
    memset(octets, 0, sizeof(octets));
    assert_int_equal(crc32c(0, octets, sizeof(octets)), 0x8a9136aa);
    memset(octets, 0xff, sizeof(octets));
    assert_int_equal(crc32c(0, octets, sizeof(octets)), 0x62a8ab43);
    for (unsigned i = 0; i < sizeof(octets); i++)
        octets[i] = (unsigned char)i;
    assert_int_equal(crc32c(0, octets, sizeof(octets)), 0x46dd794e);
    for (unsigned i = 0; i < sizeof(octets); i++)
        octets[i] = (unsigned char)(31 - i);
    assert_int_equal(crc32c(0, octets, sizeof(octets)), 0x113fdb5c);
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(crc32c(0, "", 0), 0);
}

/* Bit by bit, as the definition has it. */
static uint32_t
by_definition(const unsigned char *p, size_t len)
{
    uint32_t crc = UINT32_MAX;

    while (len-- > 0) {
        crc ^= *p++;
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc & 1 ? (crc >> 1) ^ 0x82f63b78 : crc >> 1;
    }
    return ~crc;
}

static void
test_every_length_and_cut(void **state)
{
    unsigned char octets[67];

    (void)state;
    for (unsigned i = 0; i < sizeof(octets); i++)
        octets[i] = (unsigned char)(i * 37 + 11);
    for (size_t len = 0; len <= sizeof(octets); len++) {
        uint32_t want = by_definition(octets, len);

        for (size_t cut = 0; cut <= len; cut++)
            assert_int_equal(crc32c(crc32c(0, octets, cut), octets + cut,
                                 len - cut),
                want);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc),
        cmocka_unit_test(test_every_length_and_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
