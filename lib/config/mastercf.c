#include "lib/config/mastercf.h"

#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "lib/config/lines.h"
#include "lib/config/value.h"

static const char *const field_names[MASTER_FIELDS] = {
    [MASTER_SERVICE] = "service",
    [MASTER_TYPE] = "type",
    [MASTER_PRIVATE] = "private",
    [MASTER_UNPRIV] = "unprivileged",
    [MASTER_CHROOT] = "chroot",
    [MASTER_WAKEUP] = "wakeup",
    [MASTER_MAXPROC] = "process_limit",
    [MASTER_COMMAND] = "command",
};

static const char *const types[] = { "inet", "unix", "fifo", "unix-dgram",
    "pass" };

static bool
next_word(struct slice *rest, struct slice *word)
{
    return config_word_next(rest, " \t\r\n", word);
}

static bool
is_flag(const char *text)
{
    return strlen(text) == 1 && strchr("-yn", text[0]) != NULL;
}

static bool
is_number(struct slice s)
{
    uint32_t n;

    return slice_eq_text(s, "-") || num_parse_u32(s, INT32_MAX, &n);
}

static bool
is_type(const char *text)
{
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (strcmp(text, types[i]) == 0)
            return true;
    }
    return false;
}

static bool
field_ok(enum master_field field, const char *text)
{
    struct slice s = slice_of(text);

    switch (field) {
    case MASTER_SERVICE:
        return s.len > 0;
    case MASTER_COMMAND:
        return s.len > 0 && memchr(s.ptr, '{', s.len) == NULL;
    case MASTER_TYPE:
        return is_type(text);
    case MASTER_PRIVATE:
    case MASTER_UNPRIV:
    case MASTER_CHROOT:
        return is_flag(text);
    case MASTER_WAKEUP:
        if (s.len > 1 && s.ptr[s.len - 1] == '?')
            s.len--;
        return is_number(s);
    case MASTER_MAXPROC:
        return is_number(s);
    }
    return false;
}

static bool
parse_fields(struct slice *rest, struct arena *arena, struct report *report,
    struct master_entry *e)
{
    struct slice word;

    for (unsigned i = 0; i < MASTER_FIELDS; i++) {
        if (!next_word(rest, &word)) {
            report_error(report, e->line, "missing \"%s\" field",
                field_names[i]);
            return false;
        }
        e->field[i] = arena_text(arena, word);
        if (e->field[i] == NULL || !field_ok(i, e->field[i])) {
            report_error(report, e->line, "bad \"%s\" field: \"%.100s\"",
                field_names[i], e->field[i] == NULL ? "" : e->field[i]);
            return false;
        }
    }
    return true;
}

static bool
parse_arguments(struct slice rest, struct arena *arena, struct report *report,
    struct master_entry *e)
{
    struct slice count = rest, word;
    size_t n = 0;

    while (next_word(&count, &word))
        n++;
    if (n > MASTER_ARGUMENTS_MAX) {
        report_error(report, e->line, "more than %d arguments",
            MASTER_ARGUMENTS_MAX);
        return false;
    }
    e->argument = arena_alloc(arena, (n + 1) * sizeof(e->argument[0]));
    if (e->argument == NULL)
        return false;
    while (next_word(&rest, &word)) {
        e->argument[e->arguments] = arena_text(arena, word);
        if (e->argument[e->arguments++] == NULL)
            return false;
        if (master_unbrace(e->argument[e->arguments - 1], arena) == NULL) {
            report_error(report, e->line, "bad braces in \"" SLICE_FMT "\"",
                SLICE_ARG(slice_head(word, 100)));
            return false;
        }
    }
    return true;
}

void
master_entries_add(struct master_entries *entries,
    const struct master_entry *entry)
{
    if (entries->count == entries->room) {
        entries->room = entries->room == 0 ? 32 : entries->room * 2;
        entries->entry = mem_resize(entries->entry,
            entries->room * sizeof(entries->entry[0]));
    }
    entries->entry[entries->count++] = *entry;
}

