#include "lookup/transport.h"

struct transport
transport_split(struct slice text)
{
    size_t n = slice_find(text, ':');

    return (struct transport){
        .name = slice_trim(slice_head(text, n)),
        .nexthop = slice_trim(slice_skip(text, n + 1)),
    };
}

bool
transport_is_error(struct slice name)
{
    return slice_eq(name, SLICE_LIT("error")) ||
        slice_eq(name, SLICE_LIT("retry"));
}
