/*
 * text - what stands in a line of a table's source file: "key whitespace value"
 * of postmap(1), "name: value" of aliases(5). The lines themselves are those of
 * lib/config/lines.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"

#include <stdbool.h>

/*
 * Each logical line of a source file to fn, until one fails. Lines that are no
 * lines are named in a warning and left out.
 */
typedef enum result (
    *text_line_fn)(void *context, unsigned number, struct slice line);
enum result text_each_line(const char *file, struct slice text, text_line_fn fn,
    void *context) __attribute__((nonnull(1, 3)));

/* The same, but number is where the line begins, not where it ends. */
enum result text_each_rule(const char *file, struct slice text, text_line_fn fn,
    void *context) __attribute__((nonnull(1, 3)));

/* text_split_pair() with a warning for what is wrong or looks so. */
bool text_take_pair(const char *file, unsigned number, struct slice line,
    struct slice *key, struct slice *value) ATTR_NONNULL ATTR_MUST_USE;

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

/*
 * The value as postalias stores it: runs of blanks become one, commas have one
 * behind them and none in front. What is in quotes stays.
 */
void text_add_alias_value(struct slice value, struct buf *to) ATTR_NONNULL;

/* Everything in a file; RESULT_TEMPFAIL when it cannot be read. */
enum { TEXT_FILE_MAX = 1 << 30 };
struct stat;
enum result text_read_file(const char *path, struct buf *to, struct stat *st,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;
enum result text_read_fd(int fd, const char *name, struct buf *to,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;
