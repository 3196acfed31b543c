#include "smtp/target.h"

#include "lib/base/random.h"

static bool
is_inet6(const struct target *t)
{
    return t->addr.u.any.sa_family == AF_INET6;
}

/* Whether a comes before b, equal ones left as they are. */
static bool
comes_before(const struct target *a, const struct target *b,
    enum target_family preferred)
{
    if (a->preference != b->preference)
        return a->preference < b->preference;
    if (preferred == FAMILY_ANY || is_inet6(a) == is_inet6(b))
        return false;
    return is_inet6(a) == (preferred == FAMILY_INET6);
}

void
targets_sort(struct targets *t, enum target_family preferred, bool shuffle)
{
    for (size_t i = t->count; shuffle && i > 1; i--) {
        size_t j = (size_t)random_below(i);
        struct target swap = t->list[i - 1];

        t->list[i - 1] = t->list[j];
        t->list[j] = swap;
    }
    /* Stable, and short: TARGETS_MAX at most. */
    for (size_t i = 1; i < t->count; i++) {
        struct target moving = t->list[i];
        size_t at = i;

        while (at > 0 && comes_before(&moving, &t->list[at - 1], preferred)) {
            t->list[at] = t->list[at - 1];
            at--;
        }
        t->list[at] = moving;
    }
}

void
targets_limit(struct targets *t, size_t limit, bool balance)
{
    size_t have[2] = { 0 }, want[2], kept = 0;

    if (limit == 0 || t->count <= limit)
        return;
    for (size_t i = 0; i < t->count; i++)
        have[is_inet6(&t->list[i])]++;
    if (!balance || limit < 2 || have[0] == 0 || have[1] == 0) {
        t->count = limit;
        return;
    }
    /* Half of each; what one family has not, the other may have. */
    want[0] = have[0] < limit / 2 ? have[0] : limit / 2;
    want[1] = have[1] < limit - want[0] ? have[1] : limit - want[0];
    want[0] = limit - want[1];
    for (size_t i = 0; i < t->count; i++) {
        if (want[is_inet6(&t->list[i])] == 0)
            continue;
        want[is_inet6(&t->list[i])]--;
        t->list[kept++] = t->list[i];
    }
    t->count = kept;
}

bool
target_same_address(const struct sock_addr *a, const struct sock_addr *b)
{
    if (a->u.any.sa_family != b->u.any.sa_family)
        return false;
    if (a->u.any.sa_family == AF_UNIX)
        return strcmp(a->u.un.sun_path, b->u.un.sun_path) == 0;
    if (sock_addr_port(a) != sock_addr_port(b))
        return false;
    if (a->u.any.sa_family == AF_INET)
        return memcmp(&a->u.in.sin_addr, &b->u.in.sin_addr, 4) == 0;
    return memcmp(&a->u.in6.sin6_addr, &b->u.in6.sin6_addr, 16) == 0;
}

void
targets_remove(struct targets *t, const struct sock_addr *addr)
{
    size_t kept = 0;

    for (size_t i = 0; i < t->count; i++)
        if (!target_same_address(&t->list[i].addr, addr))
            t->list[kept++] = t->list[i];
    t->count = kept;
}
