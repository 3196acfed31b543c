#include "master/console.h"

#include "lib/base/clock.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/tlv.h"
#include "lib/io/fiber.h"
#include "lib/io/sock.h"

#include <errno.h>
#include <unistd.h>

#define CONSOLE_SOCKET "pid/master.socket"

enum {
    CONSOLE_BACKLOG = 16,
    CONSOLE_LINKS_MAX = 32,
    CONSOLE_MODE = 0600,
    CONSOLE_PAUSE_MS = 100,
};

struct caller {
    struct list node;
    struct link *link;
};

/* The master's one console. */
static struct {
    console_fn fn;
    void *context;
    struct list callers;
    unsigned count;
    int fd;
    struct io_wait wait;
} console;

static void serve(struct request *r);

static const struct link_handler handlers[] = {
    { MESSAGE_INSTANCE_STATUS, serve, SERVE_FIBER },
    { MESSAGE_INSTANCE_RELOAD, serve, SERVE_FIBER },
    { MESSAGE_INSTANCE_STOP, serve, SERVE_FIBER },
    { MESSAGE_INSTANCE_ABORT, serve, SERVE_FIBER },
    { MESSAGE_INSTANCE_REOPEN, serve, SERVE_FIBER },
    { MESSAGE_NONE, NULL, SERVE_INLINE },
};

static const struct {
    enum message type;
    enum console_verb verb;
} verbs[] = {
    { MESSAGE_INSTANCE_STATUS, CONSOLE_STATUS },
    { MESSAGE_INSTANCE_RELOAD, CONSOLE_RELOAD },
    { MESSAGE_INSTANCE_STOP, CONSOLE_STOP },
    { MESSAGE_INSTANCE_ABORT, CONSOLE_ABORT },
    { MESSAGE_INSTANCE_REOPEN, CONSOLE_REOPEN },
};

static void
serve(struct request *r)
{
    enum console_verb verb = CONSOLE_STATUS;
    struct why why = { .text = "" };
    struct msg answer;
    enum result res;
    unsigned count = 0;

    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
        if (verbs[i].type == r->in->type)
            verb = verbs[i].verb;
    res = console.fn(console.context, verb, &count, &why);
    msg_init(&answer, MESSAGE_INSTANCE_DONE);
    tlv_put_u64(&answer.body, ATTR_RESULT, (uint64_t)res);
    tlv_put_u64(&answer.body, ATTR_COUNT, count);
    tlv_put(&answer.body, ATTR_TEXT, slice_of(why.text));
    request_reply(r, &answer);
}

static void
caller_gone(struct link *l, void *context)
{
    struct caller *c = context;

    (void)l;
    list_remove(&c->node);
    console.count--;
    mem_free(c);
}

static void
take_call(int fd)
{
    struct caller *c = mem_alloc(sizeof(*c));
    struct link_options options = {
        .self = ROLE_MASTER,
        .peer = ROLE_COMMAND,
        .peer_name = "postern command",
        .handlers = handlers,
        .context = c,
        .on_gone = caller_gone,
    };

    c->link = link_open(fd, &options);
    if (c->link == NULL) {
        mem_free(c);
        return;
    }
    list_append(&console.callers, &c->node);
    console.count++;
}

static void
accept_main(void *arg)
{
    (void)arg;
    for (;;) {
        int fd = sock_accept(console.fd, NULL);

        /* The mode says the same; this holds where modes are not obeyed. */
        if (fd >= 0 && console.count < CONSOLE_LINKS_MAX &&
            sock_peer_is_admin(fd))
            take_call(fd);
        else if (fd >= 0)
            close(fd);
        else if (errno != EAGAIN)
            (void)fiber_sleep_until(clock_now_ms() + CONSOLE_PAUSE_MS);
        else if (io_wait_readable(&console.wait, CLOCK_NEVER) != WAIT_OK)
            return;
    }
}

enum result
console_open(console_fn fn, void *context, struct why *why)
{
    enum result res = sock_listen_unix(CONSOLE_SOCKET, CONSOLE_MODE,
        CONSOLE_BACKLOG, &console.fd, why);

    if (res != RESULT_OK)
        return res;
    console.fn = fn;
    console.context = context;
    list_init(&console.callers);
    if (io_wait_init(&console.wait, console.fd) < 0 ||
        fiber_spawn("console", accept_main, NULL) == NULL)
        return why_errno(why, "%s", CONSOLE_SOCKET);
    return RESULT_OK;
}

void
console_close(void)
{
    list_foreach (it, &console.callers)
        link_close(LIST_ENTRY(it, struct caller, node)->link);
    (void)unlink(CONSOLE_SOCKET);
}
