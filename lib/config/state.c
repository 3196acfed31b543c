/*
 * What is to be said about settings that will not do what their admin expects:
 * unknown names, parameters that are not built yet, overrides in a line whose
 * program does not look at them.
 */
#include "lib/config/set.h"

/* Values without which nothing is let through, or that ask for what is so. */
static const struct {
    const char *name;
    const char *silent; /* asks for nothing */
    const char *warn;   /* asks for what is welcome, but may be missing */
} harmless[] = {
    { "in_flow_delay", "0 0s", "" },
    { "lmtp_tls_security_level", "none", "may" },
    { "smtp_tls_security_level", "none", "may" },
    { "smtpd_client_connection_count_limit", "0", "" },
    { "smtpd_tls_security_level", "none", "may" },
};

/* Postfix's programs; those that are folded into another are built, too. */
static const struct {
    const char *name;
    enum parameter_state state;
} programs[] = {
    { "anvil", STATE_BUILT },
    { "bounce", STATE_BUILT },
    { "cleanup", STATE_BUILT },
    { "discard", STATE_BUILT },
    { "dnsblog", STATE_OBSOLETE },
    { "error", STATE_BUILT },
    { "flush", STATE_BUILT },
    { "lmtp", STATE_BUILT },
    { "local", STATE_BUILT },
    { "nbdb_reindexd", STATE_OBSOLETE },
    { "nqmgr", STATE_BUILT },
    { "oqmgr", STATE_BUILT },
    { "pickup", STATE_BUILT },
    { "pipe", STATE_PENDING },
    { "postlogd", STATE_BUILT },
    { "postscreen", STATE_BUILT },
    { "proxymap", STATE_BUILT },
    { "qmgr", STATE_BUILT },
    { "qmqpd", STATE_PENDING },
    { "scache", STATE_BUILT },
    { "showq", STATE_BUILT },
    { "smtp", STATE_BUILT },
    { "smtpd", STATE_BUILT },
    { "spawn", STATE_BUILT },
    { "tlsmgr", STATE_BUILT },
    { "tlsproxy", STATE_OBSOLETE },
    { "trivial-rewrite", STATE_BUILT },
    { "verify", STATE_BUILT },
    { "virtual", STATE_BUILT },
};

struct check {
    struct config_set *set;
    struct names names;
    struct report *main, *master; /* master may be NULL */
};

enum harm { HARM_NONE, HARM_WARN, HARM_STOP };

static bool
is_word(const char *words, const char *value)
{
    struct slice rest = slice_of(words), word;

    while (slice_word(&rest, " ", &word)) {
        if (slice_eq_text(word, value))
            return true;
    }
    return false;
}

static enum harm
harm_of(const struct parameter *p, const char *value)
{
    for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++) {
        if (strcmp(harmless[i].name, p->name) != 0)
            continue;
        if (is_word(harmless[i].silent, value))
            return HARM_NONE;
        if (is_word(harmless[i].warn, value))
            return HARM_WARN;
    }
    return p->state == STATE_PENDING ? HARM_WARN : HARM_STOP;
}

/* Setting what is so anyway changes nothing. */
static bool
is_default(const struct config_scope *scope, const struct parameter *p,
    const char *value)
{
    const char *fallback = computed_default(scope, slice_of(p->name)), *text;
    struct why why;
    int64_t a, b;

    if (fallback == NULL)
        fallback = p->fallback;
    if (p->type == PARAMETER_RAW)
        return strcmp(fallback, value) == 0;
    if (scope_expand(scope, fallback, &text, &why) != RESULT_OK ||
        !scope_parse_value(p, text, &a, &why) ||
        !scope_parse_value(p, value, &b, &why))
        return false;
    return p->type == PARAMETER_STR ? strcmp(text, value) == 0 : a == b;
}

static void
check_state(const struct config_scope *scope, const struct parameter *p,
    const struct assignment *a, const char *value, struct report *report)
{
    if (p->state != STATE_PENDING && p->state != STATE_SECURITY)
        return;
    if (value == NULL || is_default(scope, p, value))
        return;
    switch (harm_of(p, value)) {
    case HARM_NONE:
        break;
    case HARM_WARN:
        report_warning(report, a->line,
            "%s is not built into postern yet: setting ignored", a->name);
        break;
    case HARM_STOP:
        report_error(report, a->line,
            "%s = %.200s: not built into postern yet, and mail would pass "
            "without it",
            a->name, value);
        break;
    }
}

static bool
has_service(const struct config_set *set, struct slice name)
{
    for (size_t i = 0; i < set->count; i++) {
        if (slice_eq_text(name, set->services[i].name))
            return true;
    }
    return false;
}

static const char *const table_types[] = { "ldap:", "mysql:", "pgsql:",
    "sqlite:", "memcache:", "mongodb:" };

/* Whether text says "ldap:NAME" where a begins with "NAME_". */
static bool
names_table_of(const char *text, const char *type, struct slice a)
{
    const char *at = text;

    while ((at = strstr(at, type)) != NULL) {
        struct slice rest = slice_of(at + strlen(type)), name;

        at++;
        if (slice_word(&rest, " \t\r\n,{}", &name) && name.len < a.len &&
            a.ptr[name.len] == '_' && slice_starts(a, name))
            return true;
    }
    return false;
}

