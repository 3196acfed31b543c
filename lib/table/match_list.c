/*
 * match_list - mydestination, mynetworks, relay_domains and their like, parsed
 * once. The first pattern that matches decides; "!" turns its meaning around.
 *
 * What is wrong with a pattern is found out when the list is parsed and told
 * when matching comes to it, as Postfix does: the patterns before still work.
 */
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/config/config.h"
#include "lib/table/net.h"
#include "lib/table/table_type.h"
#include "lib/table/text.h"

#include <errno.h>
#include <sys/stat.h>

enum {
    FILE_DEPTH_MAX = 10,   /* "/file/name" in files */
    VALUE_MAX = 64 * 1024, /* of a table's result, which is not used */
};

enum pattern_kind {
    PATTERN_NAME, /* the whole, ignoring case */
    PATTERN_NET,
    PATTERN_TABLE,
    PATTERN_BROKEN,
};

struct pattern {
    enum pattern_kind kind;
    bool negative;
    char *text; /* the name; of PATTERN_BROKEN what is wrong */
    struct net net;
    struct table *table;
};

struct match_list {
    enum match_kind kind;
    bool parent;
    struct pattern *patterns;
    size_t count;
};

static struct pattern *
add_pattern(struct match_list *l, bool negative)
{
    struct pattern *p;

    l->patterns = mem_resize(l->patterns,
        (l->count + 1) * sizeof(struct pattern));
    p = &l->patterns[l->count++];
    *p = (struct pattern){ .negative = negative };
    return p;
}

static void
add_broken(struct match_list *l, const char *text)
{
    struct pattern *p = add_pattern(l, false);

    p->kind = PATTERN_BROKEN;
    p->text = mem_text(text);
}

/* A pattern that may be a block of addresses; false: it is a name. */
static bool
add_net(struct match_list *l, bool negative, struct slice text)
{
    struct net net;
    struct pattern *p;
    char *problem;

    switch (net_parse(text, &net)) {
    case NET_OK:
        p = add_pattern(l, negative);
        p->kind = PATTERN_NET;
        p->net = net;
        return true;
    case NET_HOST_BITS:
        problem = mem_format("non-null host address bits in \"" SLICE_FMT "\"",
            SLICE_ARG(text));
        break;
    case NET_BAD_LENGTH:
        problem = mem_format("bad net/mask pattern: \"" SLICE_FMT "\"",
            SLICE_ARG(text));
        break;
    case NET_NOT:
    default:
        return false;
    }
    add_broken(l, problem);
    mem_free(problem);
    return true;
}

static void
add_table(struct match_list *l, bool negative, struct slice spec,
    const struct config *config)
{
    struct table *table;
    struct pattern *p;
    struct why why;

    if (table_open(spec, config, &table, &why) != RESULT_OK) {
        add_broken(l, why.text);
        return;
    }
    p = add_pattern(l, negative);
    p->kind = PATTERN_TABLE;
    p->table = table;
}

static bool
wants_addresses(const struct match_list *l)
{
    return l->kind == MATCH_ADDRESS || l->kind == MATCH_HOST;
}

static void add_elements(struct match_list *l, struct slice text, bool negative,
    unsigned depth, const struct config *config);

/* Each line's patterns, except for lines that begin with '#'. */
static void
/* NOLINTNEXTLINE(misc-no-recursion): FILE_DEPTH_MAX */
add_file(struct match_list *l, bool negative, struct slice name, unsigned depth,
    const struct config *config)
{
    char *path = mem_text_of(name);
    struct slice rest, line;
    struct buf text;
    struct stat st;
    struct why why;

    buf_init(&text, TEXT_FILE_MAX);
    if (depth >= FILE_DEPTH_MAX) {
        (void)why_temp(&why, "4.3.5", "%s: files are nested too deeply", path);
        add_broken(l, why.text);
    } else if (text_read_file(path, &text, &st, &why) != RESULT_OK) {
        add_broken(l, why.text);
    } else {
        rest = buf_slice(&text);
        while (slice_line(&rest, &line))
            if (line.len > 0 && line.ptr[0] != '#')
                add_elements(l, line, negative, depth + 1, config);
    }
    buf_fini(&text);
    mem_free(path);
}

static void
/* NOLINTNEXTLINE(misc-no-recursion): FILE_DEPTH_MAX */
add_element(struct match_list *l, struct slice text, bool negative,
    unsigned depth, const struct config *config)
{
    struct pattern *p;

    while (text.len > 0 && text.ptr[0] == '!') {
        negative = !negative;
        text = slice_skip(text, 1);
    }
    if (text.len == 0) {
        add_broken(l, "no pattern after '!'");
    } else if (text.ptr[0] == '/') {
        add_file(l, negative, text, depth, config);
    } else if (wants_addresses(l) && add_net(l, negative, text)) {
        return;
    } else if (text.ptr[0] != '[' && slice_find(text, ':') < text.len) {
        add_table(l, negative, text, config);
    } else {
        p = add_pattern(l, negative);
        p->text = mem_text_of(text);
    }
}

static void
/* NOLINTNEXTLINE(misc-no-recursion): FILE_DEPTH_MAX */
add_elements(struct match_list *l, struct slice text, bool negative,
    unsigned depth, const struct config *config)
{
    struct slice element;

    while (config_list_next(&text, &element))
        add_element(l, element, negative, depth, config);
}

