#include "smtpd/esmtp.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_MAX = 1 << 20, DECODED_MAX = 1024 };

static void
assert_clean(struct slice s)
{
    assert(s.len <= DECODED_MAX);
    for (size_t i = 0; i < s.len; i++)
        assert((unsigned char)s.ptr[i] >= ' ' && s.ptr[i] != 127);
}

static void
assert_printable(const struct refusal *no)
{
    assert(no->code >= 400 && no->code < 600);
    for (const char *c = no->text; *c != '\0'; c++)
        assert((unsigned char)*c >= ' ' && *c != 127);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice words = { (const char *)data, size };
    struct mail_parameters mail;
    struct rcpt_parameters rcpt;
    struct refusal no;
    struct arena arena;

    arena_init(&arena, ARENA_MAX);
    if (mail_parameters_parse(words, ESMTP_DSN | ESMTP_SMTPUTF8, &arena, &mail,
            &no)) {
        assert(mail.size <= INT64_MAX);
        assert_clean(mail.envid);
    } else {
        assert_printable(&no);
    }
    if (rcpt_parameters_parse(words, ESMTP_DSN, &arena, &rcpt, &no)) {
        assert(
            (rcpt.notify & NOTIFY_NEVER) == 0 || rcpt.notify == NOTIFY_NEVER);
        assert_clean(rcpt.orcpt);
    } else {
        assert_printable(&no);
    }
    arena_clear(&arena);
    return 0;
}
