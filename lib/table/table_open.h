/*
 * table_open - opens a table's file so that what stands in its place holds nobody.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/why.h"

#include <sys/stat.h>

/*
 * For reading. RESULT_TEMPFAIL, with what ("open database") in front in the text:
 * it cannot be opened, or is a FIFO, for which one would wait for a writer.
 */
enum result table_open_file(const char *path, const char *what, int *fd,
    struct stat *st, struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* Would it hold who opens it in another way? */
enum result table_check_file(const char *path, const char *what,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;
