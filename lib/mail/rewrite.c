#include "lib/mail/rewrite.h"

#include "lib/mail/address.h"

enum { REWRITE_MAX = 64 * 1024 }; /* octets of a rewritten address */

/* An address while it changes: borrowed pieces that are joined at the end. */
struct form {
    struct slice local, domain, suffix; /* domain and suffix: one name */
    bool has_domain;
    bool changed;
};

/* "@a,@b:user@c" -> "user@c" */
static struct slice
without_route(struct slice address)
{
    size_t colon = slice_find(address, ':');

    if (address.len == 0 || address.ptr[0] != '@' || colon + 1 >= address.len)
        return address;
    return slice_skip(address, colon + 1);
}

/* What stands for "@domain" in addresses that have none; false: nothing. */
static bool
find_domain(const struct config *config, struct form *f)
{
    size_t at;

    if (config->swap_bangpath) {
        at = slice_find(f->local, '!');
        if (at < f->local.len) {
            f->domain = slice_head(f->local, at);
            f->local = slice_skip(f->local, at + 1);
            return true;
        }
    }
    if (config->allow_percent_hack) {
        at = slice_rfind(f->local, '%');
        if (at < f->local.len) {
            f->domain = slice_skip(f->local, at + 1);
            f->local = slice_head(f->local, at);
            return true;
        }
    }
    return false;
}

static void
complete_domain(const struct config *config, const char *origin, struct form *f)
{
    if (f->has_domain)
        return;
    if (find_domain(config, f)) {
        f->has_domain = f->changed = true;
    } else if (config->append_at_myorigin && origin[0] != '\0') {
        f->domain = slice_of(origin);
        f->has_domain = f->changed = true;
    }
}

/* "host" -> "host.mydomain"; a literal and a name with a dot stay. */
static void
complete_name(const struct config *config, const char *mydomain, struct form *f)
{
    if (!config->append_dot_mydomain || mydomain[0] == '\0')
        return;
    if (!f->has_domain || f->domain.len == 0 || f->domain.ptr[0] == '[' ||
        slice_find(f->domain, '.') < f->domain.len)
        return;
    f->suffix = slice_of(mydomain);
    f->changed = true;
}

/* One dot at the end, not "..". */
static void
drop_last_dot(struct form *f)
{
    struct slice *d = &f->domain;

    if (f->suffix.len == 0 && d->len > 1 && d->ptr[d->len - 1] == '.' &&
        d->ptr[d->len - 2] != '.') {
        d->len--;
        f->changed = true;
    }
}

static enum result
join(const struct form *f, struct arena *arena, struct slice *out,
    struct why *why)
{
    size_t len = f->local.len + 1 + f->domain.len + 1 + f->suffix.len;
    char *text, *to;

    if (len > REWRITE_MAX)
        return why_perm(why, "5.1.3", "address is too long");
    text = to = arena_alloc(arena, len + 1);
    if (text == NULL)
        return why_temp(why, "4.3.1", "message is too complex");
    to = mempcpy(to, f->local.ptr, f->local.len);
    if (f->has_domain) {
        *to++ = '@';
        to = mempcpy(to, f->domain.ptr, f->domain.len);
    }
    if (f->suffix.len > 0) {
        *to++ = '.';
        to = mempcpy(to, f->suffix.ptr, f->suffix.len);
    }
    *out = (struct slice){ text, (size_t)(to - text) };
    return RESULT_OK;
}

enum result
rewrite_address(const struct config *config, enum rewrite_context context,
    struct slice address, struct arena *arena, struct slice *out,
    struct why *why)
{
    const bool local = context == REWRITE_LOCAL;
    const char *remote = config->remote_header_rewrite_domain;
    struct slice bare = without_route(address);
    struct form f = { .changed = bare.len != address.len };

    if (address.len == 0 || context == REWRITE_NONE) {
        *out = address;
        return RESULT_OK;
    }
    f.has_domain = address_split(bare, &f.local, &f.domain);
    complete_domain(config, local ? config->myorigin : remote, &f);
    complete_name(config, local ? config->mydomain : remote, &f);
    drop_last_dot(&f);
    if (f.changed)
        return join(&f, arena, out, why);
    *out = address;
    return RESULT_OK;
}
