/*
 * orders - what master tells a daemon, carried out one after the other.
 */
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/tlv.h"
#include "lib/daemon/daemon_private.h"
#include "lib/io/fiber.h"
#include "lib/io/logsink.h"

#include <sysexits.h>

/* A message of master, in the order in which it came. */
struct order {
    struct list node;
    struct request *request;
};

static struct {
    struct list orders;
    struct fiber_cond ordered;
} queue;

static struct process *process; /* whom the orders are for */

static void carry_out(struct request *r);

static void
take_order(struct request *r)
{
    struct order *o = mem_alloc(sizeof(*o));

    o->request = r;
    list_append(&queue.orders, &o->node);
    fiber_cond_signal(&queue.ordered);
}

static void
orders_main(void *arg)
{
    (void)arg;
    for (;;) {
        struct list *first = list_take(&queue.orders);

        if (first != NULL) {
            struct order *o = LIST_ENTRY(first, struct order, node);

            carry_out(o->request);
            mem_free(o);
        } else if (fiber_cond_wait(&queue.ordered, CLOCK_NEVER) != WAIT_OK) {
            return;
        }
    }
}

static const struct link_handler orders[] = {
    { MESSAGE_CONFIGURE, take_order, SERVE_INLINE },
    { MESSAGE_LINK, take_order, SERVE_INLINE },
    { MESSAGE_LISTEN, take_order, SERVE_INLINE },
    { MESSAGE_UNLISTEN, take_order, SERVE_INLINE },
    { MESSAGE_DRAIN, take_order, SERVE_INLINE },
    { MESSAGE_WAKE, take_order, SERVE_INLINE },
    { MESSAGE_REOPEN_LOG, take_order, SERVE_INLINE },
    { MESSAGE_DIED, take_order, SERVE_INLINE },
    { MESSAGE_NONE, NULL, SERVE_INLINE },
};

static void
carry_out_configure(struct request *r)
{
    struct msg answer;
    struct why why = { .text = "" };
    enum result res = process_configure(process, r->in, &why);

    msg_init(&answer, MESSAGE_CONFIGURED);
    tlv_put_u64(&answer.body, ATTR_RESULT, (uint64_t)res);
    if (res != RESULT_OK)
        tlv_put(&answer.body, ATTR_TEXT, slice_of(why.text));
    process->refused = process->set == NULL;
    request_reply(r, &answer);
}

static void
begin_main(void *arg)
{
    struct why why;
    struct msg ready;

    (void)arg;
    if (process->options->begin != NULL &&
        process->options->begin(&why) != RESULT_OK) {
        log_fatal("%s", why.text);
        daemon_fail(EX_CONFIG);
    }
    peers_release();
    listeners_begin();
    msg_init(&ready, MESSAGE_READY);
    link_send(process->master, &ready);
}

static void
begin_when_complete(void)
{
    if (process->begun || process->set == NULL || process->expected > 0)
        return;
    process->begun = true;
    if (fiber_spawn("begin", begin_main, NULL) == NULL)
        daemon_fail(EX_OSERR);
}

/* Master does not err: what it says wrong was not said by it. */
static void
check_order(struct request *r, struct control *c, unsigned fds)
{
    if (control_decode(r->in, c) && r->in->fd_count == fds &&
        process->set != NULL)
        return;
    log_fatal("malformed %s of master", message_rule(r->in->type)->name);
    daemon_fail(EX_SOFTWARE);
}

static void
carry_out_link(struct request *r)
{
    struct control c;

    check_order(r, &c, 1);
    peers_add(&c, msg_in_take_fd(r->in, 0));
    if (process->expected > 0)
        process->expected--;
    request_drop(r);
}

static void
carry_out_listen(struct request *r)
{
    struct control c;

    check_order(r, &c, 1);
    if (!process->draining && process->options->serve != NULL)
        listeners_add(&c, msg_in_take_fd(r->in, 0), process->set);
    request_drop(r);
}

static void
carry_out_unlisten(struct request *r)
{
    struct control c;

    check_order(r, &c, 0);
    listeners_remove(c.name);
    request_drop(r);
}

static void
drain_main(void *arg)
{
    struct request *r = arg;
    struct control c;
    struct msg answer;
    int64_t deadline;

    if (!control_decode(r->in, &c))
        daemon_fail(EX_SOFTWARE);
    deadline = clock_now_ms() + c.ms;
    process->draining = true;
    listeners_close();
    if (process->options->drain != NULL)
        process->options->drain(deadline);
    listeners_wait_idle(deadline);
    peers_close(deadline);
    log_flush();
    msg_init(&answer, MESSAGE_DRAINED);
    request_reply(r, &answer);
    link_close(process->master);
    sched_stop();
}

static void
wake_main(void *arg)
{
    struct request *r = arg;
    struct control c;
    const struct service *service;
    struct config_set *set = config_hold(process->set);
    char *name;

    check_order(r, &c, 0);
    name = mem_text_of(slice_head(c.service, slice_rfind(c.service, '/')));
    service = config_find_service(set, name, NULL);
    mem_free(name);
    request_drop(r);
    if (service != NULL && !process->draining)
        process->options->wake(service);
    config_drop(set);
}

static void
carry_out_reopen(struct request *r)
{
    if (r->in->fd_count == 1)
        logsink_take_fd(msg_in_take_fd(r->in, 0), NULL);
    else
        logsink_reopen();
    request_drop(r);
}

static void
on_fiber(struct request *r, const char *name, fiber_fn fn)
{
    if (fiber_spawn(name, fn, r) == NULL)
        request_drop(r);
}

static void
carry_out_drain(struct request *r)
{
    on_fiber(r, "drain", drain_main);
}

static void
carry_out_wake(struct request *r)
{
    if (process->options->wake != NULL && process->set != NULL)
        on_fiber(r, "wake", wake_main);
    else
        request_drop(r);
}

static void
carry_out_died(struct request *r)
{
    struct control c;

    check_order(r, &c, 0);
    if (process->options->agent_died != NULL)
        process->options->agent_died(c.process, c.end, c.code);
    request_drop(r);
}

/* One after the other: a LINK means the configuration that came before it. */
static const struct {
    enum message type;
    link_serve_fn carry_out;
} deeds[] = {
    { MESSAGE_CONFIGURE, carry_out_configure },
    { MESSAGE_LINK, carry_out_link },
    { MESSAGE_LISTEN, carry_out_listen },
    { MESSAGE_UNLISTEN, carry_out_unlisten },
    { MESSAGE_DRAIN, carry_out_drain },
    { MESSAGE_WAKE, carry_out_wake },
    { MESSAGE_REOPEN_LOG, carry_out_reopen },
    { MESSAGE_DIED, carry_out_died },
};

static void
carry_out(struct request *r)
{
    if (process->refused) {
        /* Told to leave before master knew: there is nothing to finish. */
        if (r->in->type == MESSAGE_DRAIN)
            daemon_fail(EX_CONFIG);
        request_drop(r);
        return;
    }
    for (size_t i = 0; i < sizeof(deeds) / sizeof(deeds[0]); i++)
        if (deeds[i].type == r->in->type) {
            deeds[i].carry_out(r);
            break;
        }
    begin_when_complete();
}

const struct link_handler *
orders_open(struct process *whom)
{
    process = whom;
    list_init(&queue.orders);
    fiber_cond_init(&queue.ordered);
    return orders;
}

bool
orders_begin(void)
{
    return fiber_spawn("orders", orders_main, NULL) != NULL;
}
