#include "qmgr/record.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is written is what is read, set by set. */
static void
check_set(struct slice set)
{
    struct slice rest = set, again;
    uint32_t at = 0, end = 0, start, count, at2 = 0, start2, count2;
    struct set_writer w;
    struct buf copy;

    buf_init(&copy, 1 << 20);
    set_begin(&w, &copy);
    while (set_next(&rest, &at, &start, &count)) {
        assert(count > 0 && start >= end);
        end = start + count;
        assert(end <= RECORD_RECIPIENTS_MAX && end == at);
        if (count > 64)
            break; /* the copy is made one by one */
        for (uint32_t i = start; i < end; i++)
            set_add(&w, i);
    }
    set_end(&w);
    again = buf_slice(&copy);
    while (set_next(&again, &at2, &start2, &count2))
        ;
    assert(again.len == 0);
    buf_fini(&copy);
}

static void
check_status(struct slice in)
{
    struct slice settled, set;
    struct rcpt_result result;
    struct why why;

    if (status_settled(in, &settled, &why) != RESULT_OK)
        return;
    check_set(settled);
    while (status_next_group(&in, &result, &set)) {
        assert(result.outcome >= OUTCOME_SENT);
        assert(memchr(result.status, '\0', sizeof(result.status)) != NULL);
        check_set(set);
    }
    /* What was good as a whole is good in its parts. */
    assert(in.len == 0);
}

static void
check_message(struct slice in)
{
    static const char content[64];
    struct slice header, body, all = { content, sizeof(content) };
    struct message_record r;
    struct why why;

    if (message_record_decode(in, &r, &why) != RESULT_OK)
        return;
    assert(r.envelope.ptr >= in.ptr &&
        r.envelope.ptr + r.envelope.len <= in.ptr + in.len);
    if (!message_record_content(&r, all, &header, &body))
        return;
    assert(header.ptr + header.len <= content + sizeof(content));
    assert(body.len == 0 || body.ptr >= header.ptr + header.len);
    assert(body.ptr + body.len <= content + sizeof(content));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = { (const char *)data, size };
    struct message_brief message;
    struct status_brief status;
    uint64_t mark;
    struct why why;

    if (message_brief_decode(in, &message, &why) == RESULT_OK)
        assert(message.drop_file.len <= DROP_FILE_MAX);
    if (status_brief_decode(in, &status, &why) == RESULT_OK)
        assert(status.unsettled <= RECORD_RECIPIENTS_MAX);
    (void)!meta_record_decode(in, &mark);
    check_message(in);
    check_status(in);
    check_set(in);
    return 0;
}
