/*
 * tables - "postern tables": what tables over the network have cost, as lookup
 * has it.
 */
#include "cmd/postern/control.h"
#include "lib/base/clock.h"
#include "lib/daemon/command.h"
#include "lib/table/cost.h"

#include <inttypes.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

enum { ANSWER_MS = 10 * 1000 };

static const char heads[] = "     asked      found     errors   waiting    p50"
                            " ms    p99 ms    max ms  table\n";

static void
print(const struct cost_told *t)
{
    (void)printf("%10" PRIu64 " %10" PRIu64 " %10" PRIu64 " %9" PRIu64
                 " %9" PRIu64 " %9" PRIu64 " %9" PRIu64 "  " SLICE_FMT "\n",
        t->asked, t->found, t->errors, t->under_way, t->ms_half, t->ms_p99,
        t->ms_most, SLICE_ARG(t->spec));
}

static enum result
ask(const struct control *c, struct msg_in **answer, struct why *why)
{
    const int64_t deadline = clock_now_ms() + ANSWER_MS;
    struct msg m;
    enum result res;
    int fd;

    res = command_connect(c->config, "lookup", &fd, why);
    if (res != RESULT_OK)
        return res;
    msg_init(&m, MESSAGE_TABLE_COSTS);
    res = wire_send(fd, &m, 1, deadline, why);
    if (res == RESULT_OK)
        res = wire_recv(fd, deadline, answer, why);
    close(fd);
    return res;
}

int
control_tables(const struct control *c)
{
    struct cost_told told;
    struct msg_in *answer;
    struct slice rest;
    struct why why;

    if (ask(c, &answer, &why) != RESULT_OK)
        command_fail(EX_UNAVAILABLE, "cannot ask for tables: %s", why.text);
    rest = answer->body;
    (void)fputs(heads, stdout);
    while (cost_next(&rest, &told))
        print(&told);
    msg_in_free(answer);
    return fflush(stdout) == 0 ? EX_OK : EX_IOERR;
}
