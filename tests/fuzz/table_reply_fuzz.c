/*
 * What servers of tables answer: tcp_table(5), socketmap_table(5), Redis.
 */
#include "lib/table/resp.h"
#include "lib/table/socketmap_reply.h"
#include "lib/table/tcp_reply.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { VALUE_MAX = 4096, REPLY_MAX = 100000 };

static void
reply_resp(struct slice in)
{
    while (in.len > 0) {
        struct resp_value v;
        enum resp_kind kind = resp_parse(in, &v);

        if (kind == RESP_MORE || kind == RESP_MALFORMED)
            return;
        assert(v.used > 0 && v.used <= in.len);
        assert(v.count <= RESP_COUNT_MAX);
        if (kind == RESP_TEXT || kind == RESP_ERROR) {
            assert(v.text.ptr >= in.ptr);
            assert(v.text.ptr + v.text.len <= in.ptr + v.used);
        }
        in = slice_skip(in, v.used);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = { (const char *)data, size };
    size_t length = 0, used = 0;
    struct buf value;
    struct why why;

    buf_init(&value, VALUE_MAX);
    if (tcp_reply_parse(in, &value, &why) == TABLE_FOUND)
        assert(value.len + 4 <= in.len);
    else
        assert(value.len == 0);
    buf_clear(&value);
    assert(socketmap_reply_parse(in, &value, &why) <= TABLE_ERROR);
    if (socketmap_length(in, REPLY_MAX, &length, &used) == 1)
        assert(length <= REPLY_MAX && used >= 2 && used <= in.len);
    reply_resp(in);
    buf_fini(&value);
    return 0;
}
