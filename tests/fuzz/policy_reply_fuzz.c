/*
 * What a policy server sends, answer after answer, up to its end.
 */
#include "smtpd/policy_reply.h"

#include "lib/base/clock.h"
#include "lib/io/sock.h"

#include <assert.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SENT_MAX = 32768, ACTION_MAX = 4096, WAIT_MS = 10000 };

/* A server that has said this and gone. */
static struct stream *
connect_to(const uint8_t *data, size_t size)
{
    int fds[2];

    if (sock_pair(fds) < 0)
        return NULL;
    assert(send(fds[1], data, size, MSG_NOSIGNAL) == (ssize_t)size);
    close(fds[1]);
    return stream_new(fds[0]);
}

static void
assert_clean(struct slice action)
{
    assert(action.len <= POLICY_LINE_MAX);
    assert(slice_find(action, '\n') == action.len);
    assert(slice_trim(action).len == action.len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stream *st = size > SENT_MAX ? NULL : connect_to(data, size);
    size_t answers = 0;
    struct buf action;
    struct why why;

    if (st == NULL)
        return 0;
    buf_init(&action, ACTION_MAX);
    while (policy_reply_read(st, clock_now_ms() + WAIT_MS, &action, &why) ==
        RESULT_OK) {
        assert_clean(buf_slice(&action));
        answers++;
    }
    assert(why.text[0] != '\0');
    /* An answer has an action and an empty line. */
    assert(answers <= size / sizeof("action=\n"));
    buf_fini(&action);
    stream_free(st);
    return 0;
}
