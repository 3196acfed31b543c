#include "master/wakeup.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/io/fiber.h"
#include "master/pool.h"

#include <string.h>

struct wakeup {
    struct list node;
    struct wakeups *owner;
    const struct service *service;
    enum role role;
    struct fiber_timer timer;
};

/* Of those whose work is done by the clock; the others act by themselves. */
static const struct {
    const char *program;
    enum role role;
} woken[] = {
    { "pickup", ROLE_SMTPD },
    { "qmgr", ROLE_QMGR },
    { "oqmgr", ROLE_QMGR },
    { "flush", ROLE_QMGR },
};

void
wakeups_init(struct wakeups *w, struct pools *pools)
{
    list_init(&w->all);
    w->pools = pools;
}

static void
wake(void *arg)
{
    struct wakeup *u = arg;

    pools_wake(u->owner->pools, u->role, u->service);
    fiber_timer_arm(&u->timer, clock_now_ms() + u->service->wakeup);
}

void
wakeups_clear(struct wakeups *w)
{
    struct list *item;

    while ((item = list_take(&w->all)) != NULL) {
        struct wakeup *u = LIST_ENTRY(item, struct wakeup, node);

        fiber_timer_disarm(&u->timer);
        mem_free(u);
    }
}

/* The first one at once: mail may have been dropped while we were down. */
static void
add(struct wakeups *w, const struct service *service, enum role role)
{
    struct wakeup *u = mem_alloc(sizeof(*u));

    *u = (struct wakeup){
        .owner = w,
        .service = service,
        .role = role,
        .timer = { .fn = wake, .arg = u },
    };
    list_append(&w->all, &u->node);
    fiber_timer_arm(&u->timer, clock_now_ms());
}

void
wakeups_set(struct wakeups *w, const struct config_set *set)
{
    wakeups_clear(w);
    for (size_t i = 0; i < config_service_count(set); i++) {
        const struct service *service = config_service(set, i);

        for (size_t k = 0; k < sizeof(woken) / sizeof(woken[0]); k++)
            if (service->wakeup > 0 &&
                strcmp(service->program, woken[k].program) == 0)
                add(w, service, woken[k].role);
    }
}
