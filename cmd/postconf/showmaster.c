#include "cmd/postconf/fold.h"
#include "cmd/postconf/postconf.h"
#include "lib/base/mem.h"

#include <stdio.h>
#include <stdlib.h>

/* Where each field begins when those before it are not too long. */
static const size_t columns[MASTER_FIELDS] = { 0, 11, 17, 25, 33, 41, 49, 57 };

static const char *const field_names[MASTER_FIELDS] = { "service", "type",
    "private", "unprivileged", "chroot", "wakeup", "process_limit", "command" };

static bool
has_blank(const char *text)
{
    return strpbrk(text, " \t\r\n") != NULL;
}

/* "-o name=value", in braces where the value holds blanks. */
static void
add_override(const struct postconf *pc, const struct config_scope *scope,
    const struct master_override *o, struct fold *f)
{
    const char *value = scope == NULL ? o->text
                                      : postconf_value(pc, scope, o->text);
    const char *word = set_format(pc->set,
        has_blank(value) ? "{%s=%s}" : "%s=%s", o->name, value);

    fold_break(f);
    fold_word(f, SLICE_LIT("-o"));
    fold_word(f, slice_of(word));
}

/* Options first, normalised; what follows as it was written. */
static void
add_arguments(const struct postconf *pc, const struct master_entry *e,
    const struct config_scope *scope, struct fold *f)
{
    struct report quiet = { 0 };
    struct master_override o;
    size_t next = 0, shown = 0;
    unsigned verbose = 0;

    while (
        master_next_override(e, &pc->set->arena, &quiet, &next, &verbose, &o)) {
        for (; shown < next && e->argument[shown][1] != 'o'; shown++)
            fold_word(f, slice_of(e->argument[shown]));
        add_override(pc, scope, &o, f);
        shown = next;
    }
    for (; shown < e->arguments; shown++)
        fold_word(f, slice_of(e->argument[shown]));
}

static void
add_field(const struct master_entry *e, size_t i, struct fold *f)
{
    if (i > 0)
        fold_text(f, " ");
    while (f->column < columns[i])
        fold_text(f, " ");
    fold_text(f, e->field[i]);
}

void
format_entry(const struct postconf *pc, const struct master_entry *e,
    const struct config_scope *scope, bool fold, struct buf *to)
{
    struct fold f = { .to = to, .limit = fold ? FOLD_MASTER : 0 };

    for (size_t i = 0; i < MASTER_FIELDS; i++)
        add_field(e, i, &f);
    add_arguments(pc, e, scope, &f);
}

/*
 * "service", "service/type" or "service/type/what", where "*" is any; what is
 * left out is any as well. *what borrows from request.
 */
static bool
matches(const char *request, const struct master_entry *e, struct slice *what)
{
    struct slice rest = slice_of(request), part[3] = { { 0 } };
    const char *fields[2] = { e->field[MASTER_SERVICE], e->field[MASTER_TYPE] };

    /* A service name may be a path: the type is what follows the last. */
    for (size_t i = 0; i < 3 && rest.len > 0; i++) {
        size_t len = slice_find(rest, '/');

        if (i == 0 && slice_starts(rest, slice_of(fields[0])) &&
            (rest.len == strlen(fields[0]) ||
                rest.ptr[strlen(fields[0])] == '/'))
            len = strlen(fields[0]);
        part[i] = i == 2 ? rest : slice_head(rest, len);
        rest = slice_skip(rest, i == 2 ? rest.len : len + 1);
    }
    *what = part[2];
    for (size_t i = 0; i < 2; i++) {
        if (part[i].len > 0 && !slice_eq_text(part[i], "*") &&
            !slice_eq_text(part[i], fields[i]))
            return false;
    }
    return true;
}

typedef bool (*show_fn)(struct postconf *pc, size_t i, struct slice what);

