/*
 * local: users with accounts, and the aliases before them (local(8)).
 */
#include "lib/base/buf.h"
#include "lib/io/offload.h"
#include "lib/mail/address.h"
#include "local/agent.h"
#include "local/alias.h"
#include "local/lock_methods.h"
#include "local/maps.h"
#include "local/workers.h"

#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>

enum { LOCAL_PART_MAX = 512, PASSWD_ROOM = 16384 };

/* An account, as far as a delivery needs it. */
struct account {
    char name[KEEPER_NAME_MAX];
    char home[PATH_MAX];
    enum { ACCOUNT_FOUND, ACCOUNT_UNKNOWN, ACCOUNT_ERROR } status;
    int error;
};

/* NSS may ask a network: on a thread of offload(). */
static void
find_account(void *arg)
{
    struct account *a = arg;
    struct passwd pw, *found = NULL;
    char *room = malloc(PASSWD_ROOM);

    a->status = ACCOUNT_ERROR;
    a->error = room == NULL
        ? ENOMEM
        : getpwnam_r(a->name, &pw, room, PASSWD_ROOM, &found);
    if (found != NULL) {
        int n = snprintf(a->home, sizeof(a->home), "%s", pw.pw_dir);

        a->status = n < 0 || (size_t)n >= sizeof(a->home) ? ACCOUNT_ERROR
                                                          : ACCOUNT_FOUND;
    } else if (a->error == 0 || a->error == ENOENT) {
        a->status = ACCOUNT_UNKNOWN;
    }
    free(room);
}

static enum result
no_such_user(struct slice user, struct why *why)
{
    return why_perm(why, "5.1.1", "unknown user: \"" SLICE_FMT "\"",
        SLICE_ARG(user));
}

static enum result
account_of(struct slice user, struct account *a, struct why *why)
{
    if (user.len == 0 || user.len >= sizeof(a->name) ||
        memchr(user.ptr, '/', user.len) != NULL ||
        memchr(user.ptr, '\0', user.len) != NULL || user.ptr[0] == '.')
        return no_such_user(user, why);
    (void)snprintf(a->name, sizeof(a->name), SLICE_FMT, SLICE_ARG(user));
    offload(find_account, a);
    switch (a->status) {
    case ACCOUNT_FOUND:
        return RESULT_OK;
    case ACCOUNT_UNKNOWN:
        return no_such_user(user, why);
    case ACCOUNT_ERROR:
        break;
    }
    return why_temp(why, "4.3.0", "user database lookup error for \"%s\": %s",
        a->name, strerror(a->error));
}

/*
 * home_mailbox below the home directory, else the user's file in
 * mail_spool_directory, or his Maildir where that ends in '/'.
 */
static enum result
mailbox_path(const struct job *job, const struct account *a,
    struct mailbox_store *s, struct why *why)
{
    const struct config *c = job->config;
    struct slice spool = slice_of(c->mail_spool_directory);
    char name[KEEPER_NAME_MAX + 1];

    if (c->home_mailbox[0] != '\0')
        return job_set_path(job, s, slice_of(a->home),
            slice_of(c->home_mailbox), why);
    (void)snprintf(name, sizeof(name), "%s%s", a->name,
        slice_ends_nocase(spool, SLICE_LIT("/")) ? "/" : "");
    return job_set_path(job, s, spool, slice_of(name), why);
}

/* "\\name" is the mailbox of name: the backslash is not part of its address. */
static struct delivery_recipient
without_backslash(const struct delivery_recipient *rcpt)
{
    struct delivery_recipient plain = *rcpt;

    if (plain.rcpt.address.len > 1 && plain.rcpt.address.ptr[0] == '\\')
        plain.rcpt.address = slice_skip(plain.rcpt.address, 1);
    return plain;
}

static enum result
deliver_to_mailbox(const struct job *job, const struct delivery_recipient *rcpt,
    struct slice user, enum mailbox_kind *kind, struct why *why)
{
    const struct config *c = job->config;
    struct mailbox_store s = { .lock_tries = (uint32_t)c->deliver_lock_attempts,
        .lock_delay_ms = (uint64_t)c->deliver_lock_delay,
        .lock_stale_ms = (uint64_t)c->stale_lock_time,
        .size_limit = (uint64_t)c->mailbox_size_limit };
    const struct delivery_recipient plain = without_backslash(rcpt);
    struct keeper_user as = { .name = "" };
    struct account *account;
    enum result res;

