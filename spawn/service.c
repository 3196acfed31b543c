#include "spawn/service.h"

#include "lib/base/arena.h"
#include "lib/base/mem.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

#define PATH "PATH=/usr/bin:/bin"

enum { TEXTS_MAX = 1024 * 1024, VARIABLES_MAX = 100 };

/* Of one snapshot. */
struct services {
    struct config_set *set;
    struct arena arena;
    struct program_service *list;
    size_t count;
};

/* The process's; set by services_use() alone. */
static struct services present;

static enum result
no_memory(struct why *why)
{
    return why_perm(why, "5.3.5", "too many or too long services");
}

/* Who it is, and that he is none of those whom a program must not be. */

static enum result
find_group(const char *name, gid_t *gid, struct why *why)
{
    const struct group *gr = getgrnam(name);

    if (gr == NULL)
        return why_perm(why, "5.3.5", "user=: unknown group: %s", name);
    *gid = gr->gr_gid;
    return RESULT_OK;
}

static enum result
find_user(char *name, struct program_service *s, struct why *why)
{
    char *colon = strchr(name, ':');
    const struct passwd *pw;

    if (colon != NULL)
        *colon = '\0';
    pw = getpwnam(name);
    if (pw == NULL)
        return why_perm(why, "5.3.5", "user=: unknown user: %s", name);
    s->uid = pw->pw_uid;
    s->gid = pw->pw_gid;
    return colon == NULL ? RESULT_OK : find_group(colon + 1, &s->gid, why);
}

static enum result
refuse_owner(const char *parameter, const char *owner,
    const struct program_service *s, struct why *why)
{
    const struct passwd *pw = owner[0] == '\0' ? NULL : getpwnam(owner);

    if (pw == NULL || (pw->pw_uid != s->uid && pw->pw_gid != s->gid))
        return RESULT_OK;
    return why_perm(why, "5.3.5", "user=: user or group is that of %s (%s)",
        parameter, owner);
}

/* Started by an ordinary user all of it is that user. */
static enum result
check_user(const struct config *config, const struct program_service *s,
    struct why *why)
{
    enum result res;

    if (geteuid() != 0)
        return RESULT_OK;
    if (s->uid == 0 || s->gid == 0)
        return why_perm(why, "5.3.5",
            "user=: has the user or group id of root");
    res = refuse_owner("mail_owner", config->mail_owner, s, why);
    if (res == RESULT_OK)
        res = refuse_owner("queue_owner",
            config->queue_owner[0] == '\0' ? "postern-queue"
                                           : config->queue_owner,
            s, why);
    return res;
}

/* user=, argv= */

static enum result
read_user(struct slice value, const struct config *config,
    struct program_service *s, struct why *why)
{
    char *name = mem_text_of(value);
    enum result res = find_user(name, s, why);

    mem_free(name);
    return res == RESULT_OK ? check_user(config, s, why) : res;
}

/* "argv=path" and the words behind it. */
static enum result
read_argv(struct slice path, const char *const *more, struct arena *arena,
    struct program_service *s, struct why *why)
{
    size_t count = 0;

    while (more[count] != NULL)
        count++;
    s->argv = arena_alloc(arena, (count + 2) * sizeof(s->argv[0]));
    if (s->argv == NULL || (s->argv[0] = arena_text(arena, path)) == NULL)
        return no_memory(why);
    memcpy(s->argv + 1, more, count * sizeof(s->argv[0]));
    return path.len == 0 ? why_perm(why, "5.3.5", "argv=: no command")
                         : RESULT_OK;
}

static enum result
read_attributes(const struct service *line, struct arena *arena,
    struct program_service *s, struct why *why)
{
    const struct slice user = SLICE_LIT("user="), argv = SLICE_LIT("argv=");
    bool has_user = false;

