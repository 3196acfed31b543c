#include "smtpd/profile.h"

#include "lib/base/list.h"
#include "lib/base/mem.h"
#include "smtpd/profile_private.h"
#include "smtpd/screen.h"

struct profile_set;

struct entry {
    struct profile profile; /* first: what users hold */
    struct profile_set *of;
    const struct service *service; /* NULL: sendmail -bs */
    bool stressed;
};

/* All profiles of one snapshot. */
struct profile_set {
    struct list node;
    struct config_set *set;
    unsigned users; /* sessions, and one while it is the newest */
    size_t count;
    struct entry entries[];
};

/* Newest first. The process's, as the configuration itself is. */
static struct list all = LIST_INIT(all);
static struct profile_set *newest;

static void
profile_set_free(struct profile_set *ps)
{
    list_remove(&ps->node);
    for (size_t i = 0; i < ps->count; i++)
        profile_fini(&ps->entries[i].profile);
    config_drop(ps->set);
    mem_free(ps);
}

static void
profile_set_leave(struct profile_set *ps)
{
    if (--ps->users == 0)
        profile_set_free(ps);
}

static bool
is_ours(const struct service *service)
{
    return slice_eq_text(slice_of(service->program), "smtpd");
}

static bool
is_screening(const struct service *service)
{
    return slice_eq_text(slice_of(service->program), "postscreen");
}

/* Which line of master.cf it is that has a parameter that is wrong. */
static enum result
name_service(const struct profile *p, enum result res, const struct why *wrong,
    struct why *why)
{
    if (res == RESULT_PERMFAIL)
        return why_perm(why, wrong->status, "service %s: %s", p->name,
            wrong->text);
    if (res == RESULT_TEMPFAIL)
        return why_temp(why, wrong->status, "service %s: %s", p->name,
            wrong->text);
    return RESULT_OK;
}

static enum result
compile_entry(struct entry *e, struct why *why)
{
    enum result res = RESULT_OK;

    if (e->service != NULL && is_screening(e->service))
        res = screen_open(e->profile.config, e->of->set, &e->profile.screen,
            why);
    return res == RESULT_OK ? profile_compile(&e->profile, why) : res;
}

static enum result
add_entry(struct profile_set *ps, const struct service *service,
    const struct config *config, struct why *why)
{
    struct entry *e = &ps->entries[ps->count++];
    struct why wrong;

    e->of = ps;
    e->service = service;
    e->profile.name = service == NULL ? "sendmail -bs" : service->name;
    e->profile.config = config;
    e->profile.rewrite = config_of_service(ps->set,
        config->rewrite_service_name);
    e->profile.tag = service == NULL ? NULL : service->log_tag;
    e->profile.stand_alone = service == NULL;
    e->profile.long_ids = config_main(ps->set)->enable_long_queue_ids;
    return name_service(&e->profile, compile_entry(e, &wrong), &wrong, why);
}

/* A service as it is, and as it is under overload. */
static enum result
add_service(struct profile_set *ps, const struct service *service,
    struct why *why)
{
    enum result res = add_entry(ps, service, service->config, why);

    if (res != RESULT_OK)
        return res;
    res = add_entry(ps, service, service->stressed, why);
    ps->entries[ps->count - 1].stressed = true;
    ps->entries[ps->count - 1].profile.calm =
        &ps->entries[ps->count - 2].profile;
    return res;
}

static struct entry *
find_entry(struct profile_set *ps, const struct service *service, bool stressed)
{
    for (size_t i = 0; i < ps->count; i++)
        if (ps->entries[i].service == service &&
            ps->entries[i].stressed == stressed)
            return &ps->entries[i];
    return NULL;
}

/* Who passes goes on under the service that smtpd_service_name names. */
static enum result
link_screens(struct profile_set *ps, struct why *why)
{
    for (size_t i = 0; i < ps->count; i++) {
        const struct entry *e = &ps->entries[i];
        const char *name = e->profile.config->smtpd_service_name;
        const struct service *service;
        const struct entry *next = NULL;

        if (e->profile.screen == NULL)
            continue;
        service = config_find_service(ps->set, name, "pass");
        if (service != NULL && is_ours(service))
            next = find_entry(ps, service, e->stressed);
        if (next == NULL)
            return why_perm(why, "4.3.5",
                "service %s: postscreen needs a service \"%s\" of type pass "
                "and program smtpd behind it",
                e->profile.name, name);
        screen_link(&e->profile, &next->profile);
    }
    return RESULT_OK;
}

/* What sendmail -bs obeys: the first listener's line. */
static const struct config *
stand_alone_config(const struct config_set *set)
{
    for (size_t i = 0; i < config_service_count(set); i++)
        if (is_ours(config_service(set, i)))
            return config_service(set, i)->config;
    return config_main(set);
}

enum result
profiles_compile(struct config_set *set, struct why *why)
{
    size_t services = config_service_count(set);
    struct profile_set *ps = mem_alloc(
        sizeof(*ps) + (2 * services + 1) * sizeof(ps->entries[0]));
    enum result res;

    ps->set = config_hold(set);
    ps->users = 1;
    list_init(&ps->node);
    res = add_entry(ps, NULL, stand_alone_config(set), why);
    for (size_t i = 0; res == RESULT_OK && i < services; i++) {
        const struct service *service = config_service(set, i);

        if (is_ours(service) || is_screening(service))
            res = add_service(ps, service, why);
    }
    if (res == RESULT_OK)
        res = link_screens(ps, why);
    if (res != RESULT_OK) {
        profile_set_free(ps);
        return res;
    }
    profiles_forget();
    list_prepend(&all, &ps->node);
    newest = ps;
    return RESULT_OK;
}

void
profiles_forget(void)
{
    if (newest != NULL)
        profile_set_leave(newest);
    newest = NULL;
}

const struct profile *
profile_use(struct config_set *set, const struct service *service, bool public,
    bool stressed)
{
    if (public)
        service = NULL;
    list_foreach (it, &all) {
        struct profile_set *ps = LIST_ENTRY(it, struct profile_set, node);
        struct entry *e = ps->set != set
            ? NULL
            : find_entry(ps, service, stressed && service != NULL);

        if (e != NULL) {
            ps->users++;
            return &e->profile;
        }
    }
    return NULL;
}

const struct profile *
profile_hold(const struct profile *p)
{
    LIST_ENTRY_CONST(p, struct entry, profile)->of->users++;
    return p;
}

void
profile_leave(const struct profile *p)
{
    if (p != NULL)
        profile_set_leave(LIST_ENTRY_CONST(p, struct entry, profile)->of);
}
