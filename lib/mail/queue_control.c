#include "lib/mail/queue_control.h"

#include "lib/base/clock.h"
#include "lib/base/fields.h"
#include "lib/base/mem.h"
#include "lib/base/tlv.h"
#include "lib/config/config.h"
#include "lib/daemon/command.h"
#include "lib/daemon/install.h"
#include "lib/io/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    ANSWER_MS = 3600 * 1000, /* of a queue manager that has much to do */
    TEXT_MAX = 4096,
    RECIPIENTS_MAX = 1 << 20,
    OFFLINE_FD = 3,
};

/* From 8 on they are lib/mail/queue_filter's. */
enum {
    TAG_QUEUES = ATTR_FLAGS,
    TAG_REQUEST_FLAGS = ATTR_PRIVATE,
    TAG_NEXT_TRY
};

static const char *const names[] = {
    [QUEUE_ACTIVE] = "active",
    [QUEUE_INCOMING] = "incoming",
    [QUEUE_DEFERRED] = "deferred",
    [QUEUE_HOLD] = "hold",
    [QUEUE_CORRUPT] = "corrupt",
};

const char *
queue_name_text(enum queue_name name)
{
    return names[name];
}

bool
queue_name_parse(struct slice text, enum queue_name *name)
{
    for (enum queue_name n = QUEUE_ACTIVE; n < QUEUE_NAMES; n++) {
        if (slice_eq_text(text, names[n])) {
            *name = n;
            return true;
        }
    }
    return false;
}

/* Items. */

struct item_fields {
    uint32_t queue, forced;
    uint64_t id, size;
    int64_t arrival_us, next_try_ms;
    struct slice sender;
};

static const struct field item_fields[] = {
    { ATTR_TYPE, FIELD_U32, offsetof(struct item_fields, queue),
        QUEUE_NAMES - 1 },
    { ATTR_ID, FIELD_U64, offsetof(struct item_fields, id), UINT64_MAX },
    { ATTR_TIME, FIELD_I64, offsetof(struct item_fields, arrival_us),
        INT64_MAX },
    { ATTR_LENGTH, FIELD_U64, offsetof(struct item_fields, size), INT64_MAX },
    { ATTR_FLAGS, FIELD_U32, offsetof(struct item_fields, forced), 1 },
    { TAG_NEXT_TRY, FIELD_I64, offsetof(struct item_fields, next_try_ms),
        INT64_MAX },
    { ATTR_SENDER, FIELD_SLICE, offsetof(struct item_fields, sender),
        TEXT_MAX },
    { 0 },
};

static const struct field recipient_fields[] = {
    { ATTR_ADDRESS, FIELD_SLICE, offsetof(struct queue_recipient, address),
        TEXT_MAX },
    { ATTR_REASON, FIELD_SLICE, offsetof(struct queue_recipient, reason),
        TEXT_MAX },
    { 0 },
};

void
queue_item_encode(const struct queue_item *item, struct msg *m)
{
    struct item_fields f = {
        .queue = item->queue,
        .forced = item->forced_expire,
        .id = item->id,
        .size = item->size,
        .arrival_us = item->arrival_us,
        .next_try_ms = item->next_try_ms,
        .sender = item->sender,
    };
    struct buf one;

    msg_init(m, MESSAGE_QUEUE_ITEM);
    fields_encode(item_fields, &f, &m->body);
    buf_init(&one, 4 * TEXT_MAX);
    for (size_t i = 0; i < item->recipient_count; i++) {
        buf_clear(&one);
        fields_encode(recipient_fields, &item->recipients[i], &one);
        tlv_put(&m->body, ATTR_RECORD, buf_slice(&one));
    }
    buf_fini(&one);
}

enum result
queue_item_decode(struct slice in, struct arena *arena, struct queue_item *item,
    struct why *why)
{
    size_t count = tlv_count(in, ATTR_RECORD), n = 0;
    struct item_fields f = { 0 };
    struct queue_recipient *r;
    struct tlv t;

    if (count > RECIPIENTS_MAX)
        return why_perm(why, "5.3.0", "too many recipients");
    r = arena_alloc(arena, (count + 1) * sizeof(*r));
    if (r == NULL)
        return why_temp(why, "4.3.1", "no memory for recipients");
    while (tlv_next(&in, &t)) {
        if (t.tag == ATTR_RECORD
                ? !fields_decode(recipient_fields, t.value, &r[n++])
                : fields_take(item_fields, &t, &f) == FIELD_BAD)
            return why_perm(why, "5.3.0", "malformed queue item");
    }
    if (in.len > 0)
        return why_perm(why, "5.3.0", "malformed queue item");
    *item = (struct queue_item){
        .queue = f.queue,
        .id = f.id,
        .arrival_us = f.arrival_us,
        .size = f.size,
        .forced_expire = f.forced != 0,
        .next_try_ms = f.next_try_ms,
        .sender = f.sender,
        .recipients = r,
        .recipient_count = count,
    };
    return RESULT_OK;
}

/* Requests and the end of answers. */

static const struct field request_fields[] = {
    { TAG_QUEUES, FIELD_U32, offsetof(struct queue_request, queues),
        QUEUE_ALL },
    { ATTR_KIND, FIELD_U32, offsetof(struct queue_request, task),
        QUEUE_TASK_EXPIRE_NOW },
    { TAG_REQUEST_FLAGS, FIELD_U32, offsetof(struct queue_request, flags),
        QUEUE_DRY_RUN | QUEUE_NAME_EACH },
    { ATTR_NAME, FIELD_SLICE, offsetof(struct queue_request, site), TEXT_MAX },
    { 0 },
};

