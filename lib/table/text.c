#include "lib/table/text.h"

#include "lib/base/log.h"
#include "lib/config/lines.h"
#include "lib/table/table_open.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static bool
is_blank(char c)
{
    return c != '\0' && strchr(" \t\r\n\f\v", c) != NULL;
}

static struct slice
trim(struct slice s)
{
    while (s.len > 0 && is_blank(s.ptr[0]))
        s = slice_skip(s, 1);
    while (s.len > 0 && is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

/* Up to the first blank outside quotes; false when a quote stays open. */
static bool
quoted_word(struct slice in, struct slice *word)
{
    bool quoted = false;
    size_t i;

    for (i = 0; i < in.len; i++) {
        if (in.ptr[i] == '\\' && i + 1 < in.len)
            i++;
        else if (in.ptr[i] == '"')
            quoted = !quoted;
        else if (!quoted && is_blank(in.ptr[i]))
            break;
    }
    *word = slice_head(in, i);
    return !quoted;
}

bool
text_split_pair(struct slice line, struct slice *key, struct slice *value,
    const char **problem)
{
    line = trim(line);
    if (!quoted_word(line, key)) {
        *problem = "unbalanced '\"'";
        return false;
    }
    *value = trim(slice_skip(line, key->len));
    if (key->len == 0 || value->len == 0) {
        *problem = "expected format: key whitespace value";
        return false;
    }
    return true;
}

bool
text_take_pair(const char *file, unsigned number, struct slice line,
    struct slice *key, struct slice *value)
{
    const char *problem;

    if (!text_split_pair(line, key, value, &problem)) {
        log_warning("%s, line %u: %s -- ignoring this line", file, number,
            problem);
        return false;
    }
    if (key->ptr[key->len - 1] == ':')
        log_warning("%s, line %u: record is in \"key: value\" format; "
                    "is this an alias file?",
            file, number);
    return true;
}

enum which_number { FIRST_LINE, LAST_LINE };

static enum result
each_line(const char *file, struct slice text, enum which_number which,
    text_line_fn fn, void *context)
{
    struct lines lines;
    struct slice line;
    enum result res = RESULT_OK;

    lines_init(&lines, text);
    while (res == RESULT_OK && lines_next(&lines, &line)) {
        unsigned number = which == FIRST_LINE ? lines.first : lines.last;

        if (lines.too_long)
            log_warning("%s, line %u: line is too long", file, number);
        else if (lines.stray_blank)
            log_warning("%s: logical line must not start with whitespace: "
                        "\"" SLICE_FMT "\"",
                file, SLICE_ARG(slice_head(line, 30)));
        else
            res = fn(context, number, line);
    }
    lines_fini(&lines);
    return res;
}

enum result
text_each_line(const char *file, struct slice text, text_line_fn fn,
    void *context)
{
    return each_line(file, text, LAST_LINE, fn, context);
}

enum result
text_each_rule(const char *file, struct slice text, text_line_fn fn,
    void *context)
{
    return each_line(file, text, FIRST_LINE, fn, context);
}

bool
text_split_assignment(struct slice text, struct slice *key, struct slice *value)
{
    bool quoted = false;

    text = trim(text);
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\\' && quoted) {
            i++;
        } else if (text.ptr[i] == '"') {
            quoted = !quoted;
        } else if (!quoted && text.ptr[i] == '=') {
            *key = trim(slice_head(text, i));
            *value = trim(slice_skip(text, i + 1));
            return key->len > 0;
        }
    }
    return false;
}

/* A name in front of ':': words and quoted strings, joined by one blank. */
static bool
alias_name(struct slice *rest, struct buf *key, const char **problem)
{
    bool quoted = false;

    for (size_t i = 0; i < rest->len; i++) {
        char c = rest->ptr[i];

        if (c == '\\' && i + 1 < rest->len) {
            buf_add_octet(key, (unsigned char)rest->ptr[++i]);
        } else if (c == '"') {
            quoted = !quoted;
            /* NOLINTNEXTLINE(bugprone-branch-clone): this is asked first */
        } else if (quoted) {
            buf_add_octet(key, (unsigned char)c);
        } else if (c == ':') {
            *rest = slice_skip(*rest, i + 1);
            return true;
        } else if (c == '@') {
            *problem = "name must be local";
            return false;
            /* NOLINTNEXTLINE(bugprone-branch-clone): what is between counts */
        } else if (c == ',' || c == ';' || c == '<' || c == '>') {
            break;
        } else if (!is_blank(c)) {
            buf_add_octet(key, (unsigned char)c);
        } else if (key->len > 0 && trim(slice_skip(*rest, i)).len > 0 &&
            trim(slice_skip(*rest, i)).ptr[0] != ':') {
            /* Two words are not one name. */
            break;
        }
    }
    *problem = "need name:value pair";
    return false;
}

bool
text_split_alias(struct slice line, struct buf *key, struct slice *value,
    const char **problem)
{
    buf_clear(key);
    line = trim(line);
    if (!alias_name(&line, key, problem))
        return false;
    *value = trim(line);
    if (key->len == 0 || value->len == 0 || buf_failed(key)) {
        *problem = "need name:value pair";
        return false;
    }
    return true;
}

void
text_add_alias_value(struct slice value, struct buf *to)
{
    bool quoted = false, blank = false;

    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];

        if (!quoted && is_blank(c)) {
            blank = true;
            continue;
        }
        if (blank && c != ',')
            buf_add_octet(to, ' ');
        buf_add_octet(to, (unsigned char)c);
        blank = !quoted && c == ',' && i + 1 < value.len;
        if (c == '\\' && i + 1 < value.len)
            buf_add_octet(to, (unsigned char)value.ptr[++i]);
        else if (c == '"')
            quoted = !quoted;
    }
}

enum result
text_read_fd(int fd, const char *name, struct buf *to, struct why *why)
{
    enum { PIECE = 65536 };

    for (;;) {
        char *room = buf_reserve(to, PIECE);
        ssize_t n;

        if (room == NULL)
            return why_perm(why, "5.3.4", "%s: file is too large", name);
        n = read(fd, room, PIECE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return why_errno(why, "read %s", name);
        if (n == 0)
            return RESULT_OK;
        buf_advance(to, (size_t)n);
    }
}

enum result
text_read_file(const char *path, struct buf *to, struct stat *st,
    struct why *why)
{
    int fd;
    enum result res = table_open_file(path, "open", &fd, st, why);

    if (res != RESULT_OK)
        return res;
    res = text_read_fd(fd, path, to, why);
    close(fd);
    return res;
}