/* Old style: the settings of a table stand in main.cf under its name. */
static bool
belongs_to_table(const struct config_set *set, struct slice name)
{
    const size_t types = sizeof(table_types) / sizeof(table_types[0]);

    for (const struct assignment *a = set->main.own.first; a != NULL;
         a = a->next) {
        for (size_t i = 0; i < types; i++) {
            if (names_table_of(a->text, table_types[i], name))
                return true;
        }
    }
    return false;
}

static void
warn_unknown(struct report *report, const struct assignment *a)
{
    const char *near = parameter_nearest(slice_of(a->name));

    if (near == NULL)
        report_warning(report, a->line, "unknown parameter %s: ignored",
            a->name);
    else
        report_warning(report, a->line,
            "unknown parameter %s: ignored (did you mean %s?)", a->name, near);
}

/* The parameter that a name is, or belongs to. */
static const struct parameter *
find(const struct check *c, const struct assignment *a, bool *known)
{
    struct slice name = slice_of(a->name), transport;
    const struct parameter *p = parameter_find(name);

    *known = true;
    if (p != NULL)
        return p;
    p = parameter_find_suffix(name, &transport);
    if (p != NULL && (c->master == NULL || has_service(c->set, transport)))
        return p;
    *known = names_has(&c->names, name) || belongs_to_table(c->set, name);
    return NULL;
}

static const char *
value_in(const struct config_scope *scope, const struct parameter *p,
    const struct assignment *a)
{
    size_t i = (size_t)(p - parameter_at(0));

    if (parameter_find(slice_of(a->name)) != p)
        return a->value; /* of a suffix */
    return scope->texts[i];
}

static void
check_main(const struct check *c)
{
    const struct config_scope *scope = &c->set->main;
    bool known;

    for (const struct assignment *a = scope->own.first; a != NULL;
         a = a->next) {
        const struct parameter *p = find(c, a, &known);

        if (p != NULL)
            check_state(scope, p, a, value_in(scope, p, a), c->main);
        else if (!known)
            warn_unknown(c->main, a);
    }
}

/* Old schedulers' names are ours, too. */
static bool
applies(const struct parameter *p, const char *program)
{
    if (strcmp(program, "oqmgr") == 0 || strcmp(program, "nqmgr") == 0)
        program = "qmgr";
    return parameter_applies(p, program);
}

static void
check_overrides(const struct check *c, const struct service *s,
    const struct config_scope *scope)
{
    bool known;

    for (const struct assignment *a = scope->own.first; a != NULL;
         a = a->next) {
        const struct parameter *p = find(c, a, &known);

        if (p == NULL && !known) {
            warn_unknown(c->master, a);
        } else if (p != NULL && !applies(p, s->program)) {
            /* It may matter by way of "$name" in another. */
            if (!names_has(&c->names, slice_of(a->name)))
                report_warning(c->master, a->line,
                    "%s has no use for -o %s: ignored", s->program, a->name);
        } else if (p != NULL) {
            check_state(scope, p, a, value_in(scope, p, a), c->master);
        }
    }
}

static void
check_program(const struct check *c, const struct service *s, unsigned line)
{
    for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
        if (strcmp(programs[i].name, s->program) != 0)
            continue;
        if (programs[i].state == STATE_SECURITY)
            report_error(c->master, line,
                "%s is not built into postern yet, and mail would pass "
                "without it",
                s->program);
        return;
    }
    report_error(c->master, line, "unknown program \"%.100s\"", s->program);
}

/* The stock files have many lines for pipe: one complaint for all. */
static void
check_pending_programs(const struct check *c)
{
    for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
        unsigned count = 0, line = 0;

        for (size_t n = c->set->count; n-- > 0;) {
            if (strcmp(programs[i].name, c->set->services[n].program) != 0)
                continue;
            line = c->set->entries.entry[n].line;
            count++;
        }
        if (count > 0 && programs[i].state == STATE_PENDING)
            report_warning(c->master, line,
                "%s is not built into postern yet: %u services will not work",
                programs[i].name, count);
    }
}

/* Likewise for Debian's chroots. */
static void
check_chroot(const struct check *c)
{
    unsigned count = 0, line = 0;

    for (size_t i = c->set->count; i-- > 0;) {
        if (!c->set->services[i].chroot)
            continue;
        count++;
        line = c->set->entries.entry[i].line;
    }
    if (count > 0)
        report_warning(c->master, line,
            "chroot is not built into postern yet: ignored for %u services",
            count);
}

void
state_check(struct config_set *set, struct report *main_report,
    struct report *master_report)
{
    struct check c = { .set = set,
        .main = main_report,
        .master = master_report };

    names_init(&c.names, set);
    check_main(&c);
    for (size_t i = 0; master_report != NULL && i < set->count; i++) {
        check_overrides(&c, &set->services[i], &set->scopes[i]);
        check_program(&c, &set->services[i], set->entries.entry[i].line);
    }
    if (master_report != NULL) {
        check_pending_programs(&c);
        check_chroot(&c);
    }
    names_fini(&c.names);
}
