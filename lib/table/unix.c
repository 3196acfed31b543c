/*
 * unix - the system's users and groups: unix:passwd.byname, unix:group.byname.
 * The value is the line as /etc/passwd or /etc/group has it. NSS may ask the
 * network, so it is asked on another thread.
 */
#include "lib/base/mem.h"
#include "lib/io/offload.h"
#include "lib/table/table_type.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>

enum { NSS_MAX = 1 << 20 }; /* octets of one entry: large groups */

struct question {
    const char *name;
    struct buf line; /* the answer */
    int error;       /* 0: answered */
};

typedef void (*ask_fn)(void *question);

/* Calls get until its scratch is large enough. */
static int
with_scratch(struct question *q, int (*get)(struct question *, char *, size_t))
{
    int error = ERANGE;

    for (size_t size = 4096; error == ERANGE && size <= NSS_MAX; size *= 4) {
        char *scratch = mem_alloc(size);

        error = get(q, scratch, size);
        mem_free(scratch);
    }
    /* What libc says of names that are not there differs: passwd(3). */
    if (error == ENOENT || error == ESRCH || error == EBADF || error == EPERM)
        error = 0;
    return error;
}

static int
get_user(struct question *q, char *scratch, size_t size)
{
    struct passwd entry, *found;
    int error = getpwnam_r(q->name, &entry, scratch, size, &found);

    if (error == 0 && found != NULL)
        buf_add_format(&q->line, "%s:%s:%u:%u:%s:%s:%s", found->pw_name,
            found->pw_passwd, found->pw_uid, found->pw_gid, found->pw_gecos,
            found->pw_dir, found->pw_shell);
    return error;
}

static int
get_group(struct question *q, char *scratch, size_t size)
{
    struct group entry, *found;
    int error = getgrnam_r(q->name, &entry, scratch, size, &found);

    if (error != 0 || found == NULL)
        return error;
    buf_add_format(&q->line, "%s:%s:%u:", found->gr_name, found->gr_passwd,
        found->gr_gid);
    for (char **m = found->gr_mem; *m != NULL; m++) {
        if (m != found->gr_mem)
            buf_add_octet(&q->line, ',');
        buf_add_text(&q->line, *m);
    }
    return 0;
}

static void
ask_user(void *arg)
{
    struct question *q = arg;

    q->error = with_scratch(q, get_user);
}

static void
ask_group(void *arg)
{
    struct question *q = arg;

    q->error = with_scratch(q, get_group);
}

static ask_fn
ask_of(const char *map)
{
    if (strcmp(map, "passwd.byname") == 0)
        return ask_user;
    if (strcmp(map, "group.byname") == 0)
        return ask_group;
    return NULL;
}

static enum result
unix_open(struct table *t, const struct config *config, struct why *why)
{
    (void)config;
    if (ask_of(t->name) == NULL)
        return why_perm(why, "5.3.5", "unknown table: %s", t->spec);
    return RESULT_OK;
}

static enum table_status
unix_find(struct table *t, struct slice key, struct buf *value, struct why *why)
{
    struct question q = { 0 };
    char *name;
    enum table_status status = TABLE_NOT_FOUND;

    /* libc would take what stands in front of the NUL. */
    if (key.len == 0 || memchr(key.ptr, '\0', key.len) != NULL)
        return TABLE_NOT_FOUND;
    name = mem_text_of(key);
    q.name = name;
    buf_init(&q.line, NSS_MAX);
    offload(ask_of(t->name), &q);
    if (q.error != 0) {
        errno = q.error;
        (void)why_errno(why, "%s: lookup of \"%s\"", t->spec, name);
        status = TABLE_ERROR;
    } else if (q.line.len > 0) {
        buf_add(value, buf_slice(&q.line));
        status = TABLE_FOUND;
    }
    buf_fini(&q.line);
    mem_free(name);
    return status;
}

const struct table_type table_type_unix = {
    .name = "unix",
    .open = unix_open,
    .find = unix_find,
};
