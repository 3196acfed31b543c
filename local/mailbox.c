#include "local/mailbox.h"

#include "lib/base/fields.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>

#define OF(name) offsetof(struct mailbox_store, name)
static const struct field store_fields[] = {
    { ATTR_KIND, FIELD_U32, OF(kind), MAILBOX_MBOX },
    { ATTR_NAME, FIELD_SLICE, OF(path), PATH_MAX - 1 },
    { ATTR_SENDER, FIELD_SLICE, OF(sender), 4096 },
    { ATTR_DATA, FIELD_SLICE, OF(top), 65536 },
    { ATTR_FLAGS, FIELD_U32, OF(locks), 7 },
    { ATTR_COUNT, FIELD_U32, OF(lock_tries), 10000 },
    { ATTR_TIME, FIELD_U64, OF(lock_delay_ms), INT32_MAX },
    { ATTR_TTL, FIELD_U64, OF(lock_stale_ms), INT64_MAX },
    { ATTR_PRIVATE, FIELD_U64, OF(size_limit), INT64_MAX },
    { ATTR_HEADER, FIELD_SLICE, OF(content.header), MESSAGE_ENVELOPE },
    { ATTR_BODY, FIELD_SLICE, OF(content.body), MESSAGE_ENVELOPE },
    { ATTR_LENGTH, FIELD_U64, OF(content.length), INT64_MAX },
    { ATTR_CRC, FIELD_U32, OF(content.crc), UINT32_MAX },
    { 0 },
};
#undef OF

void
mailbox_store_encode(struct mailbox_store *s, struct msg *m)
{
    msg_init(m, MESSAGE_STORE);
    fields_encode(store_fields, s, &m->body);
    if (s->content.fd >= 0)
        msg_put_fd(m, s->content.fd);
    s->content.fd = -1;
}

enum result
mailbox_store_decode(struct msg_in *in, struct mailbox_store *s,
    struct why *why)
{
    struct mailbox_store read = { .content.fd = -1 };

    if (!fields_decode(store_fields, in->body, &read) || read.kind == 0 ||
        read.path.len == 0 || read.path.ptr[0] != '/' ||
        memchr(read.path.ptr, '\0', read.path.len) != NULL)
        return why_perm(why, "5.3.5", "malformed request");
    if (in->fd_count > 0)
        read.content.fd = msg_in_take_fd(in, 0);
    *s = read;
    return RESULT_OK;
}

/* The outcome as it travels. */
struct stored {
    uint32_t result;
    struct why why;
};

static const struct field stored_fields[] = {
    { ATTR_RESULT, FIELD_U32, offsetof(struct stored, result),
        RESULT_PERMFAIL },
    { ATTR_STATUS, FIELD_TEXT, offsetof(struct stored, why.status),
        sizeof(((struct why *)0)->status) },
    { ATTR_TEXT, FIELD_TEXT, offsetof(struct stored, why.text),
        sizeof(((struct why *)0)->text) },
    { 0 },
};

void
mailbox_stored_encode(enum result res, const struct why *why, struct msg *m)
{
    struct stored s = { .result = res };

    if (res != RESULT_OK)
        s.why = *why;
    msg_init(m, MESSAGE_STORED);
    fields_encode(stored_fields, &s, &m->body);
}

enum result
mailbox_stored_decode(struct slice in, struct why *why)
{
    struct stored s = { 0 };

    if (!fields_decode(stored_fields, in, &s))
        return why_temp(why, "4.3.0", "malformed answer of mailbox worker");
    if (s.result != RESULT_OK)
        *why = s.why;
    return (enum result)s.result;
}

/* Postfix's status for an error number; NULL: the caller knows better. */
static const char *
status_of(int error)
{
    switch (error) {
    case EAGAIN:
    case ESTALE:
        return "4.2.0";
    case ENOSPC:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
    case EIO:
    case EROFS:
        return "4.3.0";
    case EDQUOT:
    case EFBIG:
        return "5.2.2";
    default:
        return NULL;
    }
}

static enum result
refusal(struct why *why, const char *status, const char *text)
{
    return status[0] == '4' ? why_temp(why, status, "%s", text)
                            : why_perm(why, status, "%s", text);
}

enum result
mailbox_refusal(struct why *why, const char *format, ...)
{
    int error = errno;
    const char *status = status_of(error);
    char text[sizeof(why->text)];
    va_list ap;
    int n;

    va_start(ap, format);
    n = vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof(text))
        (void)snprintf(text + n, sizeof(text) - (size_t)n, ": %s",
            strerror(error));
    return refusal(why, status == NULL ? "5.2.0" : status, text);
}

enum result
mailbox_write_refusal(struct why *why)
{
    const char *status = status_of(errno);
    char text[128];

    (void)snprintf(text, sizeof(text), "error writing message: %s",
        strerror(errno));
    return refusal(why, status == NULL ? "4.3.0" : status, text);
}
