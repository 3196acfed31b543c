#include "lib/table/named.h"

#include "lib/base/mem.h"
#include "lib/table/table_type.h"

struct named {
    struct map_node node;
    unsigned direct, proxied; /* sets of roles, by how it is named */
    bool proxy_allowed;       /* proxy_read_maps has it */
    char *spec;
};

/*
 * The programs of Postfix that each role is. Who hands in mail also cleans it up
 * and rewrites addresses. lookup is given every table: it opens them.
 */
static const struct {
    enum role role;
    const char *programs;
} acts_as[] = {
    { ROLE_SMTPD,
        "smtpd cleanup flush pickup postdrop postscreen qmqpd sendmail "
        "trivial-rewrite verify" },
    { ROLE_SMTP, "smtp lmtp" },
    { ROLE_LOCAL, "local cleanup pipe trivial-rewrite virtual" },
    { ROLE_BOUNCE, "bounce cleanup trivial-rewrite" },
};

static struct named *
of_node(const struct map_node *node)
{
    _Static_assert(offsetof(struct named, node) == 0, "cast below");
    return (struct named *)(uintptr_t)node;
}

static bool
same(const struct map_node *node, const void *key)
{
    return slice_eq_text(*(const struct slice *)key, of_node(node)->spec);
}

static struct named *
find(const struct named_tables *n, struct slice spec)
{
    struct map_node *node = map_find(&n->map, map_hash_slice(spec), same,
        &spec);

    return node == NULL ? NULL : of_node(node);
}

static struct named *
find_or_add(struct named_tables *n, struct slice spec)
{
    struct named *t = find(n, spec);

    if (t == NULL) {
        t = mem_alloc(sizeof(*t));
        t->spec = mem_text_of(spec);
        map_add(&n->map, map_hash_slice(spec), &t->node);
    }
    return t;
}

static bool
is_remote(struct slice spec)
{
    size_t colon = slice_find(spec, ':');
    const struct table_type *type = table_type_find(slice_head(spec, colon));

    return colon < spec.len && type != NULL &&
        (type->flags & TABLE_REMOTE) != 0;
}

/* What a word is found in. */
struct place {
    struct named_tables *named;
    unsigned roles;
    bool approves; /* proxy_read_maps */
};

static void
take_word(const struct place *place, struct slice word)
{
    const struct slice proxy = SLICE_LIT("proxy:");
    bool proxied = false;
    struct named *t;

    while (word.len > 0 && word.ptr[0] == '!')
        word = slice_skip(word, 1);
    while (slice_starts(word, proxy)) {
        word = slice_skip(word, proxy.len);
        proxied = true;
    }
    if (!is_remote(word) || (place->approves && !proxied))
        return;
    t = find_or_add(place->named, word);
    if (place->approves)
        t->proxy_allowed = true;
    else if (proxied)
        t->proxied |= place->roles;
    else
        t->direct |= place->roles;
}

static void
take_words(const struct place *place, const char *text)
{
    struct slice rest = slice_of(text), word;

    while (slice_word(&rest, " \t\r\n,{}", &word))
        take_word(place, word);
}

/* A restriction class is a list that smtpd finds under a name of its own. */
static bool
is_class(const struct config_text *t)
{
    struct slice rest = slice_of(t->config->smtpd_restriction_classes), word;

    while (slice_word(&rest, " \t\r\n,", &word))
        if (slice_eq_text(word, t->name))
            return true;
    return false;
}

/* Whether a line of one of these programs, or main.cf, has the text for them. */
static bool
is_for(struct slice programs, const struct config_text *t)
{
    bool obeyed = false, line = t->program == NULL;
    struct slice word;

    while (slice_word(&programs, " ", &word)) {
        char *program = mem_text_of(word);

        obeyed = obeyed || config_obeys(program, t->name);
        line = line || strcmp(program, t->program) == 0;
        mem_free(program);
    }
    return obeyed && line;
}

static unsigned
roles_of(const struct config_text *t)
{
    unsigned roles = ROLE_BIT(ROLE_LOOKUP);

    for (size_t i = 0; i < sizeof(acts_as) / sizeof(acts_as[0]); i++)
        if (is_for(slice_of(acts_as[i].programs), t))
            roles |= ROLE_BIT(acts_as[i].role);
    if (is_class(t))
        roles |= ROLE_BIT(ROLE_SMTPD);
    return roles;
}

static void
take_text(void *context, const struct config_text *t)
{
    struct place place = { .named = context };

    /* It approves, and names nothing; most others have no table in them. */
    if (strchr(t->text, ':') == NULL || strcmp(t->name, "proxy_read_maps") == 0)
        return;
    place.roles = roles_of(t);
    take_words(&place, t->text);
}

void
named_tables_init(struct named_tables *n, const struct config_set *set)
{
    const struct place approved = { .named = n, .approves = true };

    map_init(&n->map);
    config_each_text(set, take_text, n);
    take_words(&approved, config_main(set)->proxy_read_maps);
}

void
named_tables_fini(struct named_tables *n)
{
    struct map_node *node, *after;

    for (node = map_first(&n->map); node != NULL; node = after) {
        struct named *t = of_node(node);

        after = map_after(&n->map, node);
        map_remove(&n->map, node);
        mem_free(t->spec);
        mem_free(t);
    }
    map_fini(&n->map);
}

static bool
is_allowed(const struct named *t, enum role role)
{
    return ((t->direct | (t->proxy_allowed ? t->proxied : 0)) &
               ROLE_BIT(role)) != 0;
}

bool
named_tables_may(const struct named_tables *n, enum role role,
    struct slice spec)
{
    const struct named *t = find(n, spec);

    return t != NULL && is_allowed(t, role);
}

void
named_tables_each(const struct named_tables *n,
    void (*fn)(void *context, struct slice spec), void *context)
{
    for (struct map_node *node = map_first(&n->map); node != NULL;
         node = map_after(&n->map, node))
        if (is_allowed(of_node(node), ROLE_LOOKUP))
            fn(context, slice_of(of_node(node)->spec));
}
