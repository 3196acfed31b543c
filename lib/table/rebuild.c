#include "lib/table/rebuild.h"

#include "lib/base/base64.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/config/lines.h"
#include "lib/table/table.h"
#include "lib/table/text.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEFAULT_MODE = 0644 };

struct rebuild {
    struct table_writer *writer;
    enum rebuild_source source;
    unsigned flags; /* set of enum rebuild_flag */
    const char *path;
    struct buf key, value; /* scratch */
    struct why *why;
};

void
table_spec_split(struct slice spec, const struct config *config,
    struct slice *type, struct slice *file)
{
    size_t colon = slice_find(spec, ':');

    if (colon == spec.len) {
        *type = slice_of(config->default_database_type);
        *file = spec;
        return;
    }
    *type = slice_head(spec, colon);
    *file = slice_skip(spec, colon + 1);
}

/* The contents of the files that value names, joined by newlines, in base64. */
static bool
read_files(struct rebuild *r, unsigned line, struct slice value)
{
    struct buf contents;
    struct slice name;
    bool ok = true;

    buf_init(&contents, TEXT_FILE_MAX);
    while (ok && config_list_next(&value, &name)) {
        char *path = mem_text_of(name);
        struct stat st;
        struct why why;

        if (contents.len > 0)
            buf_add_octet(&contents, '\n');
        ok = text_read_file(path, &contents, &st, &why) == RESULT_OK;
        if (!ok)
            log_warning("%s, line %u: %s: skipping this entry", r->path, line,
                why.text);
        mem_free(path);
    }
    if (ok)
        base64_encode(buf_slice(&contents), &r->value);
    buf_fini(&contents);
    return ok;
}

/* A line's key and value; false: it is left out. */
static bool
split(struct rebuild *r, unsigned line_number, struct slice line,
    struct slice *key, struct slice *value)
{
    const char *problem;

    if (r->source == REBUILD_POSTALIAS) {
        if (text_split_alias(line, &r->key, value, &problem)) {
            buf_clear(&r->value);
            text_add_alias_value(*value, &r->value);
            *key = buf_slice(&r->key);
            *value = buf_slice(&r->value);
            return true;
        }
        log_warning("%s, line %u: %s", r->path, line_number, problem);
        return false;
    }
    if (!text_take_pair(r->path, line_number, line, key, value))
        return false;
    if (r->flags & REBUILD_FILES) {
        buf_clear(&r->value);
        if (!read_files(r, line_number, *value))
            return false;
        *value = buf_slice(&r->value);
    }
    return true;
}

static enum result
put_line(void *context, unsigned line_number, struct slice line)
{
    struct rebuild *r = context;
    const enum table_put how = r->flags & REBUILD_REPLACE ? TABLE_PUT_REPLACE
                                                          : TABLE_PUT_NEW;
    struct slice key, value;
    bool duplicate;
    enum result res;

    if (!split(r, line_number, line, &key, &value))
        return RESULT_OK;
    res = table_writer_put(r->writer, key, value, how, &duplicate, r->why);
    if (res == RESULT_OK && duplicate && (r->flags & REBUILD_IGNORE) == 0)
        log_warning("%s: duplicate entry: \"" SLICE_FMT "\"",
            table_writer_path(r->writer), SLICE_ARG(key));
    return res;
}

/*
 * What Sendmail and NIS want to find in an alias database: that it is complete,
 * when it was made and where.
 */
static enum result
put_markers(struct rebuild *r, const struct config *config)
{
    char now[32];
    bool duplicate;
    enum result res;

    (void)snprintf(now, sizeof(now), "%010" PRId64, clock_wall_s());
    res = table_writer_put(r->writer, SLICE_LIT("@"), SLICE_LIT("@"),
        TABLE_PUT_REPLACE, &duplicate, r->why);
    if (res == RESULT_OK)
        res = table_writer_put(r->writer, SLICE_LIT("YP_LAST_MODIFIED"),
            slice_of(now), TABLE_PUT_RAW, &duplicate, r->why);
    if (res == RESULT_OK)
        res = table_writer_put(r->writer, SLICE_LIT("YP_MASTER_NAME"),
            slice_of(config->myhostname), TABLE_PUT_RAW, &duplicate, r->why);
    return res;
}

