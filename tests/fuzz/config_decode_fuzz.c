#include "lib/config/config.h"
#include "lib/config/parameter.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What decodes is complete, and encodes to what decodes to the same. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = { (const char *)data, size };
    struct config_set *one = NULL, *two = NULL;
    struct why why = { 0 };
    struct buf octets;

    if (config_decode(in, &one, &why) != RESULT_OK) {
        assert(why.text[0] != '\0');
        return 0;
    }
    for (size_t i = 0; i < parameter_count(); i++)
        assert(config_get(config_main(one), parameter_at(i)->name) != NULL);
    buf_init(&octets, 64 << 20);
    config_encode(one, &octets);
    assert(config_decode(buf_slice(&octets), &two, &why) == RESULT_OK);
    assert(config_service_count(one) == config_service_count(two));
    buf_fini(&octets);
    config_drop(one);
    config_drop(two);
    return 0;
}
