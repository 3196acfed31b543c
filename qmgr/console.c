#include "qmgr/console.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/tlv.h"
#include "lib/io/fiber.h"
#include "lib/io/sock.h"
#include "lib/mail/queue_control.h"
#include "qmgr/edit.h"
#include "qmgr/view.h"

#include <stdlib.h>
#include <unistd.h>

enum {
    BATCH = 64,          /* messages read side by side */
    PIECE = 256 * 1024,  /* of a message that is shown */
    PENDING_MAX = 10000, /* orders of one edit that are under way */
    ROOM_MS = 60 * 1000, /* a command that takes nothing for so long is left */
    IDLE_MS = 60 * 1000, /* likewise a user's that asks nothing */
    CALLS_OF_USER = 20,  /* at the same time; the admin may have more */
};

/* One command. */
struct console {
    struct list link;
    uid_t uid;
    struct qmgr *q;
    enum console_mode mode;
    bool may_edit;
    bool ended;
    bool asked;       /* something that is not answered yet */
    unsigned serving; /* requests that use this */
    struct fiber_cond gone;
};

/* All commands that are connected; and whether it is time to leave. */
static struct list all = LIST_INIT(all);
static bool ending;

static void
reply_done(struct request *r, uint64_t count)
{
    struct queue_done d = { .count = count };
    struct msg m;

    queue_done_encode(&d, &m);
    request_reply(r, &m);
}

static void
refuse(struct request *r, const char *text)
{
    struct queue_done d = { 0 };
    struct msg m;

    d.result = why_perm(&d.why, "5.7.0", "%s", text);
    queue_done_encode(&d, &m);
    request_reply(r, &m);
}

/* Which messages are there: their ids, queue by queue, oldest first. */

struct seen {
    uint64_t id;
    enum queue_name queue;
};

