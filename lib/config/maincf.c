#include "lib/config/lines.h"
#include "lib/config/set.h"

static bool
has_blank(struct slice s)
{
    return slice_find(s, ' ') < s.len || slice_find(s, '\t') < s.len;
}

static void
parse_line(struct config_set *set, struct slice line, unsigned number,
    struct report *report)
{
    size_t len = slice_find(line, '=');
    struct slice name = slice_trim(slice_head(line, len));
    const char *text, *old;

    if (name.len == 0) {
        report_error(report, number, "missing parameter name");
        return;
    }
    if (len == line.len || has_blank(name)) {
        report_error(report, number,
            "missing '=' after parameter name: \"" SLICE_FMT "\"",
            SLICE_ARG(slice_head(line, 100)));
        return;
    }
    if (name.len > PARAMETER_NAME_MAX) {
        report_error(report, number, "parameter name is too long");
        return;
    }
    text = set_text(set, slice_trim(slice_skip(line, len + 1)));
    assignments_put(set, &set->main.own, set_text(set, name), text, number,
        &old);
    if (old != NULL && strcmp(old, text) != 0)
        report_warning(report, number,
            "overriding earlier entry: " SLICE_FMT "=%.200s", SLICE_ARG(name),
            old);
}

void
main_parse(struct config_set *set, struct slice text, struct report *report)
{
    struct lines lines;
    struct slice line;

    lines_init(&lines, text);
    while (lines_next(&lines, &line)) {
        if (lines.too_long)
            report_error(report, lines.first, "line too long");
        else if (lines.stray_blank)
            report_warning(report, lines.first,
                "a logical line must not begin with a blank: ignored");
        else
            parse_line(set, line, lines.first, report);
    }
    lines_fini(&lines);
}
