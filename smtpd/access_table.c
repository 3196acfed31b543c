#include "smtpd/access_table.h"

#include "lib/base/log.h"
#include "lib/mail/address.h"
#include "smtpd/session.h"

enum {
    VALUE_MAX = 16 * 1024, /* octets of an entry */
    KEY_MAX = 4096,
};

/* What part of a thing a key is: tables of patterns get no parts. */
enum part { PART_WHOLE, PART_ONLY };

static enum verdict
try_key(struct access *a, struct slice key, enum part part)
{
    struct table *table = a->check->table;
    enum verdict verdict = VERDICT_NONE;
    struct buf value;
    struct why why;

    if (part == PART_ONLY && table_matches_whole_keys(table))
        return VERDICT_NONE;
    buf_init(&value, VALUE_MAX);
    switch (table_find(table, key, &value, &why)) {
    case TABLE_FOUND:
        a->found = true;
        verdict = access_act(a, key, slice_of(buf_text(&value)));
        break;
    case TABLE_NOT_FOUND:
        break;
    case TABLE_ERROR:
        log_write(LOG_LEVEL_WARNING, a->e->s->profile->tag,
            "%s: table lookup problem: %s", table_name(table), why.text);
        a->found = true;
        verdict = access_act(a, key,
            SLICE_LIT("451 4.3.5 Server configuration error"));
        break;
    }
    buf_fini(&value);
    return verdict;
}

enum verdict
access_key(struct access *a, struct slice key)
{
    return try_key(a, key, PART_WHOLE);
}

/* "a.b.c" -> "b.c", or ".b.c" and ".c" where parents begin with a dot. */
static struct slice
parent_of(const struct access *a, struct slice name)
{
    bool dotted = !a->e->s->profile->access_parents_match;
    struct slice from = slice_skip(name, name.len > 0 && name.ptr[0] == '.');
    size_t dot = slice_find(from, '.');

    if (dot == from.len)
        return (struct slice){ NULL, 0 };
    return slice_skip(from, dotted ? dot : dot + 1);
}

static enum verdict
domain_from(struct access *a, struct slice name, enum part part)
{
    while (name.len > 0) {
        enum verdict verdict = try_key(a, name, part);

        if (a->found)
            return verdict;
        part = PART_ONLY;
        name = parent_of(a, name);
    }
    return VERDICT_NONE;
}

enum verdict
access_domain(struct access *a, struct slice name)
{
    return domain_from(a, slice_head(name, KEY_MAX), PART_WHOLE);
}

enum verdict
access_address(struct access *a, struct slice address)
{
    char separator = slice_find(address, ':') < address.len ? ':' : '.';
    enum part part = PART_WHOLE;

    while (address.len > 0) {
        enum verdict verdict = try_key(a, address, part);
        size_t last = slice_rfind(address, separator);

        if (a->found)
            return verdict;
        part = PART_ONLY;
        address = slice_head(address, last == address.len ? 0 : last);
    }
    return VERDICT_NONE;
}

/* before + after, as one key */
static enum verdict
try_joined(struct access *a, struct slice before, struct slice after)
{
    enum verdict verdict = VERDICT_NONE;
    struct buf key;

    buf_init(&key, KEY_MAX);
    buf_add(&key, before);
    buf_add(&key, after);
    if (!buf_failed(&key))
        verdict = try_key(a, buf_slice(&key), PART_ONLY);
    buf_fini(&key);
    return verdict;
}

static enum verdict
mail_parts(struct access *a, struct slice address)
{
    const struct config *config = a->e->s->config;
    struct slice local, domain, user, extension;
    bool extended;
    enum verdict verdict = try_key(a, address, PART_WHOLE);

    if (a->found || !address_split(address, &local, &domain))
        return verdict;
    extended = address_extension(config, local, &user, &extension);
    if (extended)
        verdict = try_joined(a, user, slice_skip(address, local.len));
    if (!a->found)
        verdict = domain_from(a, domain, PART_ONLY);
    if (!a->found)
        verdict = try_joined(a, local, SLICE_LIT("@"));
    if (!a->found && extended)
        verdict = try_joined(a, user, SLICE_LIT("@"));
    return verdict;
}

/* Who asks to be passed on through us gets no permission from a table. */
enum verdict
access_mail(struct access *a, struct slice address, bool routed)
{
    enum verdict verdict = mail_parts(a, address);

    if (verdict == VERDICT_PERMIT && routed && !a->e->s->mail.actions.discard &&
        a->subject.class == SUBJECT_RECIPIENT &&
        !a->e->s->config->allow_untrusted_routing)
        return VERDICT_NONE;
    return verdict;
}

enum verdict
access_allow(struct access *a, enum verdict verdict)
{
    struct session *s = a->e->s;

    if (verdict != VERDICT_PERMIT || s->mail.actions.discard ||
        (a->check->what->flags & RESTRICTION_NO_PERMIT) == 0)
        return verdict;
    log_write(LOG_LEVEL_WARNING, s->profile->tag,
        "restriction %s returns OK for " SLICE_FMT, a->check->what->name,
        SLICE_ARG(a->subject.text));
    log_write(LOG_LEVEL_WARNING, s->profile->tag,
        "this is not allowed for security reasons");
    log_write(LOG_LEVEL_WARNING, s->profile->tag,
        "use DUNNO instead of OK if you want to make an exception");
    return evaluation_fail_config(a->e);
}