    account = arena_alloc(job->arena, sizeof(*account));
    if (account == NULL)
        return why_temp(why, "4.3.0", "no memory for a delivery");
    res = account_of(user, account, why);
    if (res == RESULT_OK)
        res = mailbox_path(job, account, &s, why);
    if (res == RESULT_OK)
        res = lock_methods_parse(c->mailbox_delivery_lock, &s.locks, why);
    if (res == RESULT_OK)
        res = job_check_loop(job, rcpt, why);
    *kind = s.kind;
    if (res == RESULT_OK && envelope_is_probe(&job->d->envelope))
        return RESULT_OK;
    if (res == RESULT_OK)
        res = job_fill_store(job, &plain, &s, why);
    if (res != RESULT_OK)
        return res;
    memcpy(as.name, account->name, sizeof(as.name));
    res = workers_store(&as, &s, job->deadline_ms, why);
    if (res != RESULT_OK && s.kind == MAILBOX_MAILDIR)
        job_blame(why, "maildir delivery failed: ");
    else if (res != RESULT_OK)
        job_blame(why, "cannot update mailbox " SLICE_FMT " for user %s. ",
            SLICE_ARG(s.path), as.name);
    return res;
}

/* The local part in lower case: names of users and aliases have no other. */
static struct slice
fold(struct arena *arena, struct slice local)
{
    char *text = arena_text(arena, local);

    for (size_t i = 0; text != NULL && i < local.len; i++)
        if (text[i] >= 'A' && text[i] <= 'Z')
            text[i] = (char)(text[i] - 'A' + 'a');
    return (struct slice){ text, text == NULL ? 0 : local.len };
}

/* The whole local part is asked first, then the user without an extension. */
static enum result
find_alias(const struct job *job, struct slice local, struct slice user,
    struct buf *value, struct slice *name, bool *found, struct why *why)
{
    enum result res = alias_find(job, local, value, found, why);

    *name = local;
    if (res == RESULT_OK && !*found && user.len < local.len) {
        *name = user;
        res = alias_find(job, user, value, found, why);
    }
    return res;
}

static void
deliver_name(const struct job *job, const struct delivery_recipient *rcpt,
    struct slice local, struct buf *value, struct rcpt_result *r)
{
    bool literal = local.len > 1 && local.ptr[0] == '\\';
    struct slice user, extension, name;
    enum mailbox_kind kind = MAILBOX_MBOX;
    bool found = false;
    enum result res = RESULT_OK;
    struct why why;

    local = fold(job->arena, literal ? slice_skip(local, 1) : local);
    if (!address_extension(job->config, local, &user, &extension))
        user = local;
    if (!literal)
        res = find_alias(job, local, user, value, &name, &found, &why);
    if (res == RESULT_OK && found) {
        alias_deliver(job, rcpt, name, buf_slice(value), r);
        return;
    }
    if (res == RESULT_OK)
        res = deliver_to_mailbox(job, rcpt, user, &kind, &why);
    if (res == RESULT_OK)
        job_stored(job, r, kind);
    else
        job_failed(job, r, res, &why);
}

void
deliver_to_user(const struct job *job, const struct delivery_recipient *rcpt,
    struct rcpt_result *r)
{
    struct slice local, domain;
    struct buf value;
    struct why why;

    r->relay = job->d->transport;
    (void)address_split(rcpt->rcpt.address, &local, &domain);
    if (local.len == 0 || local.len > LOCAL_PART_MAX) {
        job_failed(job, r, no_such_user(slice_head(local, 100), &why), &why);
        return;
    }
    buf_init(&value, 64 * 1024 * 1024);
    deliver_name(job, rcpt, local, &value, r);
    buf_fini(&value);
}

enum result
user_configure(struct config_set *set, struct why *why)
{
    for (size_t i = 0; i < config_service_count(set); i++) {
        const struct service *s = config_service(set, i);
        uint32_t locks;

        if (strcmp(s->program, "local") == 0 &&
            (maps_check(s->config, s->config->alias_maps, why) != RESULT_OK ||
                lock_methods_parse(s->config->mailbox_delivery_lock, &locks,
                    why) != RESULT_OK))
            return RESULT_PERMFAIL;
    }
    return RESULT_OK;
}
