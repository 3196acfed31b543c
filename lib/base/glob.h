/*
 * glob - patterns of people: '*' stands for any octets, '?' for one of them,
 * '\' takes what follows as it is. Nothing else is special: '[' occurs in
 * addresses and replies. Case is folded (ASCII).
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"

#include <stdbool.h>

/* All of text; takes at most pattern.len * text.len steps. */
bool glob_match(struct slice pattern, struct slice text);

/* pattern stands for one text only; escapes do not count as such. */
bool glob_is_plain(struct slice pattern);
