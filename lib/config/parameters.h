/*
 * parameters - struct config: a field for each parameter of parameters.def.
 *
 *     STR, RAW    const char *, never NULL; RAW still has its $names
 *     BOOL        bool
 *     INT, SIZE   int64_t
 *     TIME        int64_t, milliseconds
 *
 * 2bounce_notice_recipient is the one name that C does not know: its field is
 * _2bounce_notice_recipient.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct config_scope;

#define PARAM_FIELD_STR  const char *
#define PARAM_FIELD_RAW  const char *
#define PARAM_FIELD_BOOL bool
#define PARAM_FIELD_INT  int64_t
#define PARAM_FIELD_SIZE int64_t
#define PARAM_FIELD_TIME int64_t

struct config {
    const struct config_scope *scope; /* of lib/config */
#define PARAM_AS(type, field, ...) PARAM_FIELD_##type field;
#include "lib/config/parameters.def"
};
