/*
 * text - the source files of tables: logical lines, "key whitespace value" of
 * postmap(1) and "name: value" of aliases(5).
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"

#include <stdbool.h>

/*
 * Logical lines: text that begins with a blank continues the line before;
 * empty lines and comments in between do not end it.
 */
struct text_lines {
    struct slice rest;
    struct buf joined;    /* a line that is more than one */
    unsigned read;        /* physical lines taken so far */
    unsigned first, last; /* of the present logical line */
};

enum { TEXT_LINE_MAX = 16 * 1024 * 1024 }; /* octets, a limit of our own */

void text_lines_init(struct text_lines *t, struct slice text) ATTR_NONNULL;
void text_lines_fini(struct text_lines *t) ATTR_NONNULL;

enum text_line {
    TEXT_LINE,
    TEXT_END,
    TEXT_STRAY,    /* begins with a blank and continues nothing */
    TEXT_TOO_LONG, /* skipped */
};

/* The next logical line; good until the next call. */
enum text_line text_lines_next(struct text_lines *t, struct slice *line)
    ATTR_NONNULL ATTR_MUST_USE;

/*
 * "key whitespace value"; a key may be in double quotes, which it keeps. False:
 * *problem says what is wrong in Postfix's words.
 */
bool text_split_pair(struct slice line, struct slice *key, struct slice *value,
    const char **problem) ATTR_NONNULL ATTR_MUST_USE;

/* "key = value", with or without blanks, as inline: has it. */
bool text_split_assignment(struct slice text, struct slice *key,
    struct slice *value) ATTR_NONNULL ATTR_MUST_USE;

/*
 * "name: value" of aliases(5). The name goes into key without its quotes. False:
 * *problem says what is wrong.
 */
bool text_split_alias(struct slice line, struct buf *key, struct slice *value,
    const char **problem) ATTR_NONNULL ATTR_MUST_USE;

/* Everything in a file; RESULT_TEMPFAIL when it cannot be read. */
enum { TEXT_FILE_MAX = 1 << 30 };
struct stat;
enum result text_read_file(const char *path, struct buf *to, struct stat *st,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;
enum result text_read_fd(int fd, const char *name, struct buf *to,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;
