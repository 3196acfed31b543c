#include "lib/mail/recipient_check.h"

#include "lib/base/mem.h"
#include "lib/mail/address.h"
#include "lib/mail/address_lookup.h"

enum { VALUE_MAX = 1024 * 1024 };

struct recipient_tables {
    struct address_classes *classes;
    /* Whoever one of these knows exists, whatever his class. */
    struct table_list *canonical, *recipient_canonical, *virtual_alias;
    struct table_list *local, *virtual_mailbox, *relay;
};

enum result
recipient_tables_open(struct address_classes *classes,
    struct recipient_tables **tables, struct why *why)
{
    const struct config *config = address_classes_config(classes);
    struct recipient_tables *t = mem_alloc(sizeof(*t));
    const struct {
        const char *text;
        struct table_list **list;
    } all[] = {
        { config->canonical_maps, &t->canonical },
        { config->recipient_canonical_maps, &t->recipient_canonical },
        { config->virtual_alias_maps, &t->virtual_alias },
        { config->local_recipient_maps, &t->local },
        { config->virtual_mailbox_maps, &t->virtual_mailbox },
        { config->relay_recipient_maps, &t->relay },
    };

    t->classes = classes;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        enum result res = table_list_open(all[i].text, config, all[i].list,
            why);

        if (res != RESULT_OK) {
            recipient_tables_close(t);
            return res;
        }
    }
    *tables = t;
    return RESULT_OK;
}

void
recipient_tables_close(struct recipient_tables *t)
{
    if (t == NULL)
        return;
    table_list_close(t->canonical);
    table_list_close(t->recipient_canonical);
    table_list_close(t->virtual_alias);
    table_list_close(t->local);
    table_list_close(t->virtual_mailbox);
    table_list_close(t->relay);
    mem_free(t);
}

static enum table_status
is_in(struct recipient_tables *t, struct table_list *list, struct slice address,
    struct why *why)
{
    struct slice extension;
    struct buf value;
    enum table_status status;

    buf_init(&value, VALUE_MAX);
    status = address_find(t->classes, list, ADDRESS_MAP, address, &value,
        &extension, why);
    buf_fini(&value);
    return status;
}

/* What rewrites an address, or our own of double bounces, makes it exist. */
enum table_status
recipient_is_rewritten(struct recipient_tables *t, struct slice address,
    struct why *why)
{
    const struct config *config = address_classes_config(t->classes);
    struct table_list *const lists[] = { t->recipient_canonical, t->canonical,
        t->virtual_alias };
    struct slice local, domain;

    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        enum table_status status = is_in(t, lists[i], address, why);

        if (status != TABLE_NOT_FOUND)
            return status;
    }
    (void)address_split(address, &local, &domain);
    if (slice_eq_nocase(local, slice_of(config->double_bounce_sender)) &&
        slice_eq_nocase(domain, slice_of(config->myorigin)))
        return TABLE_FOUND;
    return TABLE_NOT_FOUND;
}

/*
 * Names that every site has (RFC 5321 section 4.5.1 and what notices are sent
 * from): they are delivered, or dropped, without an entry anywhere.
 */
static bool
is_reserved(const struct config *config, enum address_class class,
    struct slice address)
{
    struct slice local, domain;

    (void)address_split(address, &local, &domain);
    return class == CLASS_LOCAL &&
        (slice_eq_nocase(local, SLICE_LIT("postmaster")) ||
            slice_eq_nocase(local, SLICE_LIT("mailer-daemon")) ||
            slice_eq_nocase(local, slice_of(config->double_bounce_sender)));
}

/* The table that knows the users of a class; NULL: none does. */
static struct table_list *
list_of(struct recipient_tables *t, enum address_class class)
{
    switch (class) {
    case CLASS_LOCAL:
        return t->local;
    case CLASS_VIRTUAL_MAILBOX:
        return t->virtual_mailbox;
    case CLASS_RELAY:
        return t->relay;
    case CLASS_VIRTUAL_ALIAS: /* who is in it was found by recipient_is_rewritten() */
    case CLASS_DEFAULT:
        break;
    }
    return NULL;
}

static enum result
unknown(const struct config *config, enum address_class class, int *code,
    struct why *why)
{
    const struct {
        const char *table;
        int64_t code;
    } of[] = {
        [CLASS_LOCAL] = { "local recipient",
            config->unknown_local_recipient_reject_code },
        [CLASS_VIRTUAL_ALIAS] = { "virtual alias",
            config->unknown_virtual_alias_reject_code },
        [CLASS_VIRTUAL_MAILBOX] = { "virtual mailbox",
            config->unknown_virtual_mailbox_reject_code },
        [CLASS_RELAY] = { "relay recipient",
            config->unknown_relay_recipient_reject_code },
    };

    *code = (int)of[class].code;
    if (!config->show_user_unknown_table_name)
        return why_perm(why, "5.1.1", "User unknown");
    return why_perm(why, "5.1.1", "User unknown in %s table", of[class].table);
}

enum result
recipient_check(struct recipient_tables *t, enum address_class class,
    struct slice address, int *code, struct why *why)
{
    const struct config *config = address_classes_config(t->classes);
    struct table_list *list = list_of(t, class);
    enum table_status status;

    *code = 451;
    if (class == CLASS_DEFAULT || is_reserved(config, class, address))
        return RESULT_OK;
    if (class != CLASS_VIRTUAL_ALIAS && table_list_empty(list))
        return RESULT_OK;
    status = recipient_is_rewritten(t, address, why);
    if (status == TABLE_NOT_FOUND && class != CLASS_VIRTUAL_ALIAS)
        status = is_in(t, list, address, why);
    switch (status) {
    case TABLE_FOUND:
        return RESULT_OK;
    case TABLE_ERROR:
        return RESULT_TEMPFAIL;
    case TABLE_NOT_FOUND:
        break;
    }
    return unknown(config, class, code, why);
}
