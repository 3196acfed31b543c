#include "lib/mail/user_access.h"

#include "lib/base/fields.h"
#include "lib/base/mem.h"
#include "lib/config/config.h"
#include "lib/daemon/daemon.h"
#include "lib/io/offload.h"
#include "lib/table/table.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>

enum { ENTRY_MAX = 65536 };

struct right_asked {
    uint32_t right;
    uint64_t uid;
};

#define OF(name) offsetof(struct right_asked, name)
static const struct field right_fields[] = {
    { ATTR_KIND, FIELD_U32, OF(right), USER_MAY_FLUSH },
    { ATTR_UID, FIELD_U64, OF(uid), UINT32_MAX },
    { 0, FIELD_U32, 0, 0 },
};
#undef OF

static const struct field answer_fields[] = {
    { ATTR_STATUS, FIELD_TEXT, offsetof(struct why, status),
        sizeof(((struct why *)0)->status) },
    { ATTR_TEXT, FIELD_TEXT, offsetof(struct why, text),
        sizeof(((struct why *)0)->text) },
    { 0, FIELD_U32, 0, 0 },
};

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

/* The default, so the common case: nobody has to be looked up. */
static bool
is_open(const char *list, uid_t uid)
{
    return uid == 0 || slice_eq_text(slice_of(list), "static:anyone");
}

enum result
user_access_check(const struct config *config, const char *list, uid_t uid,
    const char *what, struct why *why)
{
    char name[USER_NAME_MAX];

    if (is_open(list, uid))
        return RESULT_OK;
    if (!user_name(uid, name))
        (void)snprintf(name, sizeof(name), "unknown");
    if (slice_eq_text(slice_of(name), config->mail_owner))
        return RESULT_OK;
    return find(config, list, name, uid, what, why);
}

static const char *
list_of(const struct config *config, enum user_right right)
{
    return right == USER_MAY_FLUSH ? config->authorized_flush_users
                                   : config->authorized_mailq_users;
}

enum result
user_access_ask(const struct config *config, enum user_right right, uid_t uid,
    int64_t deadline_ms, struct why *why)
{
    const struct right_asked asked = { right, uid };
    struct why answer = { .text = "" };
    struct msg_in *in;
    struct msg m;
    bool ok;

    if (is_open(list_of(config, right), uid))
        return RESULT_OK;
    msg_init(&m, MESSAGE_USER_ASK);
    fields_encode(right_fields, &asked, &m.body);
    if (daemon_call(ROLE_LOOKUP, &m, true, deadline_ms, &in) != LINK_OK)
        return why_temp(why, "4.3.0", "lookup is not available");
    ok = fields_decode(answer_fields, in->body, &answer);
    msg_in_free(in);
    if (!ok)
        return why_temp(why, "4.3.0", "malformed answer of lookup");
    if (answer.text[0] == '\0')
        return RESULT_OK;
    *why = answer;
    return answer.status[0] == '4' ? RESULT_TEMPFAIL : RESULT_PERMFAIL;
}

void
user_access_answer(const struct config *config, struct request *r)
{
    static const char *const words[] = {
        [USER_MAY_LIST] = "view the mail queue",
        [USER_MAY_FLUSH] = "flush the mail queue",
    };
    struct right_asked asked = { .uid = UINT32_MAX };
    struct why why = { .text = "" };
    struct msg m;

    if (!fields_decode(right_fields, r->in->body, &asked))
        (void)why_perm(&why, "5.3.0", "malformed question");
    else if (user_access_check(config,
                 list_of(config, (enum user_right)asked.right),
                 (uid_t)asked.uid, words[asked.right], &why) == RESULT_OK)
        why.text[0] = '\0';
    msg_init(&m, MESSAGE_USER_ANSWER);
    fields_encode(answer_fields, &why, &m.body);
    request_reply(r, &m);
}
