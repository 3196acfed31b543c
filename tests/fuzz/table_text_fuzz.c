#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/config/config.h"
#include "lib/config/lines.h"
#include "lib/table/net.h"
#include "lib/table/table.h"
#include "lib/table/text.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { KEY_MAX = 1 << 20 };

static void
no_log(void *context, enum log_level level, const char *tag, struct slice line)
{
    (void)context;
    (void)level;
    (void)tag;
    (void)line;
}

static bool
is_inside(struct slice part, struct slice whole)
{
    return part.ptr >= whole.ptr &&
        part.ptr + part.len <= whole.ptr + whole.len;
}

static void
read_line(struct slice line, struct buf *name)
{
    struct slice key, value;
    const char *problem = NULL;
    struct net net;

    if (text_split_pair(line, &key, &value, &problem)) {
        assert(key.len > 0 && value.len > 0);
        assert(is_inside(key, line) && is_inside(value, line));
        assert(key.ptr + key.len < value.ptr);
    } else {
        assert(problem != NULL);
    }
    if (text_split_alias(line, name, &value, &problem)) {
        assert(name->len > 0 && name->len < line.len);
        assert(value.len > 0 && is_inside(value, line));
    }
    if (text_split_assignment(line, &key, &value))
        assert(key.len > 0 && is_inside(key, line) && is_inside(value, line));
    if (net_parse(line, &net) == NET_OK)
        assert(net.bits <= net.base.size * 8);
}

/* An inline: table that opens has entries, and each can be found. */
static bool
find_again(void *context, struct slice key, struct slice value)
{
    struct buf found;
    struct why why;

    buf_init(&found, KEY_MAX);
    if (key.len <= TABLE_KEY_MAX) {
        assert(table_find(context, key, &found, &why) == TABLE_FOUND);
        assert(slice_eq(buf_slice(&found), value));
    }
    buf_fini(&found);
    return true;
}

static void
read_inline(struct slice text)
{
    char *spec = mem_format("inline:{" SLICE_FMT "}", SLICE_ARG(text));
    static struct config_set *set;
    struct table *t;
    struct why why;

    if (set == NULL &&
        config_from_text("myhostname = a.b\n", "", &set, &why) != RESULT_OK)
        assert(0);
    if (table_open(slice_of(spec), config_main(set), &t, &why) == RESULT_OK) {
        assert(table_walk(t, find_again, t, &why) == TABLE_FOUND);
        table_close(t);
    }
    mem_free(spec);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = { (const char *)data, size }, line;
    struct lines lines;
    struct buf name;

    log_set_sink(no_log, NULL, NULL);
    buf_init(&name, KEY_MAX);
    lines_init(&lines, in);
    while (lines_next(&lines, &line))
        read_line(line, &name);
    lines_fini(&lines);
    buf_fini(&name);
    read_inline(in);
    return 0;
}
