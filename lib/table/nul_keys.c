#include "lib/table/nul_keys.h"

void
nul_keys_init(struct nul_keys *n)
{
    n->try_nul = n->try_bare = true;
}

enum table_status
nul_keys_find(struct nul_keys *n, struct slice key, nul_keys_get_fn get,
    void *context, struct buf *value, struct why *why)
{
    enum table_status status = TABLE_NOT_FOUND;
    char with_nul[TABLE_KEY_MAX + 1];

    if (key.len >= sizeof(with_nul))
        return TABLE_NOT_FOUND;
    if (n->try_nul) {
        if (key.len > 0)
            memcpy(with_nul, key.ptr, key.len);
        with_nul[key.len] = '\0';
        status = get(context, (struct slice){ with_nul, key.len + 1 }, value,
            why);
        if (status == TABLE_FOUND)
            n->try_bare = false;
    }
    if (status == TABLE_NOT_FOUND && n->try_bare && key.len > 0) {
        status = get(context, key, value, why);
        if (status == TABLE_FOUND)
            n->try_nul = false;
    }
    return status;
}

struct slice
nul_keys_cut(const void *octets, size_t len)
{
    struct slice s = { octets, len };

    return slice_head(s, slice_find(s, '\0'));
}
