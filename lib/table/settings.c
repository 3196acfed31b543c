#include "lib/table/settings.h"

#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "lib/table/pairs.h"
#include "lib/table/table_files.h"
#include "lib/table/template.h"
#include "lib/table/text.h"

struct settings {
    const struct table *table;
    const struct config *config;
    bool from_file;
    struct pairs pairs;
    struct buf text; /* holds passwords */
};

static enum result
take_line(void *context, unsigned number, struct slice line)
{
    struct settings *s = context;
    struct slice name, value;
    bool there;

    (void)number;
    /* As in main.cf, the last one counts. */
    if (!text_split_assignment(line, &name, &value) ||
        pairs_put(&s->pairs, name, value, PAIRS_REPLACE, &there))
        return RESULT_OK;
    return RESULT_PERMFAIL;
}

enum result
settings_open(const struct table *t, const struct config *config,
    struct settings **out, struct why *why)
{
    struct settings *s = mem_alloc(sizeof(*s));
    enum result res = RESULT_OK;

    s->table = t;
    s->config = config;
    s->from_file = t->name[0] == '/' || t->name[0] == '.';
    pairs_init(&s->pairs);
    buf_init_secret(&s->text, TABLE_FILE_MAX);
    if (t->name[0] == '\0')
        res = why_perm(why, "5.3.5", "%s: no file name", t->spec);
    else if (s->from_file)
        res = table_files_read(t->name, &s->text, why);
    if (res == RESULT_OK && s->from_file &&
        text_each_line(t->name, buf_slice(&s->text), take_line, s) != RESULT_OK)
        res = why_perm(why, "5.3.5", "%s: file is too large", t->name);
    if (res != RESULT_OK) {
        settings_close(s);
        return res;
    }
    *out = s;
    return RESULT_OK;
}

void
settings_close(struct settings *s)
{
    if (s == NULL)
        return;
    pairs_fini(&s->pairs);
    buf_fini(&s->text);
    mem_free(s);
}

const char *
settings_get(const struct settings *s, const char *name)
{
    const struct pair *pair;
    const char *value;
    char *full;

    if (s->from_file) {
        pair = pairs_get(&s->pairs, slice_of(name));
        return pair == NULL ? NULL : pair->value.ptr;
    }
    full = mem_format("%s_%s", s->table->name, name);
    value = config_get(s->config, full);
    mem_free(full);
    return value;
}

const char *
settings_text(const struct settings *s, const char *name, const char *fallback)
{
    const char *value = settings_get(s, name);

    return value == NULL || *value == '\0' ? fallback : value;
}

enum result
settings_number(const struct settings *s, const char *name, int64_t least,
    int64_t most, int64_t *n, struct why *why)
{
    const char *text = settings_text(s, name, NULL);
    uint64_t value;

    if (text == NULL)
        return RESULT_OK;
    if (!num_parse_u64(slice_of(text), (uint64_t)most, &value) ||
        (int64_t)value < least)
        return why_perm(why, "5.3.5",
            "%s: bad numerical configuration: %s = %s", s->table->spec, name,
            text);
    *n = (int64_t)value;
    return RESULT_OK;
}

enum result
settings_time(const struct settings *s, const char *name, int64_t *ms,
    struct why *why)
{
    const char *text = settings_text(s, name, NULL);

    if (text == NULL)
        return RESULT_OK;
    if (!config_parse_time(slice_of(text), 's', ms) || *ms <= 0)
        return why_perm(why, "5.3.5", "%s: bad time: %s = %s", s->table->spec,
            name, text);
    return RESULT_OK;
}

enum result
results_open(struct results *r, const struct table *t, const struct settings *s,
    const struct config *config, struct why *why)
{
    const char *format = settings_text(s, "result_format",
        settings_text(s, "result_filter", "%s"));
    const char *domains = settings_text(s, "domain", NULL);
    char bad = '\0';

    *r = (struct results){ .spec = t->spec };
    if (!template_check(format, &bad))
        return why_perm(why, "5.3.5", "%s: invalid result_format: %s", t->spec,
            format);
    if (settings_number(s, "expansion_limit", 0, INT32_MAX, &r->limit, why) !=
        RESULT_OK)
        return RESULT_PERMFAIL;
    if (domains != NULL &&
        match_list_open(domains, MATCH_STRING, false, config, &r->domains,
            why) != RESULT_OK)
        return RESULT_PERMFAIL;
    r->format = mem_text(format);
    return RESULT_OK;
}

void
results_close(struct results *r)
{
    mem_free(r->format);
    match_list_close(r->domains);
    *r = (struct results){ 0 };
}

enum table_status
results_want(const struct results *r, struct slice key, struct why *why)
{
    size_t at = slice_rfind(key, '@');

    if (key.len == 0)
        return TABLE_NOT_FOUND;
    if (r->domains == NULL)
        return TABLE_FOUND;
    if (at == 0 || at + 1 >= key.len)
        return TABLE_NOT_FOUND;
    return match_list_find(r->domains, slice_skip(key, at + 1), why);
}

bool
results_add(const struct results *r, struct slice key, struct slice value,
    unsigned *count, struct buf *to)
{
    size_t before = to->len;

    if (value.len == 0)
        return true;
    if (*count > 0)
        buf_add_octet(to, ',');
    switch (template_expand(r->format, value, key, NULL, NULL, to)) {
    case TEMPLATE_SUPPRESSED:
    case TEMPLATE_FAILED:
        if (buf_failed(to))
            return false;
        buf_truncate(to, before);
        return true;
    case TEMPLATE_DONE:
        break;
    }
    ++*count;
    return r->limit == 0 || *count <= r->limit;
}
