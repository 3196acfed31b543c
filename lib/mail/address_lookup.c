#include "lib/mail/address_lookup.h"

#include "lib/mail/address.h"

enum { KEY_MAX = 4096 }; /* octets: no address that we accept is longer */

/* One search: what is asked, of whom, and where the answer goes. */
struct search {
    struct address_classes *classes;
    struct table_list *list;
    struct slice local, domain, user, extension; /* parts of the address */
    bool has_domain;
    struct slice left; /* extension, once a form without it has matched */
    struct buf *value;
    struct why *why;
};

enum how { WHOLE_KEY, PARTIAL_KEY };

static enum table_status
ask(struct search *s, enum how how, struct slice key)
{
    if (how == WHOLE_KEY)
        return table_list_find(s->list, key, s->value, s->why);
    return table_list_find_partial(s->list, key, s->value, s->why);
}

/* local, tail: first quoted where it has to be, then as it is. */
static enum table_status
ask_address(struct search *s, enum how how, struct slice local, const char *at,
    struct slice domain)
{
    struct buf plain, quoted;
    enum table_status status;

    buf_init(&plain, KEY_MAX);
    buf_init(&quoted, 2 * KEY_MAX);
    /* As an address, so that an '@' in the local part is quoted as well. */
    buf_add(&plain, local);
    buf_add_octet(&plain, '@');
    address_quote(buf_slice(&plain), &quoted);
    buf_truncate(&plain, plain.len - 1);
    buf_truncate(&quoted, quoted.len - 1);
    buf_add_text(&plain, at);
    buf_add_text(&quoted, at);
    buf_add(&plain, domain);
    buf_add(&quoted, domain);

    if (buf_failed(&plain) || buf_failed(&quoted)) {
        status = TABLE_NOT_FOUND;
    } else {
        status = ask(s, how, buf_slice(&quoted));
        if (status == TABLE_NOT_FOUND && plain.len != quoted.len)
            status = ask(s, how, buf_slice(&plain));
    }
    buf_fini(&plain);
    buf_fini(&quoted);
    return status;
}

static enum table_status
ask_full(struct search *s)
{
    return ask_address(s, WHOLE_KEY, s->local, s->has_domain ? "@" : "",
        s->domain);
}

/* The user alone, in front of at and domain; for those with an extension. */
static enum table_status
ask_bare(struct search *s, const char *at, struct slice domain)
{
    enum table_status status;

    if (s->extension.len == 0)
        return TABLE_NOT_FOUND;
    status = ask_address(s, PARTIAL_KEY, s->user, at, domain);
    if (status == TABLE_FOUND)
        s->left = s->extension;
    return status;
}

static enum table_status
ask_no_extension(struct search *s)
{
    return ask_bare(s, s->has_domain ? "@" : "", s->domain);
}

static enum table_status
ask_user(struct search *s, const char *at)
{
    const struct slice none = { 0 };
    enum table_status status = ask_address(s, PARTIAL_KEY, s->local, at, none);

    return status == TABLE_NOT_FOUND ? ask_bare(s, at, none) : status;
}

/* Users of our own: myorigin, mydestination, this machine's addresses. */
static enum table_status
is_own(struct search *s)
{
    const struct config *config = address_classes_config(s->classes);

    if (!s->has_domain)
        return TABLE_NOT_FOUND;
    if (slice_eq_nocase(s->domain, slice_of(config->myorigin)))
        return TABLE_FOUND;
    return address_class_is_local(s->classes, s->domain, s->why);
}

static enum table_status
ask_user_if_own(struct search *s, const char *at)
{
    enum table_status status = is_own(s);

    return status == TABLE_FOUND ? ask_user(s, at) : status;
}

static enum table_status
ask_user_form(struct search *s)
{
    return ask_user_if_own(s, "");
}

static enum table_status
ask_user_at_form(struct search *s)
{
    return ask_user_if_own(s, "@");
}

