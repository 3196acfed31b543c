/*
 * actor - stands in for any daemon under the real master, for tests of master
 * and of lib/daemon: a link to this program with the daemon's name is that
 * daemon. What it does is asked for over its listeners, one line each:
 *
 *     who           -> "ROLE INDEX POOL PID SERVICE"
 *     lease N       -> 2 * N by way of qmgr, waiting for a qmgr
 *     peers ROLE    -> how many are linked
 *     value NAME    -> a parameter under the service's overrides
 *     die / hang    -> as it says
 *
 * and told by files in the data directory: "ROLE.refuse" has it refuse its
 * configuration, "ROLE.die" end at once.
 */
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/tlv.h"
#include "lib/daemon/daemon.h"
#include "lib/io/fiber.h"
#include "lib/io/sock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE = 1000, ANSWER_MS = 20000, IDLE_MS = 60000 };

static enum role own_role;
static struct list sessions = LIST_INIT(sessions);

struct open_session {
    struct list node;
    struct fiber *fiber;
};

static bool
is_told(const char *what)
{
    char path[500];

    snprintf(path, sizeof(path), "%s/%s.%s",
        config_main(daemon_config())->data_directory, role_name(own_role),
        what);
    return access(path, F_OK) == 0;
}

static enum result
configure(struct config_set *set, struct why *why)
{
    char path[500];

    snprintf(path, sizeof(path), "%s/%s.refuse",
        config_main(set)->data_directory, role_name(own_role));
    return access(path, F_OK) == 0 ? why_perm(why, "5.3.5", "told to refuse")
                                   : RESULT_OK;
}

static enum result
begin(struct why *why)
{
    (void)why;
    if (is_told("die"))
        daemon_fail(7);
    log_info("begin");
    return RESULT_OK;
}

static uint64_t
count_in(const struct msg_in *in)
{
    struct slice rest = in->body;
    struct tlv t;
    uint64_t n = 0;

    while (tlv_next(&rest, &t))
        if (t.tag == ATTR_COUNT && !tlv_u64(t.value, UINT64_MAX, &n))
            n = 0;
    return n;
}

static void
serve_lease(struct request *r)
{
    struct msg m;

    msg_init(&m, MESSAGE_LEASED);
    tlv_put_u64(&m.body, ATTR_COUNT, 2 * count_in(r->in));
    request_reply(r, &m);
}

static void
say_lease(struct stream *st, uint64_t n)
{
    struct msg m;
    struct msg_in *answer = NULL;
    enum link_status status;

    msg_init(&m, MESSAGE_LEASE);
    tlv_put_u64(&m.body, ATTR_COUNT, n);
    status = daemon_call(ROLE_QMGR, &m, true, clock_now_ms() + ANSWER_MS,
        &answer);
    if (status == LINK_OK)
        stream_printf(st, CLOCK_NEVER, "%llu\n",
            (unsigned long long)count_in(answer));
    else
        stream_printf(st, CLOCK_NEVER, "failed %d\n", (int)status);
    msg_in_free(answer);
}

static void
say_peers(struct stream *st, const char *name)
{
    unsigned n = 0;

    for (unsigned role = 0; role < ROLE_COUNT; role++)
        if (strcmp(role_name((enum role)role), name) == 0)
            list_foreach (it, daemon_peers((enum role)role))
                n++;
    stream_printf(st, CLOCK_NEVER, "%u\n", n);
}

static void
obey(struct stream *st, char *line, const struct service *service,
    const char *public)
{
    if (strcmp(line, "who") == 0) {
        stream_printf(st, CLOCK_NEVER, "%s %u %u %ld %s\n", role_name(own_role),
            daemon_index(), daemon_pool(), (long)getpid(),
            public != NULL        ? public
                : service == NULL ? "-"
                                  : service->name);
    } else if (strncmp(line, "lease ", 6) == 0) {
        say_lease(st, strtoull(line + 6, NULL, 10));
    } else if (strncmp(line, "peers ", 6) == 0) {
        say_peers(st, line + 6);
    } else if (strncmp(line, "value ", 6) == 0) {
        const char *value = config_get(service->config, line + 6);

        stream_printf(st, CLOCK_NEVER, "%s\n", value == NULL ? "-" : value);
    } else if (strcmp(line, "die") == 0) {
        log_info("told to die");
        daemon_fail(9);
    } else if (strcmp(line, "hang") == 0) {
        for (;;)
            pause();
    } else {
        stream_printf(st, CLOCK_NEVER, "what?\n");
    }
}

static void
serve(int fd, const struct sock_addr *client, const struct service *service,
    struct config_set *set, const char *public)
{
    struct stream *st = stream_new(fd);
    struct open_session self = { .fiber = fiber_self() };
    struct slice line;

    (void)client;
    (void)set;
    list_append(&sessions, &self.node);
    stream_printf(st, CLOCK_NEVER, "hello\n");
    while (stream_flush(st, clock_now_ms() + IDLE_MS) == STREAM_OK &&
        stream_read_line(st, LINE, clock_now_ms() + IDLE_MS, &line) ==
            STREAM_OK) {
        char *text = mem_text_of(line);

        obey(st, text, service, public);
        mem_free(text);
    }
    list_remove(&self.node);
    stream_free(st);
}

static void
drain(int64_t deadline)
{
    log_info("drain");
    if (is_told("hang"))
        (void)fiber_sleep_until(CLOCK_NEVER);
    (void)deadline;
    list_foreach (it, &sessions)
        fiber_cancel(LIST_ENTRY(it, struct open_session, node)->fiber);
}

static void
wake(const struct service *service)
{
    log_info("woken for %s", service->name);
}

static const struct link_handler handlers[] = {
    { MESSAGE_LEASE, serve_lease, SERVE_INLINE },
    { MESSAGE_NONE, NULL, SERVE_INLINE },
};

int
main(int argc, char **argv)
{
    struct daemon_options options = {
        .configure = configure,
        .handlers = handlers,
        .begin = begin,
        .serve = serve,
        .drain = drain,
        .wake = wake,
    };
    const char *name = strrchr(argv[0], '/');

    name = name == NULL ? argv[0] : name + 1;
    for (unsigned role = 0; role < ROLE_COUNT; role++)
        if (strcmp(role_name((enum role)role), name) == 0)
            own_role = (enum role)role;
    options.role = own_role;
    daemon_init(argc, argv, &options);
    return daemon_run();
}