    for (size_t i = 1; line->argv[i] != NULL; i++) {
        struct slice word = slice_of(line->argv[i]);
        enum result res;

        if (slice_starts_nocase(word, argv)) {
            if (!has_user)
                break;
            return read_argv(slice_skip(word, argv.len), line->argv + i + 1,
                arena, s, why);
        }
        if (!slice_starts_nocase(word, user))
            return why_perm(why, "5.3.5", "unknown attribute: %s",
                line->argv[i]);
        res = read_user(slice_skip(word, user.len), line->config, s, why);
        if (res != RESULT_OK)
            return res;
        has_user = true;
    }
    return why_perm(why, "5.3.5", "missing attribute: %s",
        has_user ? "argv=" : "user=, in front of argv=");
}

/* export_environment */

/* "NAME=value" as it is, "NAME" with our value; NULL: we have none. */
static const char *
variable(struct arena *arena, struct slice element, bool *ok)
{
    char *name = mem_text_of(element);
    const char *value = getenv(name), *made = NULL;
    char *text = NULL;

    if (slice_find(element, '=') < element.len)
        text = mem_text(name);
    else if (value != NULL)
        text = mem_format("%s=%s", name, value);
    if (text != NULL) {
        made = arena_text(arena, slice_of(text));
        *ok = made != NULL;
    }
    mem_free(text);
    mem_free(name);
    return made;
}

static enum result
read_environment(const char *list, struct arena *arena,
    struct program_service *s, struct why *why)
{
    struct slice rest = slice_of(list), element;
    size_t count = 0;
    bool ok = true;

    s->environment = arena_alloc(arena,
        (VARIABLES_MAX + 2) * sizeof(s->environment[0]));
    if (s->environment == NULL)
        return no_memory(why);
    s->environment[count++] = PATH;
    while (ok && count <= VARIABLES_MAX && config_list_next(&rest, &element)) {
        const char *made = variable(arena, config_unbrace(element), &ok);

        if (made != NULL)
            s->environment[count++] = made;
    }
    return ok ? RESULT_OK : no_memory(why);
}

static enum result
read_line(struct services *all, const struct service *line, struct why *why)
{
    struct program_service *s = &all->list[all->count];
    struct why what;
    enum result res;

    *s = (struct program_service){
        .name = line->name,
        .type = line->type,
        .time_limit = config_transport_time(all->set, line->name, "time_limit",
            line->config->command_time_limit),
    };
    res = read_attributes(line, &all->arena, s, &what);
    if (res == RESULT_OK)
        res = read_environment(line->config->export_environment, &all->arena, s,
            &what);
    if (res != RESULT_OK)
        return why_perm(why, "5.3.5", "service %s/%s: %s", line->name,
            line->type, what.text);
    all->count++;
    return RESULT_OK;
}

static void
services_free(struct services *all)
{
    config_drop(all->set);
    arena_clear(&all->arena);
    *all = (struct services){ .set = NULL };
}

enum result
services_use(struct config_set *set, struct why *why)
{
    const size_t lines = config_service_count(set);
    struct services all = { .set = config_hold(set) };
    enum result res = RESULT_OK;

    arena_init(&all.arena, TEXTS_MAX + lines * sizeof(all.list[0]));
    all.list = arena_alloc(&all.arena, (lines + 1) * sizeof(all.list[0]));
    if (all.list == NULL)
        res = no_memory(why);
    for (size_t i = 0; i < lines && res == RESULT_OK; i++)
        if (slice_eq_text(SLICE_LIT("spawn"), config_service(set, i)->program))
            res = read_line(&all, config_service(set, i), why);
    if (res != RESULT_OK) {
        services_free(&all);
        return res;
    }
    services_free(&present);
    present = all;
    return RESULT_OK;
}

const struct program_service *
services_find(const struct service *line)
{
    for (size_t i = 0; i < present.count; i++)
        if (slice_eq_text(slice_of(line->name), present.list[i].name) &&
            slice_eq_text(slice_of(line->type), present.list[i].type))
            return &present.list[i];
    return NULL;
}
