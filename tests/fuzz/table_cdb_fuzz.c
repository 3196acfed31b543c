/*
 * A cdb file of any octets.
 */
#include "tests/fuzz/table_file.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return table_file_fuzz("cdb", data, size);
}