void
master_entries_fini(struct master_entries *entries)
{
    mem_free(entries->entry);
    *entries = (struct master_entries){ 0 };
}

/* The last of several lines for the same service and type is the one. */
static void
replace_or_add(struct master_entries *entries, struct report *report,
    const struct master_entry *new)
{
    for (size_t i = 0; i < entries->count; i++) {
        struct master_entry *old = &entries->entry[i];

        if (strcmp(old->field[MASTER_SERVICE], new->field[MASTER_SERVICE]) !=
                0 ||
            strcmp(old->field[MASTER_TYPE], new->field[MASTER_TYPE]) != 0)
            continue;
        report_warning(report, new->line,
            "service %s of type %s stands in line %u as well: the last counts",
            new->field[MASTER_SERVICE], new->field[MASTER_TYPE], old->line);
        *old = *new;
        return;
    }
    if (entries->count == MASTER_ENTRIES_MAX)
        report_error(report, new->line, "more than %d services",
            MASTER_ENTRIES_MAX);
    else
        master_entries_add(entries, new);
}

void
master_parse(struct slice text, struct arena *arena, struct report *report,
    struct master_entries *entries)
{
    struct lines lines;
    struct slice line;

    *entries = (struct master_entries){ 0 };
    lines_init(&lines, text);
    while (lines_next(&lines, &line)) {
        struct master_entry e = { .line = lines.first };

        if (lines.stray_blank) {
            report_warning(report, lines.first,
                "a logical line must not begin with a blank: ignored");
            continue;
        }
        if (lines.too_long) {
            report_error(report, lines.first, "line too long");
            continue;
        }
        if (parse_fields(&line, arena, report, &e) &&
            parse_arguments(line, arena, report, &e))
            replace_or_add(entries, report, &e);
    }
    lines_fini(&lines);
}

const char *
master_unbrace(const char *argument, struct arena *arena)
{
    struct slice s = slice_of(argument);
    size_t level = 0;

    if (s.len == 0 || s.ptr[0] != '{')
        return argument;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '{')
            level++;
        else if (s.ptr[i] == '}' && --level == 0 && i + 1 < s.len)
            return NULL; /* "{a}b" */
    }
    if (level > 0)
        return NULL;
    s = slice_trim((struct slice){ s.ptr + 1, s.len - 2 });
    return arena_text(arena, s);
}

static bool
split_override(struct slice s, struct arena *arena, struct master_override *o)
{
    size_t len = slice_find(s, '=');
    struct slice name = slice_trim(slice_head(s, len));

    if (len == s.len || name.len == 0 || slice_find(name, ' ') < name.len ||
        slice_find(name, '\t') < name.len)
        return false;
    o->name = arena_text(arena, name);
    o->text = arena_text(arena, slice_trim(slice_skip(s, len + 1)));
    return o->name != NULL && o->text != NULL;
}

bool
master_next_override(const struct master_entry *e, struct arena *arena,
    struct report *report, size_t *next, unsigned *verbose,
    struct master_override *o)
{
    while (*next < e->arguments && e->argument[*next][0] == '-') {
        const char *option = e->argument[(*next)++], *value;

        if (strcmp(option, "--") == 0)
            return false;
        if (option[1] == 'v') {
            *verbose += (unsigned)strlen(option) - 1;
            continue;
        }
        if (option[1] == 'D')
            continue;
        if (option[1] != 'o') {
            report_error(report, e->line, "unknown option \"%.100s\"", option);
            continue;
        }
        if (option[2] != '\0')
            value = option + 2;
        else if (*next < e->arguments)
            value = master_unbrace(e->argument[(*next)++], arena);
        else
            value = "";
        if (value != NULL && split_override(slice_of(value), arena, o))
            return true;
        report_error(report, e->line, "-o needs name=value, not \"%.100s\"",
            value == NULL ? "" : value);
    }
    return false;
}
