#include "lib/mail/address_class.h"

#include "lib/base/mem.h"
#include "lib/mail/own_addresses.h"

struct address_classes {
    const struct config *config;
    struct own_addresses *own;
    struct match_list *mydestination, *virtual_alias_domains,
        *virtual_mailbox_domains, *relay_domains;
};

bool
address_class_parent_matches(const struct config *config, const char *parameter)
{
    struct slice rest = slice_of(config->parent_domain_matches_subdomains);
    struct slice name;

    while (config_list_next(&rest, &name))
        if (slice_eq_nocase(name, slice_of(parameter)))
            return true;
    return false;
}

static enum result
open_lists(struct address_classes *c, struct why *why)
{
    const struct config *config = c->config;
    enum result res;

    res = match_list_open(config->mydestination, MATCH_STRING, false, config,
        &c->mydestination, why);
    if (res == RESULT_OK)
        res = match_list_open(config->virtual_alias_domains, MATCH_STRING,
            false, config, &c->virtual_alias_domains, why);
    if (res == RESULT_OK)
        res = match_list_open(config->virtual_mailbox_domains, MATCH_STRING,
            false, config, &c->virtual_mailbox_domains, why);
    if (res == RESULT_OK)
        res = match_list_open(config->relay_domains, MATCH_DOMAIN,
            address_class_parent_matches(config, "relay_domains"), config,
            &c->relay_domains, why);
    return res;
}

enum result
address_classes_open(const struct config *config,
    struct address_classes **classes, struct why *why)
{
    struct address_classes *c = mem_alloc(sizeof(*c));
    enum result res;

    c->config = config;
    res = own_addresses_open(config, &c->own, why);
    if (res == RESULT_OK)
        res = open_lists(c, why);
    if (res != RESULT_OK) {
        address_classes_close(c);
        return res;
    }
    *classes = c;
    return RESULT_OK;
}

void
address_classes_close(struct address_classes *c)
{
    if (c == NULL)
        return;
    own_addresses_close(c->own);
    match_list_close(c->mydestination);
    match_list_close(c->virtual_alias_domains);
    match_list_close(c->virtual_mailbox_domains);
    match_list_close(c->relay_domains);
    mem_free(c);
}

const struct config *
address_classes_config(const struct address_classes *c)
{
    return c->config;
}

enum table_status
address_class_is_local(struct address_classes *c, struct slice domain,
    struct why *why)
{
    enum table_status status;

    /* A trailing dot does not make it another domain. */
    if (domain.len > 1 && domain.ptr[domain.len - 1] == '.')
        domain.len--;
    status = match_list_find(c->mydestination, domain, why);
    if (status != TABLE_NOT_FOUND)
        return status;
    if (domain.len > 2 && domain.ptr[0] == '[' &&
        domain.ptr[domain.len - 1] == ']' &&
        own_addresses_have(c->own,
            (struct slice){ domain.ptr + 1, domain.len - 2 }))
        return TABLE_FOUND;
    return TABLE_NOT_FOUND;
}

enum result
address_class_find(struct address_classes *c, struct slice domain,
    enum address_class *class, struct why *why)
{
    const struct {
        struct match_list *list;
        enum address_class class;
    } others[] = {
        { c->virtual_alias_domains, CLASS_VIRTUAL_ALIAS },
        { c->virtual_mailbox_domains, CLASS_VIRTUAL_MAILBOX },
        { c->relay_domains, CLASS_RELAY },
    };
    enum table_status status = address_class_is_local(c, domain, why);

    *class = CLASS_LOCAL;
    for (size_t i = 0; status == TABLE_NOT_FOUND && i < 3; i++) {
        status = match_list_find(others[i].list, domain, why);
        *class = others[i].class;
    }
    if (status == TABLE_ERROR)
        return RESULT_TEMPFAIL;
    if (status == TABLE_NOT_FOUND)
        *class = CLASS_DEFAULT;
    return RESULT_OK;
}
