#include "master/sockets.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/io/sock.h"
#include "master/addresses.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    BACKLOG = 4096, /* the kernel cuts it to its somaxconn */
    PUBLIC_MODE = 0666,
    RETRY_MS = 10,
    KEPT_PART = 10,
};

/* Sockets that every instance has, and whose maxproc they obey. */
static const struct {
    const char *name;
    enum role role;
} public_sockets[] = {
    { "public/lookup", ROLE_LOOKUP },
    { "public/qmgr", ROLE_QMGR },
    { "public/pickup", ROLE_SMTPD },
    { "public/smtp", ROLE_SMTPD },
    { "public/verify", ROLE_LOOKUP },
};

void
sockets_init(struct sockets *s, struct slots *slots)
{
    memset(s, 0, sizeof(*s));
    list_init(&s->all);
    s->slots = slots;
}

static void
entry_free(struct sock_entry *e)
{
    list_remove(&e->node);
    if (e->fd >= 0)
        close(e->fd);
    mem_free(e->name);
    mem_free(e->service);
    mem_free(e);
}

void
sockets_free(struct list *entries)
{
    while (!list_empty(entries))
        entry_free(LIST_ENTRY(entries->next, struct sock_entry, node));
}

static struct sock_entry *
find(const struct list *entries, const char *name, const char *service)
{
    list_foreach (it, entries) {
        struct sock_entry *e = LIST_ENTRY(it, struct sock_entry, node);

        if (strcmp(e->name, name) == 0 && strcmp(e->service, service) == 0)
            return e;
    }
    return NULL;
}

static bool
name_taken(const struct list *entries, const char *name)
{
    list_foreach (it, entries)
        if (strcmp(LIST_ENTRY(it, struct sock_entry, node)->name, name) == 0)
            return true;
    return false;
}

/* What sockets_update() is about to make of the table. */
struct update {
    struct sockets *sockets;
    struct list old; /* not asked for again so far */
    struct list kept, opened;
    int patience_ms;
    struct why *why;
};

static bool
row_in_use(const struct update *u, unsigned row)
{
    const struct list *lists[] = { &u->old, &u->kept, &u->opened };

    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        list_foreach (it, lists[i])
            if (LIST_ENTRY(it, struct sock_entry, node)->row == row)
                return true;
    return slots_used(u->sockets->slots, row) > 0;
}

/* A row that no service has, or none any more. */
static unsigned
free_row(const struct update *u)
{
    unsigned row = 0;

    while (row < SLOTS_ROWS && u->sockets->rows[row] != NULL)
        row++;
    if (row < SLOTS_ROWS)
        return row;
    row = 0;
    while (row < SLOTS_ROWS && row_in_use(u, row))
        row++;
    return row;
}

/* The row of a service: its running sessions count when it comes again. */
static enum result
find_row(struct update *u, const char *service, unsigned *row)
{
    char **rows = u->sockets->rows;
    unsigned i = 0;

    while (i < SLOTS_ROWS && (rows[i] == NULL || strcmp(rows[i], service) != 0))
        i++;
    if (i == SLOTS_ROWS)
        i = free_row(u);
    if (i == SLOTS_ROWS)
        return why_perm(u->why, "5.3.5", "more than %d services that listen",
            SLOTS_ROWS);
    if (rows[i] == NULL || strcmp(rows[i], service) != 0) {
        mem_free(rows[i]);
        rows[i] = mem_text(service);
    }
    *row = i;
    return RESULT_OK;
}

static void
pause_ms(int ms)
{
    struct timespec ts = { ms / 1000, (ms % 1000) * 1000000L };

    (void)nanosleep(&ts, NULL);
}

/*
 * The children of a killed master let go of its ports when they notice; what
 * then still has the port is another program.
 */
static enum result
listen_patiently(const struct sock_addr *addr, int patience_ms, int *fd,
    struct why *why)
{
    int64_t deadline = clock_now_ms() + patience_ms;
    enum result res;

    while ((res = sock_listen(addr, BACKLOG, fd, why)) != RESULT_OK &&
        why->sys == EADDRINUSE && clock_now_ms() < deadline)
        pause_ms(RETRY_MS);
    return res;
}