static int
compare_seen(const void *a, const void *b)
{
    const struct seen *x = a, *y = b;

    if (x->queue != y->queue)
        return x->queue < y->queue ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

/* TODO: sorting a million stops the loop for a fifth of a second. */
static struct seen *
look(struct qmgr *q, unsigned queues, size_t *count)
{
    struct seen *seen = mem_alloc_array(q->index.entries.count + 1,
        sizeof(*seen));
    size_t n = 0;

    for (struct map_node *at = map_first(&q->index.entries); at != NULL;
         at = map_after(&q->index.entries, at)) {
        const struct entry *e = LIST_ENTRY(at, struct entry, node);

        if (!view_queue(e, &seen[n].queue) ||
            (queues & 1U << seen[n].queue) == 0)
            continue;
        seen[n++].id = e->id;
    }
    qsort(seen, n, sizeof(*seen), compare_seen);
    *count = n;
    return seen;
}

/* QUEUE_LIST */

static void
send_views(struct request *r, const struct view *views, size_t count)
{
    struct msg m;

    for (size_t i = 0; i < count; i++) {
        if (!views[i].found)
            continue;
        queue_item_encode(&views[i].item, &m);
        request_item(r, &m);
    }
}

static void
list(struct console *c, struct request *r)
{
    struct qmgr *q = c->q;
    struct queue_request *ask = mem_alloc(sizeof(*ask));
    struct view *views = mem_alloc_array(BATCH, sizeof(*views));
    struct seen *seen = NULL;
    size_t count = 0;

    if (!queue_request_decode(r->in->body, ask)) {
        refuse(r, "malformed request");
        goto out;
    }
    seen = look(q, ask->queues == 0 ? QUEUE_ALL : ask->queues, &count);
    for (size_t i = 0; i < count && r->link != NULL; i += BATCH) {
        size_t n = count - i < BATCH ? count - i : BATCH;

        memset(views, 0, BATCH * sizeof(*views));
        for (size_t k = 0; k < n; k++)
            views[k].id = seen[i + k].id;
        view_read(q, views, n, VIEW_ENVELOPE);
        send_views(r, views, n);
        for (size_t k = 0; k < n; k++)
            view_fini(q, &views[k]);
        if (request_wait_room(r, clock_now_ms() + ROOM_MS) != LINK_OK)
            break;
    }
    reply_done(r, count);
out:
    mem_free(seen);
    mem_free(views);
    mem_free(ask);
}

/* QUEUE_EDIT */

struct edit_session {
    struct edit edit;
    struct request *request;
    bool name_each;
    size_t waiting_below; /* the fiber is woken when so many are pending */
    struct fiber_cond progress;
    uint64_t count;
};

static void
edited(struct edit *edit, uint64_t id)
{
    struct edit_session *s = edit->owner;
    struct msg m;

    s->count++;
    if (s->name_each && s->request->link != NULL) {
        msg_init(&m, MESSAGE_QUEUE_ITEM);
        tlv_put_u64(&m.body, ATTR_ID, id);
        request_item(s->request, &m);
    }
    if (edit->pending <= s->waiting_below)
        fiber_cond_broadcast(&s->progress);
}

static void
wait_below(struct edit_session *s, size_t pending)
{
    s->waiting_below = pending;
    while (s->edit.pending > pending)
        (void)fiber_cond_wait(&s->progress, CLOCK_NEVER);
}

static unsigned
states_of(unsigned queues)
{
    static const struct {
        enum queue_name queue;
        enum entry_state state;
    } both[] = {
        { QUEUE_ACTIVE, ENTRY_ACTIVE },
        { QUEUE_INCOMING, ENTRY_INCOMING },
        { QUEUE_DEFERRED, ENTRY_DEFERRED },
        { QUEUE_HOLD, ENTRY_HELD },
        { QUEUE_CORRUPT, ENTRY_DAMAGED },
    };
    unsigned states = 0;

    for (size_t i = 0; i < sizeof(both) / sizeof(both[0]); i++)
        if ((queues & 1U << both[i].queue) != 0)
            states |= 1U << both[i].state;
    return states;
}

static void
edit_one(struct console *c, struct edit_session *s, uint64_t id,
    const struct queue_request *ask)
{
    struct entry *e = index_find(&c->q->index, id);

    if (e != NULL)
        (void)edit_message(c->q, e, (enum edit_task)ask->task,
            states_of(ask->queues), &s->edit);
}

static void
edit_all(struct console *c, struct edit_session *s,
    const struct queue_request *ask)
{
    size_t count;
    struct seen *seen = look(c->q, ask->queues, &count);

    for (size_t i = 0; i < count; i++) {
        edit_one(c, s, seen[i].id, ask);
        if (s->edit.pending >= PENDING_MAX)
            wait_below(s, PENDING_MAX / 2);
    }
    mem_free(seen);
}

static void
edit(struct console *c, struct request *r)
{
    struct queue_request *ask = mem_alloc(sizeof(*ask));
    struct edit_session s = { .request = r };

    fiber_shield();
    fiber_cond_init(&s.progress);
    s.edit.done = edited;
    s.edit.owner = &s;
    if (!c->may_edit) {
        refuse(r, "use of this command is reserved for the superuser");
    } else if (!queue_request_decode(r->in->body, ask) || ask->task == 0) {
        refuse(r, "malformed request");
    } else {
        s.name_each = ask->id_count > 0;
        for (size_t i = 0; i < ask->id_count; i++)
            edit_one(c, &s, ask->ids[i], ask);
        if (ask->id_count == 0)
            edit_all(c, &s, ask);
        wait_below(&s, 0);
        reply_done(r, s.count);
    }
    mem_free(ask);
}

/* QUEUE_FLUSH */

static bool
goes_to(const struct view *v, struct slice site)
{
    for (size_t i = 0; i < v->item.recipient_count; i++) {
        struct slice address = v->item.recipients[i].address;

        if (slice_eq_nocase(slice_skip(address, slice_rfind(address, '@') + 1),
                site))
            return true;
    }
    return false;
}

/* The index knows the site of most; where recipients are mixed, read it. */
static uint64_t
flush_site(struct qmgr *q, struct slice site)
{
    uint32_t hash = index_site(site);
    uint64_t flushed = 0;
    size_t count;
    struct seen *seen = look(q, 1 << QUEUE_DEFERRED, &count);

    for (size_t i = 0; i < count; i++) {
        struct entry *e = index_find(&q->index, seen[i].id);
        struct view v = { .id = seen[i].id };
        bool goes;

        if (e == NULL || (e->site != 0 && e->site != hash))
            continue;
        view_read(q, &v, 1, VIEW_ENVELOPE);
        goes = v.found && goes_to(&v, site);
        view_fini(q, &v);
        e = index_find(&q->index, seen[i].id);
        if (!goes || e == NULL)
            continue;
        edit_flush(q, e);
        flushed++;
    }
    mem_free(seen);
    return flushed;
}

static void
flush(struct console *c, struct request *r)
{
    struct queue_request *ask = mem_alloc(sizeof(*ask));
    uint64_t count = 0;
    struct entry *e;

    if (!queue_request_decode(r->in->body, ask)) {
        refuse(r, "malformed request");
    } else if (c->mode == CONSOLE_OFFLINE) {
        refuse(r, "mail system is down");
    } else {
        switch ((enum queue_flush)ask->task) {
        case QUEUE_FLUSH_ALL:
            edit_flush_all(c->q);
            break;
        case QUEUE_FLUSH_ID:
            e = index_find(&c->q->index, ask->ids[0]);
            if (e != NULL)
                edit_flush(c->q, e);
            break;
        case QUEUE_FLUSH_SITE:
            count = flush_site(c->q, ask->site);
            break;
        }
        reply_done(r, count);
    }
    mem_free(ask);
}

/* QUEUE_CAT */

static bool
send_piece(struct request *r, uint32_t tag, struct slice piece)
{
    struct msg m;

    if (piece.len == 0)
        return true;
    msg_init(&m, MESSAGE_QUEUE_ITEM);
    tlv_put(&m.body, tag, piece);
    request_item(r, &m);
    return request_wait_room(r, clock_now_ms() + ROOM_MS) == LINK_OK;
}

static bool
send_text(struct request *r, uint32_t tag, struct slice text)
{
    for (; text.len > 0; text = slice_skip(text, PIECE))
        if (!send_piece(r, tag, slice_head(text, PIECE)))
            return false;
    return true;
}

static enum result
send_blob(struct request *r, const struct view *v, struct why *why)
{
    char *piece = mem_alloc(PIECE);
    uint64_t at = 0;
    ssize_t n = 1;

    while (at < v->record.blob_length && n > 0) {
        n = pread(v->fd, piece, PIECE, (off_t)at);
        if (n > 0 &&
            !send_piece(r, ATTR_BODY, (struct slice){ piece, (size_t)n }))
            break;
        at += n > 0 ? (uint64_t)n : 0;
    }
    mem_free(piece);
    if (n < 0)
        return why_errno(why, "read message file");
    return RESULT_OK;
}

static enum result
show(struct request *r, const struct view *v, struct why *why)
{
    struct msg m;

    queue_item_encode(&v->item, &m);
    tlv_put(&m.body, ATTR_ENVELOPE, v->record.envelope);
    request_item(r, &m);
    if (!send_text(r, ATTR_HEADER, v->header) ||
        !send_text(r, ATTR_BODY, v->body))
        return RESULT_OK;
    if (v->record.blob != 0)
        return send_blob(r, v, why);
    return RESULT_OK;
}

static void
cat(struct console *c, struct request *r)
{
    struct queue_request *ask = mem_alloc(sizeof(*ask));
    struct view v = { 0 };
    struct why why;

    if (!c->may_edit) {
        refuse(r, "use of this command is reserved for the superuser");
    } else if (!queue_request_decode(r->in->body, ask) || ask->id_count != 1) {
        refuse(r, "malformed request");
    } else {
        v.id = ask->ids[0];
        view_read(c->q, &v, 1, VIEW_CONTENT);
        if (!v.found)
            refuse(r, "No such file or directory");
        else if (show(r, &v, &why) != RESULT_OK)
            refuse(r, why.text);
        else
            reply_done(r, 1);
        view_fini(c->q, &v);
    }
    mem_free(ask);
}

/* The connection. */

/* What a command asks; the console stays while something is under way. */
static void
serve(struct request *r)
{
    static void (*const tasks[])(struct console * c, struct request * r) = {
        [MESSAGE_QUEUE_LIST] = list,
        [MESSAGE_QUEUE_EDIT] = edit,
        [MESSAGE_QUEUE_FLUSH] = flush,
        [MESSAGE_QUEUE_CAT] = cat,
    };
    struct console *c = r->context;

    c->serving++;
    tasks[r->in->type](c, r);
    c->serving--;
    c->asked = false;
    fiber_cond_broadcast(&c->gone);
}

/*
 * One thing at a time, as our commands have it: each may take memory, and anybody
 * may be at the other end.
 */
static bool
may_ask(void *context, enum message type)
{
    struct console *c = context;

    (void)type;
    if (c->asked)
        return false;
    c->asked = true;
    return true;
}

static const struct link_handler handlers[] = {
    { MESSAGE_QUEUE_LIST, serve, SERVE_FIBER },
    { MESSAGE_QUEUE_EDIT, serve, SERVE_FIBER },
    { MESSAGE_QUEUE_FLUSH, serve, SERVE_FIBER },
    { MESSAGE_QUEUE_CAT, serve, SERVE_FIBER },
    { MESSAGE_NONE, NULL, SERVE_INLINE },
};

static void
on_gone(struct link *l, void *context)
{
    struct console *c = context;

    (void)l;
    c->ended = true;
    fiber_cond_broadcast(&c->gone);
}

static bool
is_admin(uid_t uid)
{
    return uid == 0 || uid == geteuid();
}

static size_t
count_calls(uid_t uid)
{
    size_t n = 0;

    list_foreach (it, &all)
        n += LIST_ENTRY(it, struct console, link)->uid == uid;
    return n;
}

/* Until the command has gone; or, a user's, has had nothing to ask for long. */
static void
wait_for_end(struct console *c, struct link *l)
{
    bool late = false;

    while (!c->ended || c->serving > 0) {
        int64_t deadline = c->may_edit ? CLOCK_NEVER : clock_now_ms() + IDLE_MS;

        if ((late || ending) && !c->asked) {
            link_close(l);
            return;
        }
        late = fiber_cond_wait(&c->gone, deadline) == WAIT_TIMEOUT;
    }
}

void
console_serve(int fd, struct qmgr *q, enum console_mode mode)
{
    struct console *c = mem_alloc(sizeof(*c));
    struct link_options options = {
        .self = ROLE_QMGR,
        .peer = ROLE_COMMAND,
        .peer_name = "command",
        .handlers = handlers,
        .context = c,
        .on_gone = on_gone,
        .may = may_ask,
    };
    struct link *l = NULL;
    gid_t gid;
    pid_t pid;

    c->q = q;
    c->mode = mode;
    fiber_cond_init(&c->gone);
    list_init(&c->link);
    if (mode == CONSOLE_OFFLINE || !sock_peer_cred(fd, &c->uid, &gid, &pid))
        c->uid = (uid_t)-1;
    c->may_edit = mode == CONSOLE_OFFLINE || is_admin(c->uid);
    if (c->may_edit || count_calls(c->uid) < CALLS_OF_USER)
        l = link_open(fd, &options);
    else
        close(fd);
    if (l != NULL) {
        list_append(&all, &c->link);
        wait_for_end(c, l);
        list_remove(&c->link);
    }
    mem_free(c);
}

void
console_end(void)
{
    ending = true;
    list_foreach (it, &all)
        fiber_cond_broadcast(&LIST_ENTRY(it, struct console, link)->gone);
}
