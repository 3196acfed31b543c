/*
 * A cdb file of any octets: asked, listed.
 */
#include "lib/base/mem.h"
#include "lib/config/config.h"
#include "lib/table/table.h"

#include <assert.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct config *
config(void)
{
    static struct config_set *set;
    struct why why;

    if (set == NULL &&
        config_from_text("myhostname = a.test\nalias_maps =\n", "", &set,
            &why) != RESULT_OK)
        abort();
    return config_main(set);
}

static bool
see(void *context, struct slice key, struct slice value)
{
    size_t *left = context;

    assert(key.len + value.len <= *left);
    return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64], file[80], *spec;
    struct table *table;
    struct buf value;
    struct why why;
    size_t left = size;
    int fd;

    (void)snprintf(path, sizeof(path), "/tmp/postern-fuzz-%ld", (long)getpid());
    (void)snprintf(file, sizeof(file), "%s.cdb", path);
    fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    close(fd);
    spec = mem_format("cdb:%s", path);
    if (table_open(slice_of(spec), config(), &table, &why) == RESULT_OK) {
        buf_init(&value, 1 << 20);
        assert(table_find(table, SLICE_LIT("ann@example.org"), &value, &why) <=
            TABLE_ERROR);
        assert(value.len <= size);
        assert(table_find(table, SLICE_LIT("@example.net"), &value, &why) <=
            TABLE_ERROR);
        assert(table_walk(table, see, &left, &why) <= TABLE_ERROR);
        buf_fini(&value);
        table_close(table);
    }
    (void)unlink(file);
    mem_free(spec);
    return 0;
}
