#include "lib/base/siphash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

/* The key 00 01 .. 0f and the octets 00 01 ..., as in the authors' vectors. */
static const struct {
    size_t len;
    uint64_t want;
} vectors[] = {
    { 0, 0x726fdb47dd0e0e31 },
    { 1, 0x74f839c593dc67fd },
    { 7, 0xab0200f58b01d137 },
    { 8, 0x93f5f5799a932462 },
    { 15, 0xa129ca6149be45e5 },
    { 63, 0x958a324ceb064572 },
};

static void
test_vectors(void **state)
{
    unsigned char key[SIPHASH_KEY_SIZE];
    char octets[64];

    (void)state;
    for (unsigned i = 0; i < sizeof(key); i++)
        key[i] = (unsigned char)i;
    for (unsigned i = 0; i < sizeof(octets); i++)
        octets[i] = (char)i;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
        assert_true(siphash(key, (struct slice){ octets, vectors[i].len }) ==
            vectors[i].want);
}

int
main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_vectors) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
