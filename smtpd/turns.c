#include "smtpd/turns.h"

#include "lib/base/list.h"
#include "lib/base/mem.h"
#include "lib/io/fiber.h"

struct user {
    struct list node;
    uid_t uid;
    unsigned here, active;
    struct fiber_cond given; /* a turn back */
};

/* Those who are here, few at a time; and whether it is time to leave. */
static struct list users = LIST_INIT(users);
static bool ending;

static struct user *
find(uid_t uid)
{
    list_foreach (it, &users) {
        struct user *u = LIST_ENTRY(it, struct user, node);

        if (u->uid == uid)
            return u;
    }
    return NULL;
}

bool
turns_enter(uid_t uid)
{
    struct user *u = find(uid);

    if (u == NULL) {
        u = mem_alloc(sizeof(*u));
        u->uid = uid;
        fiber_cond_init(&u->given);
        list_append(&users, &u->node);
    }
    if (uid != 0 && u->here >= TURNS_HERE_MAX)
        return false;
    u->here++;
    return true;
}

void
turns_leave(uid_t uid)
{
    struct user *u = find(uid);

    if (u == NULL || --u->here > 0)
        return;
    list_remove(&u->node);
    mem_free(u);
}

bool
turn_take(uid_t uid, int64_t deadline)
{
    struct user *u = find(uid);

    if (u == NULL)
        return false;
    while (uid != 0 && u->active >= TURNS_AT_A_TIME)
        if (ending || fiber_cond_wait(&u->given, deadline) != WAIT_OK)
            return false;
    u->active++;
    return true;
}

void
turn_give(uid_t uid)
{
    struct user *u = find(uid);

    if (u == NULL)
        return;
    u->active--;
    fiber_cond_signal(&u->given);
}

void
turns_end(void)
{
    ending = true;
    list_foreach (it, &users)
        fiber_cond_broadcast(&LIST_ENTRY(it, struct user, node)->given);
}