/* The entry is kept, or made with fd -1 for the caller to open; NULL: error. */
static struct sock_entry *
want(struct update *u, const char *name, const char *service, enum role role)
{
    struct sock_entry *e = find(&u->old, name, service);
    unsigned row = 0;

    if (name_taken(&u->kept, name) || name_taken(&u->opened, name)) {
        (void)why_perm(u->why, "5.3.5",
            "service %s: another service listens on %s", service, name);
        return NULL;
    }
    if (e != NULL) {
        list_remove(&e->node);
        list_append(&u->kept, &e->node);
        return e;
    }
    if (find_row(u, service, &row) != RESULT_OK)
        return NULL;
    e = mem_alloc(sizeof(*e));
    *e = (struct sock_entry){
        .name = mem_text(name),
        .service = mem_text(service),
        .role = role,
        .row = row,
        .fd = -1,
    };
    list_append(&u->opened, &e->node);
    return e;
}

/* Another service has it so far and is about to lose it. */
static int
take_over(struct update *u, const char *name)
{
    list_foreach (it, &u->old) {
        struct sock_entry *e = LIST_ENTRY(it, struct sock_entry, node);

        if (strcmp(e->name, name) == 0)
            return dup(e->fd);
    }
    return -1;
}

static enum result
want_address(struct update *u, const char *service, enum role role,
    const struct sock_addr *addr, bool wildcard)
{
    char text[SOCK_TEXT_MAX], name[SOCK_TEXT_MAX + 10];
    struct sock_entry *e;
    enum result res;

    snprintf(name, sizeof(name),
        addr->u.any.sa_family == AF_INET6 ? "[%s]:%u" : "%s:%u",
        sock_addr_text(addr, text), (unsigned)sock_addr_port(addr));
    e = want(u, name, service, role);
    if (e == NULL)
        return RESULT_PERMFAIL;
    if (e->fd < 0)
        e->fd = take_over(u, name);
    if (e->fd >= 0)
        return RESULT_OK;
    res = listen_patiently(addr, u->patience_ms, &e->fd, u->why);
    if (res != RESULT_OK && wildcard && addr->u.any.sa_family == AF_INET6 &&
        (u->why->sys == EAFNOSUPPORT || u->why->sys == EADDRNOTAVAIL)) {
        log_warning("inet_protocols: no IPv6 on this machine: %s",
            u->why->text);
        entry_free(e);
        return RESULT_OK;
    }
    return res;
}

static enum result
want_inet(struct update *u, const struct service *service, enum role role)
{
    struct addresses *found = mem_alloc(sizeof(*found));
    char *name = mem_format("%s/%s", service->name, service->type);
    enum result res = addresses_find(service, found, u->why);

    for (size_t i = 0; i < found->count && res == RESULT_OK; i++)
        res = want_address(u, name, role, &found->list[i], found->wildcard);
    mem_free(name);
    mem_free(found);
    return res;
}

/* Who may come to it is a matter of the directory. */
static enum result
want_path(struct update *u, const char *path, const char *service,
    enum role role)
{
    struct sock_entry *e = want(u, path, service, role);

    if (e == NULL)
        return RESULT_PERMFAIL;
    return e->fd >= 0
        ? RESULT_OK
        : sock_listen_unix(e->name, PUBLIC_MODE, BACKLOG, &e->fd, u->why);
}

static enum result
want_unix(struct update *u, const struct service *service, enum role role)
{
    char *path = mem_format("%s/%s", service->private ? "private" : "public",
        service->name);
    char *name = mem_format("%s/%s", service->name, service->type);
    enum result res = want_path(u, path, name, role);

    mem_free(path);
    mem_free(name);
    return res;
}

/* Programs that serve the sockets of their own lines. */
static const struct {
    const char *program, *type;
    enum role role;
    enum result (
        *want)(struct update *u, const struct service *service, enum role role);
} serving[] = {
    { "smtpd", "inet", ROLE_SMTPD, want_inet },
    { "postscreen", "inet", ROLE_SMTPD, want_inet },
    { "spawn", "inet", ROLE_SPAWN, want_inet },
    { "spawn", "unix", ROLE_SPAWN, want_unix },
};

static enum result
want_service(struct update *u, const struct service *service)
{
    for (size_t i = 0; i < sizeof(serving) / sizeof(serving[0]); i++)
        if (strcmp(service->program, serving[i].program) == 0 &&
            strcmp(service->type, serving[i].type) == 0)
            return serving[i].want(u, service, serving[i].role);
    if (strcmp(service->type, "inet") == 0)
        log_warning("service %s/inet: %s is not built, nothing listens",
            service->name, service->program);
    return RESULT_OK;
}

