#include "lib/mail/login_sender.h"

#include "lib/config/config.h"
#include "lib/mail/address.h"
#include "lib/mail/user_access.h"
#include "lib/table/table.h"

#include <stdio.h>

enum { PATTERNS_MAX = 64 * 1024 };

/* The address that patterns are compared with: without its extension. */
struct subject {
    struct slice local, domain; /* of the null sender both are empty */
    bool has_domain;
};

static struct subject
subject_of(const struct config *config, struct slice sender)
{
    struct subject s = { .local = sender };
    struct slice user, extension;

    s.has_domain = address_split(sender, &s.local, &s.domain);
    if (address_extension(config, s.local, &user, &extension))
        s.local = user;
    return s;
}

static bool
is_pattern(const struct subject *s, struct slice pattern)
{
    struct slice local, domain;
    bool has_domain = address_split(pattern, &local, &domain);

    if (has_domain != s->has_domain ||
        (has_domain && !slice_eq_nocase(domain, s->domain)))
        return false;
    return (has_domain && local.len == 0) || slice_eq_nocase(local, s->local);
}

static bool
is_allowed(const struct config *config, struct slice sender,
    struct slice patterns)
{
    const char *null = config->empty_address_local_login_sender_maps_lookup_key;
    struct subject subject = subject_of(config, sender);
    struct slice pattern;

    while (slice_word(&patterns, ", \t\r\n", &pattern)) {
        if (slice_eq_text(pattern, "*"))
            return true;
        if (sender.len == 0 ? slice_eq_text(pattern, null)
                            : is_pattern(&subject, pattern))
            return true;
    }
    return false;
}

static enum table_status
find_patterns(const struct config *config, struct slice login,
    struct buf *patterns, struct why *why)
{
    enum table_status status = TABLE_ERROR;
    struct table_list *maps = NULL;

    if (table_list_open(config->local_login_sender_maps, config, &maps, why) ==
        RESULT_OK)
        status = table_list_find(maps, login, patterns, why);
    table_list_close(maps);
    return status;
}

enum result
login_sender_check(const struct config *config, uid_t uid, struct slice sender,
    struct why *why)
{
    char login[USER_NAME_MAX];
    enum table_status status;
    struct buf patterns;
    bool allowed;

    /* The default, so the common case: nobody has to be looked up. */
    if (slice_eq_text(slice_of(config->local_login_sender_maps), "static:*"))
        return RESULT_OK;
    if (!user_name(uid, login))
        (void)snprintf(login, sizeof(login), "uid:%ju", (uintmax_t)uid);
    buf_init(&patterns, PATTERNS_MAX);
    status = find_patterns(config, slice_of(login), &patterns, why);
    allowed = status == TABLE_FOUND &&
        is_allowed(config, sender, buf_slice(&patterns));
    buf_fini(&patterns);
    if (status == TABLE_ERROR)
        return RESULT_TEMPFAIL;
    if (allowed)
        return RESULT_OK;
    return why_perm(why, "5.7.1",
        "not authorized to use sender='" SLICE_FMT "'", SLICE_ARG(sender));
}