enum result
match_list_open(const char *text, enum match_kind kind, bool parent,
    const struct config *config, struct match_list **list, struct why *why)
{
    struct match_list *l = mem_alloc(sizeof(*l));

    (void)why; /* a broken pattern tells when it is asked */
    l->kind = kind;
    l->parent = parent;
    add_elements(l, slice_of(text), false, 0, config);
    *list = l;
    return RESULT_OK;
}

void
match_list_close(struct match_list *l)
{
    if (l == NULL)
        return;
    for (size_t i = 0; i < l->count; i++) {
        mem_free(l->patterns[i].text);
        table_close(l->patterns[i].table);
    }
    mem_free(l->patterns);
    mem_free(l);
}

/* Subdomains: of any name with parent, else of those written with a dot. */
static bool
is_below(const struct match_list *l, struct slice pattern, struct slice name)
{
    if (pattern.len >= name.len || !slice_ends_nocase(name, pattern))
        return false;
    if (!l->parent)
        return pattern.len > 0 && pattern.ptr[0] == '.';
    return name.ptr[name.len - pattern.len - 1] == '.';
}

static enum table_status
ask(struct table *t, struct slice key, struct why *why)
{
    struct buf value;
    enum table_status status;

    buf_init(&value, VALUE_MAX);
    status = table_find(t, key, &value, why);
    buf_fini(&value);
    return status;
}

/* "a.b.c", then "b.c", "c" with parent, or ".b.c", ".c" without. */
static enum table_status
ask_domain(const struct match_list *l, struct table *t, struct slice name,
    struct why *why)
{
    struct slice part = name;

    for (;;) {
        enum table_status status = ask(t, part, why);
        size_t dot;

        if (status != TABLE_NOT_FOUND || table_matches_whole_keys(t))
            return status;
        dot = slice_find(slice_skip(part, 1), '.') + 1;
        if (dot >= part.len)
            return TABLE_NOT_FOUND;
        part = slice_skip(part, l->parent ? dot + 1 : dot);
        if (part.len == 0)
            return TABLE_NOT_FOUND;
    }
}

static enum table_status
found_if(bool yes)
{
    return yes ? TABLE_FOUND : TABLE_NOT_FOUND;
}

static enum table_status
match_string(const struct pattern *p, struct slice subject, struct why *why)
{
    if (p->kind == PATTERN_TABLE)
        return ask(p->table, subject, why);
    return found_if(
        p->kind == PATTERN_NAME && slice_eq_nocase(subject, slice_of(p->text)));
}

static enum table_status
match_domain(const struct match_list *l, const struct pattern *p,
    struct slice name, struct why *why)
{
    struct slice pattern = slice_of(p->text);

    if (name.len == 0)
        return TABLE_NOT_FOUND;
    if (p->kind == PATTERN_TABLE)
        return ask_domain(l, p->table, name, why);
    return found_if(p->kind == PATTERN_NAME &&
        (slice_eq_nocase(name, pattern) || is_below(l, pattern, name)));
}

/* address is NULL when text is none. */
static enum table_status
match_address(const struct pattern *p, struct slice text,
    const struct net_address *address, struct why *why)
{
    if (text.len == 0)
        return TABLE_NOT_FOUND;
    if (p->kind == PATTERN_TABLE)
        return ask(p->table, text, why);
    if (p->kind == PATTERN_NET)
        return found_if(address != NULL && net_contains(&p->net, address));
    return found_if(slice_eq_nocase(text, slice_of(p->text)));
}

struct subject {
    struct slice name, text; /* text: an address */
    const struct net_address *address;
};

static enum table_status
match_one(const struct match_list *l, const struct pattern *p,
    const struct subject *s, struct why *why)
{
    enum table_status status;

    if (p->kind == PATTERN_BROKEN) {
        (void)why_temp(why, "4.3.5", "%s", p->text);
        return TABLE_ERROR;
    }
    switch (l->kind) {
    case MATCH_STRING:
        return match_string(p, s->name, why);
    case MATCH_DOMAIN:
        return match_domain(l, p, s->name, why);
    case MATCH_ADDRESS:
        return match_address(p, s->text, s->address, why);
    case MATCH_HOST:
        break;
    }
    status = match_domain(l, p, s->name, why);
    if (status != TABLE_NOT_FOUND)
        return status;
    return match_address(p, s->text, s->address, why);
}

static enum table_status
match(struct match_list *l, const struct subject *s, struct why *why)
{
    for (size_t i = 0; i < l->count; i++) {
        enum table_status status = match_one(l, &l->patterns[i], s, why);

        if (status == TABLE_ERROR)
            return TABLE_ERROR;
        if (status == TABLE_FOUND)
            return found_if(!l->patterns[i].negative);
    }
    return TABLE_NOT_FOUND;
}

enum table_status
match_list_find_host(struct match_list *l, struct slice name,
    struct slice address, struct why *why)
{
    struct net_address parsed;
    struct subject s = { .name = name, .text = address };

    if (net_address_parse(address, &parsed))
        s.address = &parsed;
    return match(l, &s, why);
}

enum table_status
match_list_find(struct match_list *l, struct slice subject, struct why *why)
{
    const struct slice none = { 0 };

    if (l->kind == MATCH_ADDRESS)
        return match_list_find_host(l, none, subject, why);
    return match_list_find_host(l, subject, none, why);
}
