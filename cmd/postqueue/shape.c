#include "cmd/postqueue/shape.h"

#include "lib/base/json.h"
#include "lib/base/list.h"
#include "lib/base/mem.h"
#include "lib/base/printable.h"

#include <stdlib.h>
#include <string.h>

enum {
    NAME_MAX_OCTETS = 255,
    DOMAIN_COLUMNS = 18, /* at least, whatever the terminal's width */
    LINE_MAX_OCTETS = 64 * 1024,
};

struct shape_domain {
    struct map_node node;                   /* by name */
    uint64_t counts[SHAPE_BUCKETS_MAX + 1]; /* the first: all ages */
    uint64_t subdomains;
    size_t length;
    char name[NAME_MAX_OCTETS + 1];
};

static bool
same_domain(const struct map_node *node, const void *key)
{
    const struct shape_domain *d =
        (const struct shape_domain *)(const void *)node;

    return slice_eq(*(const struct slice *)key,
        (struct slice){ d->name, d->length });
}

static struct shape_domain *
domain_of(struct shape *s, struct slice name)
{
    uint64_t hash = map_hash_slice(name);
    struct map_node *n = map_find(&s->domains, hash, same_domain, &name);
    struct shape_domain *d;

    if (n != NULL)
        return LIST_ENTRY(n, struct shape_domain, node);
    d = mem_alloc(sizeof(*d));
    d->length = slice_head(name, NAME_MAX_OCTETS).len;
    memcpy(d->name, name.ptr, d->length);
    map_add(&s->domains, hash, &d->node);
    return d;
}

void
shape_init(struct shape *s, const struct shape_options *options, int64_t now_us)
{
    *s = (struct shape){ .options = *options, .now_us = now_us };
    s->total = domain_of(s, SLICE_LIT("TOTAL"));
}

void
shape_fini(struct shape *s)
{
    struct map_node *next;

    for (struct map_node *n = map_first(&s->domains); n != NULL; n = next) {
        next = map_after(&s->domains, n);
        mem_free(LIST_ENTRY(n, struct shape_domain, node));
    }
    map_fini(&s->domains);
}

/* Counting */

static uint32_t
bucket_of(const struct shape *s, int64_t arrival_us)
{
    const struct shape_options *o = &s->options;
    int64_t age = s->now_us - arrival_us;
    int64_t tick = (int64_t)o->tick * 60 * 1000 * 1000, limit = tick;
    uint32_t bucket = 1;

    for (; bucket < o->buckets && age >= limit; bucket++)
        limit += o->linear ? tick : limit;
    return bucket;
}

