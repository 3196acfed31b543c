#include "lib/mail/user_access.h"

#include "lib/base/mem.h"
#include "lib/config/config.h"
#include "lib/io/offload.h"
#include "lib/table/table.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>

enum { ENTRY_MAX = 65536 };

struct question {
    uid_t uid;
    bool found;
    char name[USER_NAME_MAX];
};

/* NSS may ask the network. */
static void
ask_name(void *arg)
{
    struct question *q = arg;
    char *scratch = mem_alloc(ENTRY_MAX);
    struct passwd entry, *found = NULL;

    q->found = getpwuid_r(q->uid, &entry, scratch, ENTRY_MAX, &found) == 0 &&
        found != NULL;
    if (q->found)
        (void)snprintf(q->name, sizeof(q->name), "%s", found->pw_name);
    mem_free(scratch);
}

bool
user_name(uid_t uid, char name[USER_NAME_MAX])
{
    struct question q = { .uid = uid };

    offload(ask_name, &q);
    memcpy(name, q.name, USER_NAME_MAX);
    return q.found;
}

static enum result
find(const struct config *config, const char *list, const char *name, uid_t uid,
    const char *what, struct why *why)
{
    struct match_list *allowed;
    enum table_status status;
    enum result res;

    res = match_list_open(list, MATCH_STRING, false, config, &allowed, why);
    if (res != RESULT_OK)
        return res;
    status = match_list_find(allowed, slice_of(name), why);
    match_list_close(allowed);
    switch (status) {
    case TABLE_FOUND:
        return RESULT_OK;
    case TABLE_ERROR:
        return RESULT_TEMPFAIL;
    case TABLE_NOT_FOUND:
        break;
    }
    return why_perm(why, "5.7.1", "User %s(%ju) is not allowed to %s", name,
        (uintmax_t)uid, what);
}

enum result
user_access_check(const struct config *config, const char *list, uid_t uid,
    const char *what, struct why *why)
{
    char name[USER_NAME_MAX];

    /* The default, so the common case: nobody has to be looked up. */
    if (uid == 0 || slice_eq_text(slice_of(list), "static:anyone"))
        return RESULT_OK;
    if (!user_name(uid, name))
        (void)snprintf(name, sizeof(name), "unknown");
    if (slice_eq_text(slice_of(name), config->mail_owner))
        return RESULT_OK;
    return find(config, list, name, uid, what, why);
}
