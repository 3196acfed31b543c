#include "smtpd/policy_reply.h"

#include "lib/base/slice.h"

enum result
policy_reply_failed(enum stream_status status, struct why *why)
{
    switch (status) {
    case STREAM_TIMEOUT:
        return why_temp(why, "4.3.0", "Connection timed out");
    case STREAM_TOO_LONG:
        return why_temp(why, "4.3.0", "the answer has a line that is too long");
    case STREAM_CANCELLED:
        return why_temp(why, "4.3.2", "this process is ending");
    case STREAM_EOF:
    case STREAM_OK:
        return why_temp(why, "4.3.0", "Connection closed by server");
    case STREAM_ERROR:
        break;
    }
    return why_errno(why, "connection");
}

enum result
policy_reply_read(struct stream *st, int64_t deadline, struct buf *action,
    struct why *why)
{
    struct slice line, prefix = SLICE_LIT("action=");
    enum stream_status status;
    bool found = false;

    buf_clear(action);
    for (unsigned i = 0; i < POLICY_LINES_MAX; i++) {
        status = stream_read_line(st, POLICY_LINE_MAX, deadline, &line);
        if (status != STREAM_OK)
            return policy_reply_failed(status, why);
        if (line.len == 0)
            return found ? RESULT_OK
                         : why_temp(why, "4.3.0", "the answer names no action");
        if (found || !slice_starts_nocase(line, prefix))
            continue;
        found = true;
        buf_add(action, slice_trim(slice_skip(line, prefix.len)));
    }
    return why_temp(why, "4.3.0", "the answer has no end");
}
