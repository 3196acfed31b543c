#include "lib/config/value.h"

#include "lib/base/num.h"
#include "lib/config/config.h"

#include <ctype.h>

bool
value_parse_bool(struct slice text, bool *yes)
{
    if (slice_eq_nocase(text, SLICE_LIT("yes"))) {
        *yes = true;
        return true;
    }
    if (slice_eq_nocase(text, SLICE_LIT("no"))) {
        *yes = false;
        return true;
    }
    return false;
}

bool
value_parse_int(struct slice text, int64_t *n)
{
    bool negative = text.len > 0 && text.ptr[0] == '-';
    uint64_t u;

    if (text.len > 0 && (negative || text.ptr[0] == '+'))
        text = slice_skip(text, 1);
    if (!num_parse_u64(text, INT64_MAX, &u))
        return false;
    *n = negative ? -(int64_t)u : (int64_t)u;
    return true;
}

static const struct {
    char suffix;
    unsigned shift;
} size_units[] = { { 'k', 10 }, { 'm', 20 }, { 'g', 30 } };

bool
value_parse_size(struct slice text, int64_t *octets)
{
    unsigned shift = 0;
    int64_t n;

    for (size_t i = 0; text.len > 0 && i < 3; i++) {
        if (tolower((unsigned char)text.ptr[text.len - 1]) !=
            size_units[i].suffix)
            continue;
        shift = size_units[i].shift;
        text.len--;
        break;
    }
    if (!value_parse_int(text, &n) ||
        __builtin_mul_overflow(n, (int64_t)1 << shift, octets))
        return false;
    return true;
}

static const struct {
    char suffix;
    int64_t ms;
} time_units[] = {
    { 's', 1000 },
    { 'm', 60 * 1000 },
    { 'h', 3600 * 1000 },
    { 'd', 24 * 3600 * 1000 },
    { 'w', 7 * 24 * 3600 * 1000 },
};

static int64_t
unit_ms(char unit)
{
    for (size_t i = 0; i < sizeof(time_units) / sizeof(time_units[0]); i++) {
        if (time_units[i].suffix == tolower((unsigned char)unit))
            return time_units[i].ms;
    }
    return 0;
}

/*
 * Digits, perhaps a fraction of up to nine digits, perhaps a unit. What is
 * finer than a millisecond is rounded up: a short wait must not become none.
 */
bool
config_parse_time(struct slice text, char unit, int64_t *ms)
{
    struct slice whole, fraction = { 0 };
    uint64_t seconds, part = 0, scale = 1;
    int64_t factor, total;
    size_t dot;

    if (text.len > 0 && isalpha((unsigned char)text.ptr[text.len - 1])) {
        unit = text.ptr[text.len - 1];
        text.len--;
    }
    factor = unit_ms(unit);
    dot = slice_find(text, '.');
    whole = slice_head(text, dot);
    if (factor == 0 || !num_parse_u64(whole, INT64_MAX, &seconds) ||
        __builtin_mul_overflow((int64_t)seconds, factor, &total))
        return false;
    if (dot < text.len) {
        fraction = slice_skip(text, dot + 1);
        if (fraction.len > 9 || !num_parse_u64(fraction, UINT32_MAX, &part))
            return false;
        for (size_t i = 0; i < fraction.len; i++)
            scale *= 10;
        part = (part * (uint64_t)factor + scale - 1) / scale;
        if (__builtin_add_overflow(total, (int64_t)part, &total))
            return false;
    }
    *ms = total;
    return true;
}

char
value_time_unit(const char *text)
{
    size_t len = strlen(text);

    /* Not the last letter of a "$name". */
    if (len < 2 || unit_ms(text[len - 1]) == 0 ||
        (!isdigit((unsigned char)text[len - 2]) && text[len - 2] != '}'))
        return 's';
    return text[len - 1];
}

static bool
is_one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

bool
config_word_next(struct slice *rest, const char *separators, struct slice *word)
{
    size_t len, level = 0;

    while (rest->len > 0 && is_one_of(rest->ptr[0], separators))
        *rest = slice_skip(*rest, 1);
    for (len = 0; len < rest->len; len++) {
        char c = rest->ptr[len];

        if (level == 0 && is_one_of(c, separators))
            break;
        if (c == '{')
            level++;
        else if (c == '}' && level > 0)
            level--;
    }
    *word = slice_head(*rest, len);
    *rest = slice_skip(*rest, len);
    return len > 0;
}

bool
config_list_next(struct slice *rest, struct slice *element)
{
    return config_word_next(rest, ", \t\r\n", element);
}

struct slice
config_unbrace(struct slice element)
{
    if (element.len < 2 || element.ptr[0] != '{' ||
        element.ptr[element.len - 1] != '}')
        return element;
    return slice_trim((struct slice){ element.ptr + 1, element.len - 2 });
}
