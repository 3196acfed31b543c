#include "lib/base/mem.h"
#include "smtp/excuse.h"
#include "smtp/reply.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/*
 * A server's lines: what is kept of them is bounded and printable, and a code
 * is one of SMTP's.
 */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = { (const char *)data, size }, line;
    struct excuse *e = mem_alloc(sizeof(*e));
    struct reply r;

    reply_init(&r);
    while (slice_line(&rest, &line)) {
        enum reply_step step = reply_add_line(&r,
            slice_head(line, REPLY_LINE_MAX));

        assert(r.text.len <= REPLY_TEXT_MAX && r.lines <= REPLY_LINES_MAX + 1);
        if (step == REPLY_DONE) {
            assert(r.code >= 200 && r.code <= 599);
            assert(
                reply_status_len(slice_of(r.status)) > 0 || r.status[0] == '3');
            excuse_from_reply(e, "mx[192.0.2.1]", "mx", &r, "DATA command");
            assert(strlen(e->text) <= EXCUSE_TEXT_MAX);
            assert(e->status[0] == '4' || e->status[0] == '5');
            for (const char *p = e->text; *p != '\0'; p++)
                assert((unsigned char)*p >= 32 && *p != 127);
        }
        if (step != REPLY_MORE)
            reply_clear(&r);
    }
    reply_fini(&r);
    mem_free(e);
    return 0;
}
