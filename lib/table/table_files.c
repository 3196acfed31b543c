#include "lib/table/table_files.h"

#include "lib/base/mem.h"
#include "lib/base/tlv.h"
#include "lib/table/named.h"
#include "lib/table/table_type.h"
#include "lib/table/text.h"

#include <sys/mman.h>
#include <sys/stat.h>

/* In the memory file: one group for each file. */
enum tag { TAG_FILE = 1, TAG_PATH = 1, TAG_TEXT = 2 };

static void
collect(void *context, struct slice spec)
{
    struct buf *to = context, text, group;
    size_t colon = slice_find(spec, ':');
    const struct table_type *type = table_type_find(slice_head(spec, colon));
    char *path = mem_text_of(slice_skip(spec, colon + 1));
    struct stat st;
    struct why why;

    buf_init_secret(&text, TABLE_FILE_MAX);
    buf_init_secret(&group, TABLE_FILE_MAX * 2);
    if (type != NULL && (type->flags & TABLE_HAS_FILE) != 0 && path[0] == '/' &&
        text_read_file(path, &text, &st, &why) == RESULT_OK) {
        tlv_put(&group, TAG_PATH, slice_of(path));
        tlv_put(&group, TAG_TEXT, buf_slice(&text));
        tlv_put(to, TAG_FILE, buf_slice(&group));
    }
    buf_fini(&text);
    buf_fini(&group);
    mem_free(path);
}

void
table_files_collect(const struct config_set *set, struct buf *to)
{
    struct named_tables named;

    named_tables_init(&named, set);
    named_tables_each(&named, collect, to);
    named_tables_fini(&named);
}

/* lookup's: mapped, sealed by master. */
static struct slice taken;

static void
unmap(struct slice files)
{
    if (files.ptr != NULL)
        (void)munmap((void *)(uintptr_t)files.ptr, files.len);
}

enum result
table_files_take(int fd, struct slice *before, struct why *why)
{
    struct stat st;
    void *at = NULL;

    if (fd >= 0) {
        if (fstat(fd, &st) < 0 || st.st_size > TABLE_FILES_MAX)
            return why_errno(why, "files of tables");
        at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (at == MAP_FAILED)
            return why_errno(why, "map the files of tables");
    }
    *before = taken;
    taken = (struct slice){ at, at == NULL ? 0 : (size_t)st.st_size };
    return RESULT_OK;
}

void
table_files_accept(struct slice before)
{
    unmap(before);
}

void
table_files_refuse(struct slice before)
{
    unmap(taken);
    taken = before;
}

static bool
find_taken(const char *path, struct slice *text)
{
    struct slice rest = taken;
    struct tlv file, part;

    while (tlv_next(&rest, &file)) {
        struct slice parts = file.value;
        bool hit = false;

        while (tlv_next(&parts, &part)) {
            if (part.tag == TAG_PATH)
                hit = slice_eq_text(part.value, path);
            else if (hit && part.tag == TAG_TEXT) {
                *text = part.value;
                return true;
            }
        }
    }
    return false;
}

enum result
table_files_read(const char *path, struct buf *to, struct why *why)
{
    struct slice text;
    struct stat st;

    if (!find_taken(path, &text))
        return text_read_file(path, to, &st, why);
    buf_add(to, text);
    return buf_failed(to)
        ? why_perm(why, "5.3.5", "%s: file is too large", path)
        : RESULT_OK;
}
