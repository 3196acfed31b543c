#include "lib/config/config.h"
#include "lib/config/expand.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input itself is the value of "x": loops and doublings of all kinds. */
static const char *
lookup(void *context, struct slice name)
{
    static const char *const values[] = { "", "a b", "$c$d", "10", "${b?x}" };

    if (slice_eq_text(name, "x"))
        return buf_text(context);
    if (name.len == 1 && name.ptr[0] >= 'a' && name.ptr[0] <= 'e')
        return values[name.ptr[0] - 'a'];
    return NULL;
}

static void
ignore(void *context, struct slice name)
{
    struct slice all = *(struct slice *)context;

    assert(name.len > 0 && name.ptr >= all.ptr &&
        name.ptr + name.len <= all.ptr + all.len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = { (const char *)data, size };
    struct buf x, to;
    struct why why = { 0 };

    buf_init(&x, 1 << 20);
    buf_init(&to, EXPAND_OCTETS_MAX);
    buf_add(&x, text);
    if (config_expand(text, lookup, &x, &to, &why) != RESULT_OK)
        assert(why.text[0] != '\0');
    assert(to.len <= EXPAND_OCTETS_MAX);
    buf_clear(&to);
    if (config_expand_once(text, lookup, &x, &to, &why) == RESULT_OK &&
        memchr(data, '$', size) == NULL)
        assert(slice_eq(buf_slice(&to), text));
    if (expand_names(text, ignore, &text, &why) != RESULT_OK)
        assert(why.text[0] != '\0');
    buf_fini(&x);
    buf_fini(&to);
    return 0;
}