static enum table_status
ask_user_anywhere(struct search *s)
{
    return s->has_domain ? ask_user(s, "") : TABLE_NOT_FOUND;
}

static enum table_status
ask_domain_as(struct search *s, const char *prefix, struct slice domain)
{
    struct buf key;
    enum table_status status;

    buf_init(&key, KEY_MAX);
    buf_add_text(&key, prefix);
    buf_add(&key, domain);
    status = buf_failed(&key) ? TABLE_NOT_FOUND
                              : ask(s, PARTIAL_KEY, buf_slice(&key));
    buf_fini(&key);
    return status;
}

static enum table_status
ask_at_domain(struct search *s)
{
    return s->has_domain ? ask_domain_as(s, "@", s->domain) : TABLE_NOT_FOUND;
}

static enum table_status
ask_domain(struct search *s)
{
    return s->has_domain ? ask_domain_as(s, "", s->domain) : TABLE_NOT_FOUND;
}

static enum table_status
ask_parents_as(struct search *s, const char *prefix)
{
    struct slice parent = s->domain;

    if (parent.len > 0 && parent.ptr[0] == '[')
        return TABLE_NOT_FOUND;
    for (;;) {
        enum table_status status;

        parent = slice_skip(parent, slice_find(parent, '.') + 1);
        if (parent.len == 0)
            return TABLE_NOT_FOUND;
        status = ask_domain_as(s, prefix, parent);
        if (status != TABLE_NOT_FOUND)
            return status;
    }
}

static enum table_status
ask_parents(struct search *s)
{
    return ask_parents_as(s, "");
}

static enum table_status
ask_parents_dot(struct search *s)
{
    return ask_parents_as(s, ".");
}

static const struct {
    enum address_form form;
    enum table_status (*ask)(struct search *s);
} forms_in_order[] = {
    { ADDRESS_FULL, ask_full },
    { ADDRESS_NO_EXTENSION, ask_no_extension },
    { ADDRESS_USER, ask_user_form },
    { ADDRESS_USER_ANYWHERE, ask_user_anywhere },
    { ADDRESS_USER_AT, ask_user_at_form },
    { ADDRESS_AT_DOMAIN, ask_at_domain },
    { ADDRESS_DOMAIN, ask_domain },
    { ADDRESS_PARENTS, ask_parents },
    { ADDRESS_PARENTS_DOT, ask_parents_dot },
};

enum { FORM_COUNT = sizeof(forms_in_order) / sizeof(forms_in_order[0]) };

static void
take_apart(struct search *s, struct slice address)
{
    const struct config *config = address_classes_config(s->classes);

    s->has_domain = address_split(address, &s->local, &s->domain);
    if (!address_extension(config, s->local, &s->user, &s->extension)) {
        s->user = s->local;
        s->extension = (struct slice){ 0 };
        return;
    }
    /* With the delimiter that stands in front of it. */
    s->extension = slice_skip(s->local, s->user.len);
}

enum table_status
address_find(struct address_classes *classes, struct table_list *list,
    unsigned forms, struct slice address, struct buf *value,
    struct slice *extension, struct why *why)
{
    struct search s = {
        .classes = classes,
        .list = list,
        .value = value,
        .why = why,
    };
    enum table_status status = TABLE_NOT_FOUND;

    buf_clear(value);
    if (table_list_empty(list) || address.len == 0)
        return TABLE_NOT_FOUND;
    take_apart(&s, address);
    for (size_t i = 0; status == TABLE_NOT_FOUND && i < FORM_COUNT; i++)
        if (forms & forms_in_order[i].form)
            status = forms_in_order[i].ask(&s);
    *extension = s.left;
    return status;
}

bool
address_propagates(const struct config *config, const char *table)
{
    struct slice rest = slice_of(config->propagate_unmatched_extensions);
    struct slice name;

    while (config_list_next(&rest, &name))
        if (slice_eq_nocase(name, slice_of(table)))
            return true;
    return false;
}