void
queue_request_encode(const struct queue_request *r, struct msg *m)
{
    fields_encode(request_fields, r, &m->body);
    fields_encode(queue_filter_fields, &r->filter, &m->body);
    for (size_t i = 0; i < r->id_count; i++)
        tlv_put_u64(&m->body, ATTR_ID, r->ids[i]);
}

static bool
take_request(const struct tlv *t, struct queue_request *r)
{
    if (t->tag == ATTR_ID)
        return r->id_count < QUEUE_EDIT_IDS &&
            tlv_u64(t->value, UINT64_MAX, &r->ids[r->id_count++]);
    return fields_take(request_fields, t, r) != FIELD_BAD &&
        fields_take(queue_filter_fields, t, &r->filter) != FIELD_BAD;
}

bool
queue_request_decode(struct slice in, struct queue_request *r)
{
    struct tlv t;

    memset(r, 0, sizeof(*r));
    while (tlv_next(&in, &t))
        if (!take_request(&t, r))
            return false;
    return in.len == 0;
}

static const struct field done_fields[] = {
    { ATTR_RESULT, FIELD_U32, offsetof(struct queue_done, result),
        RESULT_PERMFAIL },
    { ATTR_COUNT, FIELD_U64, offsetof(struct queue_done, count), UINT64_MAX },
    { ATTR_STATUS, FIELD_TEXT, offsetof(struct queue_done, why.status),
        sizeof(((struct why *)0)->status) },
    { ATTR_TEXT, FIELD_TEXT, offsetof(struct queue_done, why.text),
        sizeof(((struct why *)0)->text) },
    { 0 },
};

void
queue_done_encode(const struct queue_done *d, struct msg *m)
{
    msg_init(m, MESSAGE_QUEUE_DONE);
    fields_encode(done_fields, d, &m->body);
}

bool
queue_done_decode(struct slice in, struct queue_done *d)
{
    memset(d, 0, sizeof(*d));
    return fields_decode(done_fields, in, d);
}

/* The command's end. */

static pid_t offline_pid; /* of the one that this command started; 0 */

/* A queue manager of our own: it has descriptor 3 as its only client. */
static enum result
spawn_offline(const struct config_set *set, int *fd, struct why *why)
{
    char *path = install_daemon(config_main(set), "qmgr");
    char *const argv[] = { (char *)(uintptr_t) "qmgr",
        (char *)(uintptr_t) "--offline",
        (char *)(uintptr_t)config_directory(set), NULL };
    posix_spawn_file_actions_t actions;
    int pair[2], error;

    if (sock_pair(pair) < 0) {
        mem_free(path);
        return why_errno(why, "socketpair");
    }
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_adddup2(&actions, pair[1], OFFLINE_FD);
    error = posix_spawn(&offline_pid, path, &actions, NULL, argv, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    close(pair[1]);
    mem_free(path);
    if (error != 0) {
        offline_pid = 0;
        close(pair[0]);
        errno = error;
        return why_errno(why, "start qmgr --offline");
    }
    *fd = pair[0];
    return RESULT_OK;
}

enum result
queue_control_open(const struct config_set *set, enum queue_reach *reach,
    int *fd, struct why *why)
{
    const struct config *config = config_main(set);
    enum result res = command_connect(config, "qmgr", fd, why);
    char *spool;
    bool may;

    *reach = QUEUE_RUNNING;
    if (res == RESULT_OK || (why->sys != ECONNREFUSED && why->sys != ENOENT))
        return res;
    spool = mem_format("%s/spool", config->queue_directory);
    may = access(spool, R_OK | W_OK | X_OK) == 0;
    mem_free(spool);
    if (!may)
        return why_temp(why, "4.3.2", "mail system is down");
    *reach = QUEUE_OFFLINE;
    return spawn_offline(set, fd, why);
}

void
queue_control_close(int fd)
{
    if (fd >= 0)
        close(fd);
    if (offline_pid > 0)
        while (waitpid(offline_pid, NULL, 0) < 0 && errno == EINTR)
            ;
    offline_pid = 0;
}

enum result
queue_control_ask(int fd, struct msg *m, queue_item_fn item, void *context,
    struct queue_done *done, struct why *why)
{
    return queue_control_ask_until(fd, m, clock_now_ms() + ANSWER_MS, item,
        context, done, why);
}

enum result
queue_control_ask_until(int fd, struct msg *m, int64_t deadline,
    queue_item_fn item, void *context, struct queue_done *done, struct why *why)
{
    enum result res = wire_send(fd, m, 1, deadline, why);
    struct msg_in *in;
    bool more = true;

    while (res == RESULT_OK) {
        res = wire_recv(fd, deadline, &in, why);
        if (res != RESULT_OK)
            break;
        if (in->type == MESSAGE_QUEUE_DONE) {
            if (!queue_done_decode(in->body, done))
                res = why_perm(why, "5.3.0", "malformed answer");
            msg_in_free(in);
            return res;
        }
        if (in->type == MESSAGE_QUEUE_ITEM && more && item != NULL)
            more = item(context, in->body);
        msg_in_free(in);
        if (!more)
            return why_temp(why, "", "interrupted");
    }
    return res;
}
