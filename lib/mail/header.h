/*
 * header - RFC 5322 header fields, and the addresses in them.
 *
 * Everything here reads text from outside: bounded, and slices lie inside the
 * input.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/slice.h"

#include <stdbool.h>

/*
 * The length of the name when line begins a header field ("Name:", blanks in
 * front of the colon allowed), else 0. line is without its end.
 */
size_t header_name_length(struct slice line);

struct header_field {
    struct slice name;
    struct slice value; /* raw: folds kept, blanks at both ends taken off */
    struct slice whole; /* with its line ends */
};

/*
 * Cut the next field with its continuation lines off *rest. Lines end with LF
 * or CRLF. False at the end, at an empty line (which stays in *rest) and at a
 * line that is no header.
 */
bool header_next(struct slice *rest, struct header_field *field) ATTR_NONNULL;

/*
 * The addresses in the value of To:, From: ... or of a table: display names,
 * comments, groups, source routes, quoted strings; addresses that only blanks
 * part count as several. ":include:/file", "|command" and "/file" come out as
 * one address each (quoted where they contain blanks or commas). No address has
 * a CR or LF in it.
 */
struct header_addresses {
    struct slice text;
    size_t at;
    unsigned tokens_left; /* header_address_token_limit */
    size_t looked_to;     /* "<" was looked for up to there, */
    bool bracket_ahead;   /* and found, or not */
};

void header_addresses_init(struct header_addresses *h, struct slice text,
    unsigned token_limit) ATTR_NONNULL;

/*
 * The next address in internal form (replaces what internal held; the null
 * address "<>" is empty), and in *raw the text that it was made of, without
 * angle brackets. False at the end or when the tokens are used up.
 */
bool header_addresses_next(struct header_addresses *h, struct buf *internal,
    struct slice *raw) ATTR_NONNULL;
