#include "lib/mail/cleanup_profile.h"

#include "lib/base/mem.h"
#include "lib/mail/address_lookup.h"

/* In use, or of the newest configuration. */
static struct list profiles = LIST_INIT(profiles);

static struct cleanup_profile *
profile_of(struct list *node)
{
    return LIST_ENTRY(node, struct cleanup_profile, node);
}

static void
profile_free(struct cleanup_profile *p)
{
    list_remove(&p->node);
    address_classes_close(p->classes);
    table_list_close(p->virtual_alias_maps);
    config_drop(p->set);
    mem_free(p);
}

/* Those of other configurations that nobody uses any more. */
static void
drop_old(const struct config_set *newest)
{
    list_foreach_safe (it, &profiles) {
        struct cleanup_profile *p = profile_of(it);

        if (p->users == 0 && p->set != newest)
            profile_free(p);
    }
}

static enum result
parse_drop_headers(struct cleanup_profile *p, struct why *why)
{
    struct slice rest = slice_of(p->config->message_drop_headers), name;

    while (config_list_next(&rest, &name)) {
        if (p->drop_count == CLEANUP_DROP_MAX)
            return why_temp(why, "4.3.5",
                "message_drop_headers: more than %d names", CLEANUP_DROP_MAX);
        p->drop[p->drop_count++] = name;
    }
    return RESULT_OK;
}

static enum result
profile_new(struct config_set *set, const struct config *config,
    const char *service, struct cleanup_profile **out, struct why *why)
{
    struct cleanup_profile *p = mem_alloc(sizeof(*p));
    enum result res;

    list_init(&p->node);
    p->set = config_hold(set);
    p->config = config;
    p->rewrite_config = config_of_service(set, config->rewrite_service_name);
    p->tag = config_tag_of_service(set, service, "cleanup");
    p->propagates_virtual = address_propagates(config, "virtual");
    res = parse_drop_headers(p, why);
    if (res == RESULT_OK)
        res = address_classes_open(config, &p->classes, why);
    if (res == RESULT_OK)
        res = table_list_open(config->virtual_alias_maps, config,
            &p->virtual_alias_maps, why);
    if (res != RESULT_OK) {
        profile_free(p);
        return RESULT_TEMPFAIL; /* a mistake of ours is not the sender's */
    }
    *out = p;
    return RESULT_OK;
}

enum result
cleanup_profile_use(struct config_set *set, const char *service,
    struct cleanup_profile **profile, struct why *why)
{
    const struct config *config = config_of_service(set, service);
    struct cleanup_profile *p;
    enum result res;

    list_foreach (it, &profiles) {
        p = profile_of(it);
        if (p->set == set && p->config == config) {
            p->users++;
            *profile = p;
            return RESULT_OK;
        }
    }
    /* Two that wait here at the same time make two: harmless. */
    res = profile_new(set, config, service, &p, why);
    if (res != RESULT_OK)
        return res;
    drop_old(set);
    list_prepend(&profiles, &p->node);
    p->users = 1;
    *profile = p;
    return RESULT_OK;
}

void
cleanup_profile_leave(struct cleanup_profile *p)
{
    p->users--;
}

void
cleanup_close_tables(void)
{
    drop_old(NULL);
}
