/*
 * configure - CONFIGURE: the snapshot of the configuration, the log, the table of
 * slots, and what the daemon makes of them.
 */
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/daemon/daemon_private.h"
#include "lib/io/logsink.h"
#include "lib/io/offload.h"

#include <sys/mman.h>

struct snapshot {
    struct slice octets;
    struct config_set *set;
    enum result res;
    struct why *why;
};

static void
decode_snapshot(void *arg)
{
    struct snapshot *s = arg;

    s->res = config_decode(s->octets, &s->set, s->why);
}

/* Evaluating parameters digs deeper than a fiber's stack is. */
static enum result
read_snapshot(int fd, size_t length, struct config_set **set, struct why *why)
{
    struct snapshot s = { .why = why };
    void *at = length == 0 ? MAP_FAILED
                           : mmap(NULL, length, PROT_READ, MAP_PRIVATE, fd, 0);

    if (at == MAP_FAILED)
        return why_errno(why, "map the configuration");
    s.octets = (struct slice){ at, length };
    on_thread_stack(decode_snapshot, &s);
    munmap(at, length);
    *set = s.set;
    return s.res;
}

static enum result
open_log(struct process *process, struct msg_in *in,
    const struct control_configure *c, const struct config *config,
    struct why *why)
{
    char *tag = mem_format("%s/%s", config->syslog_name,
        role_name(process->options->role));

    log_set_tag(tag);
    mem_free(process->tag);
    process->tag = tag;
    if (c->has_log) {
        logsink_take_fd(msg_in_take_fd(in, 1), NULL);
        return RESULT_OK;
    }
    return logsink_open(c->log, NULL, config->syslog_facility, why);
}

static enum result
map_slots(struct msg_in *in, const struct control_configure *c, struct why *why)
{
    struct slots *slots = slots_map(in->fds[c->has_log ? 2 : 1]);

    if (slots == NULL)
        return why_errno(why, "map the table of slots");
    listeners_set_slots(slots, c->column);
    return RESULT_OK;
}

enum result
process_configure(struct process *process, struct msg_in *in, struct why *why)
{
    struct control_configure c;
    struct config_set *set = NULL;
    enum result res;

    if (!control_configure_decode(in, &c))
        return why_perm(why, "5.3.0", "malformed CONFIGURE");
    res = read_snapshot(in->fds[0], c.length, &set, why);
    if (res == RESULT_OK)
        res = open_log(process, in, &c, config_main(set), why);
    if (res == RESULT_OK && c.has_slots)
        res = map_slots(in, &c, why);
    if (res == RESULT_OK) {
        process->index = c.index;
        process->pool = c.pool;
        process->has_secrets = c.has_secrets;
        process->secrets = c.secrets;
        process->private = c.has_private ? in->fds[in->fd_count - 1] : -1;
        daemon_count_reload();
        res = process->options->configure(set, why);
    }
    process->private = -1;
    if (res != RESULT_OK) {
        config_drop(set);
        return res;
    }
    config_drop(process->set);
    process->set = set;
    if (!process->begun)
        process->expected = c.expected;
    listeners_configure(set);
    return RESULT_OK;
}
