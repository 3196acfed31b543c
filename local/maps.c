#include "local/maps.h"

#include "lib/base/list.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/config/config.h"
#include "lib/mail/address.h"

struct entry {
    struct map_node node;
    char *text;
    struct table_list *list;
};

/* The brain's own: one thread. */
static struct map lists;

static bool
same_text(const struct map_node *node, const void *key)
{
    return strcmp(LIST_ENTRY_CONST(node, struct entry, node)->text, key) == 0;
}

static enum result
open_list(const struct config *config, const char *text,
    struct table_list **list, struct why *why)
{
    uint64_t hash = map_hash_slice(slice_of(text));
    struct map_node *node = map_find(&lists, hash, same_text, text);
    struct entry *entry;
    enum result res;

    if (node != NULL) {
        *list = LIST_ENTRY(node, struct entry, node)->list;
        return RESULT_OK;
    }
    res = table_list_open_with(text, TABLE_SENSITIVE, config, list, why);
    if (res != RESULT_OK)
        return res;
    entry = mem_alloc(sizeof(*entry));
    entry->text = mem_text(text);
    entry->list = *list;
    map_add(&lists, hash, &entry->node);
    return RESULT_OK;
}

enum result
maps_check(const struct config *config, const char *text, struct why *why)
{
    struct table_list *list;

    return open_list(config, text, &list, why);
}

enum table_status
maps_find(const struct config *config, const char *text, struct slice key,
    struct buf *value, struct why *why)
{
    struct table_list *list;

    if (open_list(config, text, &list, why) != RESULT_OK)
        return TABLE_ERROR;
    return table_list_find(list, key, value, why);
}

enum table_status
maps_find_mailbox(const struct config *config, const char *text,
    struct slice address, struct buf *value, struct why *why)
{
    struct slice local, domain, user, extension;
    enum table_status status;
    struct buf key;

    status = maps_find(config, text, address, value, why);
    if (status != TABLE_NOT_FOUND || !address_split(address, &local, &domain))
        return status;
    buf_init(&key, 4096);
    if (address_extension(config, local, &user, &extension)) {
        buf_add(&key, user);
        buf_add_octet(&key, '@');
        buf_add(&key, domain);
        status = maps_find(config, text, buf_slice(&key), value, why);
    }
    if (status == TABLE_NOT_FOUND) {
        buf_clear(&key);
        buf_add_octet(&key, '@');
        buf_add(&key, domain);
        status = maps_find(config, text, buf_slice(&key), value, why);
    }
    buf_fini(&key);
    return status;
}
