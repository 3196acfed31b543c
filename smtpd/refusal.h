/*
 * refusal - a reply that says no: code, enhanced status code and text.
 */
#pragma once

#include "lib/base/attr.h"

#include <stdbool.h>

enum { REFUSAL_TEXT_MAX = 600 };

struct refusal {
    int code;        /* 450, 554, ... */
    char status[10]; /* "5.7.1"; empty: none */
    char text[REFUSAL_TEXT_MAX];
};

/*
 * Octets that are not printable (lib/base/printable.h) become '?': texts quote what the client
 * said. Returns false, so that refusing is a single return statement.
 */
bool refusal_set(struct refusal *no, int code, const char *status,
    const char *fmt, ...) ATTR_PRINTF(4, 5);

#ifdef __clang_analyzer__
/* As in lib/base/why.h: the analyzer is to see that it returns false. */
#    define refusal_set(...) (refusal_set(__VA_ARGS__), false)
#endif
