#include "lookup/clients.h"

#include "lib/base/clock.h"
#include "lib/base/list.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/io/fiber.h"

struct client {
    struct map_node node;
    struct list link; /* oldest first */
    struct sock_addr addr;
    struct client_name name;
    bool known;
    int64_t until_ms;
    unsigned waiting;
    struct fiber_cond answered;
};

struct clients {
    struct map map;
    struct list order;
    unsigned asking;
    clients_ask_fn ask;
};

static struct slice
octets(const struct sock_addr *addr)
{
    if (addr->u.any.sa_family == AF_INET)
        return (struct slice){ (const char *)&addr->u.in.sin_addr, 4 };
    return (struct slice){ (const char *)&addr->u.in6.sin6_addr, 16 };
}

static struct client *
of_node(const struct map_node *node)
{
    return (struct client *)((uintptr_t)node - offsetof(struct client, node));
}

static bool
same(const struct map_node *node, const void *key)
{
    return slice_eq(octets(&of_node(node)->addr), octets(key));
}

struct clients *
clients_new(clients_ask_fn ask)
{
    struct clients *c = mem_alloc(sizeof(*c));

    map_init(&c->map);
    list_init(&c->order);
    c->ask = ask;
    return c;
}

static void
forget(struct clients *c, struct client *client)
{
    map_remove(&c->map, &client->node);
    list_remove(&client->link);
    mem_free(client);
}

void
clients_free(struct clients *c)
{
    if (c == NULL)
        return;
    while (!list_empty(&c->order))
        forget(c, LIST_ENTRY(c->order.next, struct client, link));
    map_fini(&c->map);
    mem_free(c);
}

/* Room for one more: what is over, or the oldest that nobody waits for. */
static void
forget_old(struct clients *c)
{
    int64_t now = clock_now_ms();

    list_foreach_safe (it, &c->order) {
        struct client *client = LIST_ENTRY(it, struct client, link);

        if (!client->known || client->waiting > 0)
            continue;
        if (client->until_ms > now && c->map.count < CLIENTS_MAX)
            break;
        forget(c, client);
    }
}

static struct client *
add_client(struct clients *c, const struct sock_addr *addr)
{
    struct client *client = mem_alloc(sizeof(*client));

    forget_old(c);
    client->addr = *addr;
    fiber_cond_init(&client->answered);
    map_add(&c->map, map_hash_slice(octets(addr)), &client->node);
    list_append(&c->order, &client->link);
    return client;
}

static void
ask(struct clients *c, struct client *client)
{
    c->asking++;
    client->waiting++;
    c->ask(&client->addr, &client->name);
    client->waiting--;
    c->asking--;
    client->known = true;
    client->until_ms = clock_now_ms() + CLIENTS_KEEP_MS;
    /* In the order of their ends, for forget_old(). */
    list_remove(&client->link);
    list_append(&c->order, &client->link);
    fiber_cond_broadcast(&client->answered);
}

static void
no_name_for_now(struct client_name *name)
{
    *name = (struct client_name){ CLIENT_NAME_TEMP, CLIENT_NAME_TEMP, "unknown",
        "unknown" };
}

void
clients_find(struct clients *c, const struct sock_addr *addr, int64_t deadline,
    struct client_name *name)
{
    struct map_node *node = map_find(&c->map, map_hash_slice(octets(addr)),
        same, addr);
    struct client *client = node == NULL ? NULL : of_node(node);

    if (client != NULL && client->known && client->waiting == 0 &&
        client->until_ms <= clock_now_ms()) {
        forget(c, client);
        client = NULL;
    }
    if (client == NULL && c->asking >= CLIENTS_ASKING_MAX) {
        no_name_for_now(name);
        return;
    }
    if (client == NULL) {
        client = add_client(c, addr);
        ask(c, client);
    }
    client->waiting++;
    while (!client->known)
        if (fiber_cond_wait(&client->answered, deadline) != WAIT_OK)
            break;
    client->waiting--;
    if (client->known)
        *name = client->name;
    else
        no_name_for_now(name);
}
