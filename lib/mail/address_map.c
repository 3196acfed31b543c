/*
 * address_map - what a table makes of an address, as addresses.
 */
#include "lib/base/mem.h"
#include "lib/mail/address.h"
#include "lib/mail/address_lookup.h"
#include "lib/mail/header.h"
#include "lib/mail/rewrite.h"

enum {
    VALUE_MAX = 1024 * 1024, /* octets of one table entry */
    ADDRESS_MAX = 64 * 1024, /* octets of one address in it */
};

struct mapping {
    const struct config *config;
    struct slice address;   /* that was looked up */
    struct slice unmatched; /* its extension, with delimiter, or empty */
    struct slice extension; /* to put on */
    size_t limit, room;
    struct arena *arena;
    struct address_results *results;
    struct why *why;
};

static enum result
append(struct mapping *m, struct slice address)
{
    struct address_results *r = m->results;

    if (r->count >= m->limit)
        return why_temp(m->why, "4.6.0", "too many results");
    if (r->count == m->room) {
        size_t room = m->room == 0 ? 4 : m->room * 2;
        struct slice *list = arena_alloc(m->arena, room * sizeof(*list));

        if (list == NULL)
            return why_temp(m->why, "4.3.1", "message is too complex");
        if (r->count > 0)
            memcpy(list, r->list, r->count * sizeof(*list));
        r->list = list;
        m->room = room;
    }
    r->list[r->count++] = address;
    return RESULT_OK;
}

/* "user@domain" with "+ext": "user+ext@domain". */
static enum result
put_on_extension(struct mapping *m, struct slice address, struct slice *out)
{
    struct slice local, domain;
    size_t len = address.len + m->extension.len;
    char *text;

    if (m->extension.len == 0) {
        *out = address;
        return RESULT_OK;
    }
    text = arena_alloc(m->arena, len + 1);
    if (text == NULL)
        return why_temp(m->why, "4.3.1", "message is too complex");
    (void)address_split(address, &local, &domain);
    memcpy(text, address.ptr, local.len);
    memcpy(text + local.len, m->extension.ptr, m->extension.len);
    memcpy(text + local.len + m->extension.len, address.ptr + local.len,
        address.len - local.len);
    *out = (struct slice){ text, len };
    return RESULT_OK;
}

static enum result
add_result(struct mapping *m, struct slice internal)
{
    struct slice standard;
    enum result res;

    res = rewrite_address(m->config, REWRITE_LOCAL, internal, m->arena,
        &standard, m->why);
    /* What needs no change is still in the caller's buffer. */
    if (res == RESULT_OK && standard.ptr == internal.ptr &&
        !arena_slice(m->arena, internal, &standard))
        res = why_temp(m->why, "4.3.1", "message is too complex");
    if (res == RESULT_OK)
        res = put_on_extension(m, standard, &standard);
    if (res == RESULT_OK)
        res = append(m, standard);
    return res;
}

/* "@otherdomain": the same user there, without what did not match. */
static enum result
add_same_user(struct mapping *m, struct slice at_domain)
{
    struct slice local, domain;
    struct buf address;
    enum result res;

    (void)address_split(m->address, &local, &domain);
    buf_init(&address, ADDRESS_MAX);
    buf_add(&address, slice_head(local, local.len - m->unmatched.len));
    buf_add(&address, at_domain);
    res = add_result(m, buf_slice(&address));
    buf_fini(&address);
    return res;
}

static enum result
add_all(struct mapping *m, struct slice value)
{
    struct header_addresses list;
    struct buf internal;
    struct slice raw;
    enum result res = RESULT_OK;

    buf_init(&internal, ADDRESS_MAX);
    header_addresses_init(&list, value,
        (unsigned)m->config->header_address_token_limit);
    while (res == RESULT_OK && header_addresses_next(&list, &internal, &raw)) {
        struct slice address = buf_slice(&internal);

        if (address.len > 1 && address.ptr[0] == '@' && m->results->count == 0)
            res = add_same_user(m, address);
        else if (address.len > 0)
            res = add_result(m, address);
    }
    buf_fini(&internal);
    return res;
}

enum table_status
address_map(struct address_classes *classes, struct table_list *list,
    bool propagate, struct slice address, size_t limit, struct arena *arena,
    struct address_results *results, struct why *why)
{
    struct mapping m = {
        .config = address_classes_config(classes),
        .address = address,
        .limit = limit,
        .arena = arena,
        .results = results,
        .why = why,
    };
    enum table_status status;
    struct buf value;

    *results = (struct address_results){ 0 };
    if (table_list_empty(list))
        return TABLE_NOT_FOUND;
    buf_init(&value, VALUE_MAX);
    status = address_find(classes, list, ADDRESS_MAP, address, &value,
        &m.unmatched, why);
    if (propagate)
        m.extension = m.unmatched;
    if (status == TABLE_FOUND && add_all(&m, buf_slice(&value)) != RESULT_OK)
        status = TABLE_ERROR;
    buf_fini(&value);
    return status;
}