/* In lower case, without dots at the ends and empty labels. */
static struct slice
domain_name(struct slice address, char name[NAME_MAX_OCTETS + 1])
{
    struct slice domain = queue_address_domain(address);
    size_t n = 0;

    if (address.len == 0)
        return SLICE_LIT("MAILER-DAEMON");
    if (slice_rfind(address, '@') == address.len)
        domain = address;
    for (size_t i = 0; i < domain.len && n < NAME_MAX_OCTETS; i++) {
        char c = domain.ptr[i];

        if (c == '.' && (n == 0 || name[n - 1] == '.'))
            continue;
        name[n++] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    if (n > 0 && name[n - 1] == '.')
        n--;
    return (struct slice){ name, n };
}

/* "a.example.org" -> ".example.org"; false: what is left is a single label. */
static bool
parent_of(struct slice *name)
{
    struct slice rest = slice_skip(*name, name->ptr[0] == '.' ? 1 : 0);
    size_t dot = slice_find(rest, '.');

    rest = slice_skip(rest, dot);
    if (dot == 0 || slice_find(slice_skip(rest, 1), '.') + 1 >= rest.len)
        return false;
    *name = rest;
    return true;
}

static void
count(struct shape *s, struct slice address, uint32_t bucket)
{
    char text[NAME_MAX_OCTETS + 1];
    struct slice name = domain_name(address, text);
    bool fresh = false;

    s->total->counts[0]++;
    s->total->counts[bucket]++;
    do {
        struct shape_domain *d = domain_of(s, name);

        d->subdomains += fresh;
        fresh = d->counts[0]++ == 0;
        d->counts[bucket]++;
    } while (s->options.parents && address.len > 0 && name.len > 0 &&
        parent_of(&name));
}

void
shape_add(struct shape *s, const struct queue_item *item)
{
    uint32_t bucket = bucket_of(s, item->arrival_us);

    if (s->options.senders) {
        count(s, item->sender, bucket);
        return;
    }
    for (size_t i = 0; i < item->recipient_count; i++)
        count(s, item->recipients[i].address, bucket);
}

/* Printing */

static int
compare(const void *a, const void *b)
{
    const struct shape_domain *x = *(struct shape_domain *const *)a;
    const struct shape_domain *y = *(struct shape_domain *const *)b;

    if (x->counts[0] != y->counts[0])
        return x->counts[0] > y->counts[0] ? -1 : 1;
    if (x->length != y->length)
        return x->length < y->length ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* All that are shown but the total, those with most mail first. */
static struct shape_domain **
sorted(const struct shape *s, size_t *n)
{
    struct shape_domain **all = mem_alloc_array(s->domains.count + 1,
        sizeof(struct shape_domain *));

    *n = 0;
    for (struct map_node *at = map_first(&s->domains); at != NULL;
         at = map_after(&s->domains, at)) {
        struct shape_domain *d = LIST_ENTRY(at, struct shape_domain, node);

        if (d != s->total &&
            (d->name[0] != '.' || d->subdomains >= s->options.subdomains))
            all[(*n)++] = d;
    }
    qsort(all, *n, sizeof(struct shape_domain *), compare);
    return all;
}

/* The age in minutes below which bucket i is; of the last one, above. */
static uint64_t
limit_of(const struct shape_options *o, uint32_t i)
{
    if (i == o->buckets)
        i--;
    return o->linear || i == 0 ? (uint64_t)o->tick * i
                               : (uint64_t)o->tick << (i - 1);
}

static void
heading(const struct shape_options *o, uint32_t i, char text[32])
{
    if (i == 0)
        (void)snprintf(text, 32, "T");
    else
        (void)snprintf(text, 32, "%llu%s", (unsigned long long)limit_of(o, i),
            i == o->buckets ? "+" : "");
}

struct columns {
    int domain, counts[SHAPE_BUCKETS_MAX + 1];
};

/* Wide enough for the totals, a blank before each. */
static void
set_columns(const struct shape *s, struct columns *c)
{
    int left = (int)s->options.width;

    for (uint32_t i = 0; i <= s->options.buckets; i++) {
        char text[32], number[32];
        int n, m;

        heading(&s->options, i, text);
        n = (int)strlen(text);
        m = snprintf(number, sizeof(number), "%llu",
            (unsigned long long)s->total->counts[i]);
        if (m > n)
            n = m;
        c->counts[i] = n > 2 ? n + 1 : 3;
        left -= c->counts[i];
    }
    c->domain = left < DOMAIN_COLUMNS ? DOMAIN_COLUMNS : left;
}

static void
print_domain(FILE *to, const struct columns *c, const struct shape_domain *d)
{
    char name[NAME_MAX_OCTETS + 1];
    int length = (int)d->length;
    const char *mark = "";

    memcpy(name, d->name, d->length + 1);
    printable_make(name, d->length);
    if (length > c->domain) {
        mark = name[0] == '.' ? ".+" : "+";
        length = c->domain - (int)strlen(mark);
    }
    (void)fprintf(to, "%*s%s%s", c->domain - length - (int)strlen(mark), "",
        mark, name + d->length - (size_t)length);
}

static void
print_line(FILE *to, const struct shape *s, const struct columns *c,
    const struct shape_domain *d)
{
    print_domain(to, c, d);
    for (uint32_t i = 0; i <= s->options.buckets; i++)
        (void)fprintf(to, "%*llu", c->counts[i],
            (unsigned long long)d->counts[i]);
    (void)fputc('\n', to);
}

static void
print_json(FILE *to, const struct shape *s, const struct shape_domain *d)
{
    struct buf line;
    char text[32];

    buf_init(&line, LINE_MAX_OCTETS);
    buf_add_text(&line, "{");
    json_member(&line, "domain", (struct slice){ d->name, d->length });
    buf_add_format(&line, ", \"total\": %llu, \"ages\": {",
        (unsigned long long)d->counts[0]);
    for (uint32_t i = 1; i <= s->options.buckets; i++) {
        heading(&s->options, i, text);
        buf_add_format(&line, "%s\"%s\": %llu", i == 1 ? "" : ", ", text,
            (unsigned long long)d->counts[i]);
    }
    buf_add_text(&line, "}}\n");
    (void)fwrite(line.ptr, 1, line.len, to);
    buf_fini(&line);
}

void
shape_print(const struct shape *s, FILE *to)
{
    struct columns c;
    struct shape_domain **all;
    char text[32];
    size_t n;

    all = sorted(s, &n);
    /* The total is one of the lines. */
    if (s->options.top > 0 && n >= s->options.top)
        n = s->options.top - 1;
    if (s->options.json) {
        print_json(to, s, s->total);
        for (size_t i = 0; i < n; i++)
            print_json(to, s, all[i]);
    } else {
        set_columns(s, &c);
        (void)fprintf(to, "%*s", c.domain, "");
        for (uint32_t i = 0; i <= s->options.buckets; i++) {
            heading(&s->options, i, text);
            (void)fprintf(to, "%*s", c.counts[i], text);
        }
        (void)fputc('\n', to);
        print_line(to, s, &c, s->total);
        for (size_t i = 0; i < n; i++)
            print_line(to, s, &c, all[i]);
    }
    mem_free(all);
}
