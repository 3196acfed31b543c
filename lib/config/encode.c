/*
 * The snapshot between processes: what was read and the facts, not what was
 * made of them. The other side evaluates again and comes to the same, so there
 * is one way in which values come about. Attributes of lib/base/tlv:
 *
 *     1 version    a number, first of all
 *     2 directory  text
 *     3 fact       group: 1 key, 2 text
 *     4 main.cf    group: 1 name, 2 text, 3 line
 *     5 master.cf  group: 1 the eight fields in order, 2 each argument, 3 line
 *
 * Another version is refused: master and its children come from one build.
 */
#include "lib/base/mem.h"
#include "lib/base/tlv.h"
#include "lib/config/lines.h"
#include "lib/config/set.h"

enum { VERSION = 1 };

enum tag { TAG_VERSION = 1, TAG_DIRECTORY, TAG_FACT, TAG_MAIN, TAG_MASTER };

enum { GROUP_MAX = 4 << 20 };

static void
put_text(struct buf *to, uint32_t tag, const char *text)
{
    tlv_put(to, tag, slice_of(text));
}

void
config_encode(const struct config_set *set, struct buf *to)
{
    struct buf group;

    buf_init(&group, GROUP_MAX);
    tlv_put_u64(to, TAG_VERSION, VERSION);
    put_text(to, TAG_DIRECTORY, set->directory);
    for (const struct fact *f = set->first_fact; f != NULL; f = f->next) {
        buf_clear(&group);
        put_text(&group, 1, f->key);
        put_text(&group, 2, f->text);
        tlv_put(to, TAG_FACT, buf_slice(&group));
    }
    for (const struct assignment *a = set->main.own.first; a != NULL;
         a = a->next) {
        buf_clear(&group);
        put_text(&group, 1, a->name);
        put_text(&group, 2, a->text);
        tlv_put_u64(&group, 3, a->line);
        tlv_put(to, TAG_MAIN, buf_slice(&group));
    }
    for (size_t i = 0; i < set->entries.count; i++) {
        const struct master_entry *e = &set->entries.entry[i];

        buf_clear(&group);
        for (size_t n = 0; n < MASTER_FIELDS; n++)
            put_text(&group, 1, e->field[n]);
        for (size_t n = 0; n < e->arguments; n++)
            put_text(&group, 2, e->argument[n]);
        tlv_put_u64(&group, 3, e->line);
        tlv_put(to, TAG_MASTER, buf_slice(&group));
    }
    if (buf_failed(&group))
        to->failed = true;
    buf_fini(&group);
}

/* name, text and line: facts have no line. */
struct pair {
    struct slice name, text;
    uint64_t line;
};

static bool
decode_pair(struct slice group, struct pair *p)
{
    struct tlv t;

    *p = (struct pair){ 0 };
    while (tlv_next(&group, &t)) {
        if (t.tag == 1)
            p->name = t.value;
        else if (t.tag == 2)
            p->text = t.value;
        else if (t.tag == 3 && !tlv_u64(t.value, UINT32_MAX, &p->line))
            return false;
    }
    return group.len == 0 && p->name.len > 0 &&
        memchr(p->name.ptr, '\0', p->name.len) == NULL &&
        (p->text.len == 0 || memchr(p->text.ptr, '\0', p->text.len) == NULL);
}

static bool
decode_fact(struct config_set *set, struct slice group)
{
    struct pair p;

    if (!decode_pair(group, &p))
        return false;
    fact_put(set, set_text(set, p.name), p.text);
    return true;
}

static bool
decode_main(struct config_set *set, struct slice group)
{
    struct pair p;
    const char *old;

    if (!decode_pair(group, &p) || p.name.len > PARAMETER_NAME_MAX ||
        p.text.len > LINE_OCTETS_MAX)
        return false;
    assignments_put(set, &set->main.own, set_text(set, p.name),
        set_text(set, p.text), (unsigned)p.line, &old);
    return old == NULL;
}

/*
 * The fields are put together to a line and parsed as one, so that a snapshot
 * holds nothing that master.cf could not say.
 */
static bool
decode_master(struct config_set *set, struct slice group, struct buf *text,
    struct report *report)
{
    struct master_entries one;
    uint64_t line = 0;
    bool good = true;
    struct tlv t;

    buf_clear(text);
    while (tlv_next(&group, &t)) {
        if (t.tag == 3) {
            good = good && tlv_u64(t.value, UINT32_MAX, &line);
            continue;
        }
        if (t.value.len == 0 || (text->len == 0 && t.value.ptr[0] == '#') ||
            memchr(t.value.ptr, '\n', t.value.len) != NULL ||
            memchr(t.value.ptr, '\0', t.value.len) != NULL)
            good = false;
        buf_add(text, t.value);
        buf_add_octet(text, ' ');
    }
    if (!good || group.len > 0 || buf_failed(text))
        return false;
    master_parse(buf_slice(text), &set->arena, report, &one);
    good = one.count == 1 && report->errors == 0 &&
        set->entries.count < MASTER_ENTRIES_MAX;
    if (good) {
        one.entry[0].line = (unsigned)line;
        master_entries_add(&set->entries, &one.entry[0]);
    }
    master_entries_fini(&one);
    return good;
}

static bool
decode_all(struct config_set *set, struct slice octets, struct report *report)
{
    struct buf line;
    bool good = true;
    struct tlv t;

    buf_init(&line, LINE_OCTETS_MAX);
    while (good && tlv_next(&octets, &t)) {
        switch ((enum tag)t.tag) {
        case TAG_VERSION:
        case TAG_DIRECTORY:
            good = false; /* read before, and only once */
            break;
        case TAG_FACT:
            good = decode_fact(set, t.value);
            break;
        case TAG_MAIN:
            good = decode_main(set, t.value);
            break;
        case TAG_MASTER:
            good = decode_master(set, t.value, &line, report);
            break;
        }
    }
    buf_fini(&line);
    return good && octets.len == 0;
}

static bool
decode_head(struct slice *octets, struct slice *directory)
{
    struct tlv t;
    uint64_t version;

    if (!tlv_next(octets, &t) || t.tag != TAG_VERSION ||
        !tlv_u64(t.value, UINT32_MAX, &version) || version != VERSION)
        return false;
    if (!tlv_next(octets, &t) || t.tag != TAG_DIRECTORY || t.value.len == 0 ||
        memchr(t.value.ptr, '\0', t.value.len) != NULL)
        return false;
    *directory = t.value;
    return true;
}

enum result
config_decode(struct slice octets, struct config_set **set, struct why *why)
{
    struct report report = { 0 };
    struct slice directory;
    struct config_set *new;
    char *text;

    if (!decode_head(&octets, &directory))
        return why_perm(why, "5.3.0", "configuration of another version");
    text = mem_text_of(directory);
    new = set_new(text);
    mem_free(text);
    if (!decode_all(new, octets, &report)) {
        set_free(new);
        return why_perm(why, "5.3.0", "malformed configuration");
    }
    scope_evaluate(&new->main, &report);
    services_build(new, &report);
    services_make_tags(new);
    if (report.errors > 0) {
        set_free(new);
        return why_perm(why, "5.3.0", "configuration: %s", report.first);
    }
    *set = new;
    return RESULT_OK;
}
