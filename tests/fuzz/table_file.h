/*
 * table_file - a table's file of any octets: asked, listed. For the fuzz targets
 * of the types that read their files themselves.
 */
#pragma once

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

static inline const struct config *
table_file_config(void)
{
    static struct config_set *set;
    struct why why;

    if (set == NULL &&
        config_from_text("myhostname = a.test\nalias_maps =\n", "", &set,
            &why) != RESULT_OK)
        abort();
    return config_main(set);
}

static inline bool
table_file_see(void *context, struct slice key, struct slice value)
{
    const size_t *most = context;

    assert(key.len <= *most && value.len <= *most);
    return true;
}

static inline void
table_file_ask(const char *spec, size_t size)
{
    struct table *table;
    struct buf value;
    struct why why;

    if (table_open(slice_of(spec), table_file_config(), &table, &why) !=
        RESULT_OK)
        return;
    buf_init(&value, 1 << 20);
    assert(table_find(table, SLICE_LIT("ann@example.org"), &value, &why) <=
        TABLE_ERROR);
    assert(value.len <= size);
    assert(table_find(table, SLICE_LIT("@example.net"), &value, &why) <=
        TABLE_ERROR);
    assert(table_walk(table, table_file_see, &size, &why) <= TABLE_ERROR);
    buf_fini(&value);
    table_close(table);
}

static inline int
table_file_fuzz(const char *type, const uint8_t *data, size_t size)
{
    char path[64], file[80], spec[80];
    int fd;

    (void)snprintf(path, sizeof(path), "/tmp/postern-fuzz-%ld", (long)getpid());
    (void)snprintf(file, sizeof(file), "%s.%s", path, type);
    (void)snprintf(spec, sizeof(spec), "%s:%s", type, path);
    fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    close(fd);
    table_file_ask(spec, size);
    (void)unlink(file);
    return 0;
}