static unsigned
writer_flags(unsigned flags)
{
    unsigned w = 0;

    if (flags & REBUILD_FROM_STDIN)
        w |= TABLE_WRITER_UPDATE;
    if ((flags & REBUILD_NO_FOLD) == 0)
        w |= TABLE_WRITER_FOLD;
    if (flags & REBUILD_NO_NUL)
        w |= TABLE_WRITER_NO_NUL;
    if (flags & REBUILD_NUL)
        w |= TABLE_WRITER_NUL;
    return w;
}

/* The source is read after the lock is held: the last one to read it wins. */
static enum result
write_all(struct rebuild *r, int from, const struct config *config)
{
    struct buf text;
    enum result res;

    buf_init(&text, TEXT_FILE_MAX);
    buf_init(&r->key, LINE_OCTETS_MAX);
    buf_init(&r->value, TEXT_FILE_MAX);
    res = text_read_fd(from, r->path, &text, r->why);
    if (res == RESULT_OK)
        res = text_each_line(r->path, buf_slice(&text), put_line, r);
    if (res == RESULT_OK && r->source == REBUILD_POSTALIAS)
        res = put_markers(r, config);
    buf_fini(&text);
    buf_fini(&r->key);
    buf_fini(&r->value);
    return res;
}

/* As Postfix: the file belongs to whoever owns the source. */
static enum result
become_owner(const struct stat *source, unsigned flags, struct why *why)
{
    if (geteuid() != 0 || source->st_uid == 0 || (flags & REBUILD_KEEP_ROOT))
        return RESULT_OK;
    if (setegid(source->st_gid) < 0 || seteuid(source->st_uid) < 0)
        return why_errno(why, "become the owner of the source file");
    return RESULT_OK;
}

static enum result
become_root_again(uid_t uid, gid_t gid, enum result res, struct why *why)
{
    if (geteuid() != uid && seteuid(uid) < 0)
        return why_errno(why, "get root privileges back");
    if (getegid() != gid && setegid(gid) < 0)
        return why_errno(why, "get root privileges back");
    return res;
}

static enum result
rebuild_from(int from, const char *path, struct slice type,
    enum rebuild_source source, unsigned flags, const struct config *config,
    struct why *why)
{
    struct rebuild r = { .source = source, .flags = flags, .why = why };
    const uid_t uid = geteuid();
    const gid_t gid = getegid();
    mode_t mode = DEFAULT_MODE;
    struct stat st;
    enum result res;

    r.path = flags & REBUILD_FROM_STDIN ? "standard input" : path;
    if (fstat(from, &st) < 0)
        return why_errno(why, "fstat %s", r.path);
    if ((flags & (REBUILD_DEFAULT_MODE | REBUILD_FROM_STDIN)) == 0)
        mode = st.st_mode & 0777;
    if ((flags & REBUILD_FROM_STDIN) == 0) {
        res = become_owner(&st, flags, why);
        if (res != RESULT_OK)
            return res;
    }
    res = table_writer_open(type, path, mode, writer_flags(flags), &r.writer,
        why);
    if (res == RESULT_OK) {
        res = write_all(&r, from, config);
        if (res == RESULT_OK)
            res = table_writer_commit(r.writer, why);
        else
            table_writer_abort(r.writer);
    }
    return become_root_again(uid, gid, res, why);
}

enum result
table_rebuild(struct slice spec, enum rebuild_source source, unsigned flags,
    const struct config *config, struct why *why)
{
    struct slice type, file;
    char *path;
    int from = STDIN_FILENO;
    enum result res;

    table_spec_split(spec, config, &type, &file);
    path = mem_text_of(file);
    if ((flags & REBUILD_FROM_STDIN) == 0)
        from = open(path, O_RDONLY | O_CLOEXEC);
    if (from < 0) {
        res = why_errno(why, "open %s", path);
    } else {
        res = rebuild_from(from, path, type, source, flags, config, why);
        if (from != STDIN_FILENO)
            close(from);
    }
    mem_free(path);
    return res;
}
