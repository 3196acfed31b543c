/*
 * domain_name - what restrictions want to know of a name's form.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"

#include <stdbool.h>

/* A literal, or a valid name with a dot inside. */
bool domain_is_fully_qualified(struct slice domain);
