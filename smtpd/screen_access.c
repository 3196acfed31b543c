/*
 * screen_access - postscreen_access_list: who is let through, or not, unseen.
 */
#include "lib/base/log.h"
#include "smtpd/screen_private.h"

enum { WORD_SHOWN = 100 }; /* octets of it in the log */

static enum standing
standing_of_word(const struct session *s, struct slice word)
{
    if (slice_eq_nocase(word, SLICE_LIT("permit")))
        return STANDING_PERMITTED;
    if (slice_eq_nocase(word, SLICE_LIT("reject")))
        return STANDING_DENIED;
    if (!slice_eq_nocase(word, SLICE_LIT("dunno")))
        log_write(LOG_LEVEL_WARNING, s->profile->tag,
            "postscreen_access_list: unknown command: " SLICE_FMT,
            SLICE_ARG(slice_head(word, WORD_SHOWN)));
    return STANDING_NONE;
}

static enum table_status
ask_rule(const struct session *s, const struct screen_rule *rule,
    struct buf *value, struct why *why)
{
    if (rule->is == RULE_NETWORKS)
        return match_list_find_host(s->screening->screen->networks,
            SLICE_LIT("unknown"), slice_of(s->peer.addr), why);
    return table_find(rule->table, slice_of(s->peer.addr), value, why);
}

static enum standing
standing_by(const struct session *s, const struct screen_rule *rule,
    bool *decided, struct buf *value)
{
    struct why why;

    *decided = true;
    if (rule->is == RULE_PERMIT)
        return STANDING_PERMITTED;
    if (rule->is == RULE_REJECT)
        return STANDING_DENIED;
    if (rule->is == RULE_DUNNO)
        return STANDING_NONE;
    switch (ask_rule(s, rule, value, &why)) {
    case TABLE_FOUND:
        if (rule->is == RULE_NETWORKS)
            return STANDING_PERMITTED;
        return standing_of_word(s, slice_trim(buf_slice(value)));
    case TABLE_ERROR:
        log_write(LOG_LEVEL_WARNING, s->profile->tag, "%s", why.text);
        return STANDING_NONE;
    case TABLE_NOT_FOUND:
        break;
    }
    *decided = false;
    return STANDING_NONE;
}

enum standing
screen_standing(const struct session *s)
{
    const struct screen *screen = s->screening->screen;
    enum standing standing = STANDING_NONE;
    bool decided = false;
    struct buf value;

    buf_init(&value, TABLE_KEY_MAX);
    for (size_t i = 0; !decided && i < screen->rule_count; i++)
        standing = standing_by(s, &screen->rules[i], &decided, &value);
    buf_fini(&value);
    return standing;
}
