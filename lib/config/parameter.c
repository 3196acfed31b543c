#include "lib/config/parameter.h"

#include "lib/config/parameters.h"

#include <stdio.h>

static const struct parameter table[] = {
#define PARAM_AS(t, field, n, def, lo, hi, progs, st, desc) \
    { .name = (n),                                          \
        .fallback = (def),                                  \
        .programs = (progs),                                \
        .description = (desc),                              \
        .low = (lo),                                        \
        .high = (hi),                                       \
        .offset = offsetof(struct config, field),           \
        .type = PARAMETER_##t,                              \
        .state = STATE_##st },
#include "lib/config/parameters.def"
};

static const struct parameter suffixes[] = {
#define TRANSPORT_PARAM(t, suffix, def, lo, hi, progs, st, desc) \
    { .name = #suffix,                                           \
        .fallback = (def),                                       \
        .programs = (progs),                                     \
        .description = (desc),                                   \
        .low = (lo),                                             \
        .high = (hi),                                            \
        .type = PARAMETER_##t,                                   \
        .state = STATE_##st },
#include "lib/config/parameters.def"
};

enum {
    TABLE_SIZE = sizeof(table) / sizeof(table[0]),
    SUFFIXES = sizeof(suffixes) / sizeof(suffixes[0]),
};

size_t
parameter_count(void)
{
    return TABLE_SIZE;
}

const struct parameter *
parameter_at(size_t i)
{
    return &table[i];
}

size_t
parameter_suffix_count(void)
{
    return SUFFIXES;
}

const struct parameter *
parameter_suffix_at(size_t i)
{
    return &suffixes[i];
}

static int
compare(struct slice a, const char *b)
{
    int order = strncmp(a.ptr, b, a.len);

    return order != 0 ? order : b[a.len] != '\0' ? -1 : 0;
}

const struct parameter *
parameter_find(struct slice name)
{
    size_t low = 0, high = TABLE_SIZE;

    while (low < high && name.len > 0) {
        size_t mid = low + (high - low) / 2;
        int order = compare(name, table[mid].name);

        if (order == 0)
            return memchr(name.ptr, '\0', name.len) == NULL ? &table[mid]
                                                            : NULL;
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}

/* "initial_destination_concurrency" ends like no other; the longest wins. */
const struct parameter *
parameter_find_suffix(struct slice name, struct slice *transport)
{
    const struct parameter *best = NULL;
    size_t best_len = 0;

    for (size_t i = 0; i < SUFFIXES; i++) {
        size_t len = strlen(suffixes[i].name), head;

        if (name.len < len + 2 || len <= best_len)
            continue;
        head = name.len - len - 1;
        if (name.ptr[head] != '_' ||
            memcmp(name.ptr + head + 1, suffixes[i].name, len) != 0)
            continue;
        best = &suffixes[i];
        best_len = len;
        *transport = slice_head(name, head);
    }
    return best;
}

/* Levenshtein's distance, given up above most. */
static size_t
distance(struct slice a, struct slice b, size_t most)
{
    uint8_t row[PARAMETER_NAME_MAX + 1];

    if (a.len > PARAMETER_NAME_MAX || b.len > PARAMETER_NAME_MAX ||
        a.len > b.len + most || b.len > a.len + most)
        return most + 1;
    for (size_t j = 0; j <= b.len; j++)
        row[j] = (uint8_t)j;
    for (size_t i = 1; i <= a.len; i++) {
        uint8_t diagonal = row[0], least = row[0] = (uint8_t)i;

        for (size_t j = 1; j <= b.len; j++) {
            uint8_t cost = (uint8_t)(diagonal + (a.ptr[i - 1] != b.ptr[j - 1]));

            diagonal = row[j];
            if (cost > row[j] + 1)
                cost = (uint8_t)(row[j] + 1);
            if (cost > row[j - 1] + 1)
                cost = (uint8_t)(row[j - 1] + 1);
            row[j] = cost;
            if (cost < least)
                least = cost;
        }
        if (least > most)
            return most + 1;
    }
    return row[b.len];
}

/* A third of the name may be wrong: more is no longer a slip of the pen. */
const char *
parameter_nearest(struct slice name)
{
    size_t most = name.len / 3;
    const char *best = NULL;

    for (size_t i = 0; i < TABLE_SIZE && most > 0; i++) {
        size_t d = distance(name, slice_of(table[i].name), most);

        if (d > most)
            continue;
        best = table[i].name;
        most = d == 0 ? 0 : d - 1;
    }
    return best;
}

/* What LHLO is called in the names. */
static const char *const renamed[][2] = {
    { "smtp_helo_name", "lmtp_lhlo_name" },
    { "smtp_helo_timeout", "lmtp_lhlo_timeout" },
    { "smtp_discard_ehlo_keywords", "lmtp_discard_lhlo_keywords" },
    { "smtp_discard_ehlo_keyword_address_maps",
        "lmtp_discard_lhlo_keyword_address_maps" },
};

const struct parameter *
parameter_lmtp_twin(const struct parameter *p)
{
    char name[PARAMETER_NAME_MAX];
    size_t len = strlen(p->name);

    for (size_t i = 0; i < sizeof(renamed) / sizeof(renamed[0]); i++) {
        if (strcmp(p->name, renamed[i][0]) == 0)
            return parameter_find(slice_of(renamed[i][1]));
    }
    if (strncmp(p->name, "smtp_", 5) != 0 || len >= sizeof(name))
        return NULL;
    memcpy(name, p->name, len);
    memcpy(name, "lmtp", 4);
    return parameter_find((struct slice){ name, len });
}

const struct parameter *
parameter_screen_twin(const struct parameter *p)
{
    static const char screen[] = "postscreen_";
    char name[PARAMETER_NAME_MAX];
    const char *rest = p->name;
    int n;

    if (strncmp(rest, "smtpd_", 6) == 0)
        rest += 6;
    else if (strcmp(rest, "disable_vrfy_command") != 0)
        return NULL;
    n = snprintf(name, sizeof(name), "%s%s", screen, rest);
    if (n < 0 || (size_t)n >= sizeof(name))
        return NULL;
    return parameter_find((struct slice){ name, (size_t)n });
}

bool
parameter_applies(const struct parameter *p, const char *program)
{
    struct slice rest = slice_of(p->programs), word;

    while (slice_word(&rest, " ", &word)) {
        if (slice_eq_text(word, "all") || slice_eq_text(word, program))
            return true;
    }
    return false;
}
