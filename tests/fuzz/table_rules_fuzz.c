/*
 * Rules of cidr:, regexp: and pcre: from a file of any octets: the first octet
 * chooses the type, the last line is the key.
 */
#include "lib/base/log.h"
#include "tests/fuzz/table_file.h"

#include <sys/mman.h>

static void
no_log(void *context, enum log_level level, const char *tag, struct slice line)
{
    (void)context;
    (void)level;
    (void)tag;
    (void)line;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const types[] = { "cidr", "regexp", "pcre" };
    const char *octets = (const char *)data;
    struct slice rules, key;
    struct table *table;
    struct buf value;
    struct why why;
    char *spec;
    int fd;

    /* glibc's regexp compiler takes memory as it likes: short ones only. */
    if (size < 2 || size > 1000)
        return 0;
    log_set_sink(no_log, NULL, NULL);
    rules = (struct slice){ octets + 1, size - 1 };
    key = slice_skip(rules, slice_rfind(rules, '\n') + 1);
    fd = memfd_create("rules", MFD_CLOEXEC);
    if (fd < 0 || write(fd, rules.ptr, rules.len) != (ssize_t)rules.len)
        abort();
    spec = mem_format("%s:/proc/self/fd/%d", types[data[0] % 3], fd);
    if (table_open(slice_of(spec), table_file_config(), &table, &why) ==
        RESULT_OK) {
        buf_init(&value, 1 << 20);
        assert(table_find(table, key, &value, &why) <= TABLE_ERROR);
        assert(table_find(table, SLICE_LIT("192.0.2.1"), &value, &why) <=
            TABLE_ERROR);
        buf_fini(&value);
        table_close(table);
    }
    mem_free(spec);
    close(fd);
    return 0;
}