static bool
is_inet_server(const struct service *service)
{
    for (size_t i = 0; i < sizeof(serving) / sizeof(serving[0]); i++)
        if (serving[i].want == want_inet &&
            strcmp(service->program, serving[i].program) == 0 &&
            strcmp(service->type, serving[i].type) == 0)
            return true;
    return false;
}

bool
sockets_check(const struct config_set *set)
{
    struct addresses *found = mem_alloc(sizeof(*found));
    struct why why;
    bool good = true;

    for (size_t i = 0; i < config_service_count(set); i++) {
        const struct service *service = config_service(set, i);

        if (!is_inet_server(service) ||
            addresses_find(service, found, &why) == RESULT_OK)
            continue;
        log_fatal("%s", why.text);
        good = false;
    }
    mem_free(found);
    return good;
}

static enum result
want_all(struct update *u, const struct config_set *set)
{
    enum result res = RESULT_OK;

    for (size_t i = 0; i < config_service_count(set) && res == RESULT_OK; i++)
        res = want_service(u, config_service(set, i));
    for (size_t i = 0; i < sizeof(public_sockets) / sizeof(public_sockets[0]) &&
         res == RESULT_OK;
         i++)
        res = want_path(u, public_sockets[i].name, public_sockets[i].name,
            public_sockets[i].role);
    return res;
}

static void
move_all(struct list *from, struct list *to)
{
    struct list *item;

    while ((item = list_take(from)) != NULL)
        list_append(to, item);
}

/*
 * The process limit of postscreen's line is one, and says nothing of sessions:
 * those that it screens are besides the ones that the server behind it may have.
 */
static int64_t
limit_of(const struct config_set *set, const struct service *service)
{
    const struct service *behind;
    int64_t screened = service->config->postscreen_pre_queue_limit;

    if (strcmp(service->program, "postscreen") != 0)
        return service->maxproc;
    behind = config_find_service(set, service->config->smtpd_service_name,
        "pass");
    return behind == NULL || behind->maxproc == 0 ? 0
                                                  : behind->maxproc + screened;
}

/*
 * Strangers that pass the tests and then hold their sessions may take all of
 * these. Behind them a part as large as this is kept for who is known.
 */
static int64_t
kept_of(const struct service *service, int64_t limit)
{
    return strcmp(service->program, "postscreen") == 0 && limit > 0
        ? limit / KEPT_PART + 1
        : 0;
}

static void
set_limit(struct sockets *s, unsigned row, int64_t limit, int64_t kept)
{
    bool none = limit <= 0 || limit > INT32_MAX - kept;

    slots_keep(s->slots, row, none ? 0 : (uint32_t)kept);
    slots_set_limit(s->slots, row, none ? 0 : (uint32_t)(limit + kept));
}

static void
set_limits(struct sockets *s, const struct config_set *set)
{
    int64_t most = config_main(set)->default_process_limit;

    list_foreach (it, &s->all) {
        struct sock_entry *e = LIST_ENTRY(it, struct sock_entry, node);
        int64_t limit = most, kept = 0;

        for (size_t i = 0; i < config_service_count(set); i++) {
            const struct service *service = config_service(set, i);
            size_t n = strlen(service->name);

            if (strncmp(e->service, service->name, n) == 0 &&
                e->service[n] == '/' &&
                strcmp(e->service + n + 1, service->type) == 0) {
                limit = limit_of(set, service);
                kept = kept_of(service, limit);
            }
        }
        set_limit(s, e->row, limit, kept);
    }
}

enum result
sockets_update(struct sockets *s, const struct config_set *set, int patience_ms,
    struct list *gone, struct why *why)
{
    struct update u = {
        .sockets = s,
        .patience_ms = patience_ms,
        .why = why,
    };
    enum result res;

    list_init(&u.old);
    list_init(&u.kept);
    list_init(&u.opened);
    move_all(&s->all, &u.old);
    res = want_all(&u, set);
    if (res != RESULT_OK) {
        sockets_free(&u.opened);
        move_all(&u.kept, &s->all);
        move_all(&u.old, &s->all);
        return res;
    }
    move_all(&u.kept, &s->all);
    move_all(&u.opened, &s->all);
    move_all(&u.old, gone);
    set_limits(s, set);
    return RESULT_OK;
}