/* In the order of the requests, each in the order of the file. */
static void
show_matching(struct postconf *pc, show_fn show)
{
    for (size_t i = 0; pc->arguments == 0 && i < pc->set->count; i++)
        show(pc, i, (struct slice){ 0 });
    for (size_t n = 0; n < pc->arguments; n++) {
        bool found = false;

        for (size_t i = 0; i < pc->set->count; i++) {
            struct slice what;

            if (matches(pc->argument[n], &pc->set->entries.entry[i], &what))
                found |= show(pc, i, what);
        }
        if (!found)
            postconf_warn("unmatched request: \"%s\"", pc->argument[n]);
    }
}

static const struct config_scope *
scope_of(const struct postconf *pc, size_t i)
{
    return pc->expand ? &pc->set->scopes[i] : NULL;
}

static bool
show_service(struct postconf *pc, size_t i, struct slice what)
{
    struct buf line;

    (void)what;
    buf_init(&line, 64 << 20);
    format_entry(pc, &pc->set->entries.entry[i], scope_of(pc, i), pc->fold,
        &line);
    puts(buf_text(&line));
    buf_fini(&line);
    return true;
}

/* "service/type/what = " and then value. */
static void
begin_line(const struct postconf *pc, const struct master_entry *e,
    const char *what, struct fold *f)
{
    if (pc->hide_names)
        return;
    fold_text(f,
        set_format(pc->set, "%s/%s/%s%s", e->field[MASTER_SERVICE],
            e->field[MASTER_TYPE], what, pc->hide_values ? "" : " ="));
}

static bool
show_entry_fields(struct postconf *pc, size_t i, struct slice what)
{
    const struct master_entry *e = &pc->set->entries.entry[i];
    bool found = false;

    for (size_t n = 0; n < MASTER_FIELDS; n++) {
        struct buf line;
        struct fold f = { .to = &line, .limit = pc->fold ? FOLD_MASTER : 0 };

        if (what.len > 0 && !slice_eq_text(what, "*") &&
            !slice_eq_text(what, field_names[n]))
            continue;
        found = true;
        buf_init(&line, 64 << 20);
        begin_line(pc, e, field_names[n], &f);
        if (!pc->hide_values) {
            fold_word(&f, slice_of(e->field[n]));
            if (n == MASTER_COMMAND)
                add_arguments(pc, e, scope_of(pc, i), &f);
        }
        puts(buf_text(&line));
        buf_fini(&line);
    }
    return found;
}

static int
compare(const void *a, const void *b)
{
    const struct assignment *const *x = a, *const *y = b;

    return strcmp((*x)->name, (*y)->name);
}

static void
show_override(struct postconf *pc, size_t i, const struct assignment *a)
{
    struct buf line;
    struct fold f = { .to = &line, .limit = pc->fold ? FOLD_MAIN : 0 };

    buf_init(&line, 64 << 20);
    begin_line(pc, &pc->set->entries.entry[i], a->name, &f);
    if (!pc->hide_values)
        fold_words(&f, postconf_value(pc, &pc->set->scopes[i], a->text));
    puts(buf_text(&line));
    buf_fini(&line);
}

static bool
show_entry_overrides(struct postconf *pc, size_t i, struct slice what)
{
    const struct assignments *own = &pc->set->scopes[i].own;
    const struct assignment **sorted, *a;
    bool found = false;
    size_t n = 0;

    sorted = mem_alloc_array(own->count + 1, sizeof(sorted[0]));
    for (a = own->first; a != NULL; a = a->next)
        sorted[n++] = a;
    qsort(sorted, n, sizeof(sorted[0]), compare);
    for (size_t k = 0; k < n; k++) {
        if (what.len > 0 && !slice_eq_text(what, "*") &&
            !slice_eq_text(what, sorted[k]->name))
            continue;
        found = true;
        show_override(pc, i, sorted[k]);
    }
    mem_free(sorted);
    return found;
}

void
show_services(struct postconf *pc)
{
    show_matching(pc, show_service);
    warn_unused_overrides(pc);
}

void
show_fields(struct postconf *pc)
{
    show_matching(pc, show_entry_fields);
    warn_unused_overrides(pc);
}

void
show_overrides(struct postconf *pc)
{
    show_matching(pc, show_entry_overrides);
    warn_unused_overrides(pc);
}
