#include "smtpd/esmtp.h"

#include "lib/base/buf.h"
#include "lib/base/num.h"
#include "lib/mail/address.h"
#include "lib/mail/xtext.h"

enum {
    PARAMETERS_MAX = 20, /* in one command */
    VALUE_MAX = 1024,    /* octets decoded; RFC 3461 asks for 500 of ORCPT */
};

struct parse {
    unsigned features;
    struct arena *arena;
    struct refusal *no;
    void *to;
};

/*
 * A parameter: value_of is false when its value is not well formed. needs is
 * the feature without which there is no such parameter.
 */
struct parameter {
    const char *name;
    unsigned needs;
    bool bare; /* has no value */
    bool (*value_of)(struct parse *p, struct slice value);
};

/* plain stays as it is, in front of the rest. */
static bool
decode(struct parse *p, struct slice plain, struct slice in, struct slice *out)
{
    struct buf b;
    bool ok;

    buf_init(&b, VALUE_MAX);
    buf_add(&b, plain);
    ok = xtext_decode(in, &b) && arena_slice(p->arena, buf_slice(&b), out);
    buf_fini(&b);
    return ok;
}

static bool
unsupported(struct parse *p, struct slice word)
{
    return refusal_set(p->no, 555, "5.5.4", "Unsupported option: " SLICE_FMT,
        SLICE_ARG(word));
}

/* MAIL FROM */

static bool
size_value(struct parse *p, struct slice value)
{
    struct mail_parameters *mail = p->to;

    if (!slice_is_digits(value))
        return refusal_set(p->no, 501, "5.5.4", "Bad message size syntax");
    if (!num_parse_u64(value, INT64_MAX, &mail->size))
        return refusal_set(p->no, 552, "5.3.4",
            "Message size exceeds file system imposed limit");
    return true;
}

static bool
body_value(struct parse *p, struct slice value)
{
    struct mail_parameters *mail = p->to;

    mail->eight_bit = slice_eq_nocase(value, SLICE_LIT("8BITMIME"));
    mail->binary = (p->features & ESMTP_BINARYMIME) != 0 &&
        slice_eq_nocase(value, SLICE_LIT("BINARYMIME"));
    if (!mail->eight_bit && !mail->binary &&
        !slice_eq_nocase(value, SLICE_LIT("7BIT"))) {
        (void)refusal_set(p->no, 555, "5.5.4",
            "Unsupported option: BODY=" SLICE_FMT, SLICE_ARG(value));
        return false;
    }
    return true;
}

static bool
ret_value(struct parse *p, struct slice value)
{
    struct mail_parameters *mail = p->to;
    enum dsn_ret ret = RET_UNSET;

    if (slice_eq_nocase(value, SLICE_LIT("FULL")))
        ret = RET_FULL;
    else if (slice_eq_nocase(value, SLICE_LIT("HDRS")))
        ret = RET_HDRS;
    if (ret == RET_UNSET || mail->ret != RET_UNSET)
        return refusal_set(p->no, 501, "5.5.4", "Bad RET parameter syntax");
    mail->ret = ret;
    return true;
}

static bool
envid_value(struct parse *p, struct slice value)
{
    struct mail_parameters *mail = p->to;

    if (value.len == 0 || mail->envid.len > 0 ||
        !decode(p, SLICE_LIT(""), value, &mail->envid))
        return refusal_set(p->no, 501, "5.5.4", "Bad ENVID parameter syntax");
    return true;
}

/*
 * RFC 4954 section 5: a server without AUTH ignores it rather than refuse the
 * mail of a relay that passes it on.
 */
static bool
auth_value(struct parse *p, struct slice value)
{
    (void)p;
    (void)value;
    return true;
}

static bool
smtputf8_value(struct parse *p, struct slice value)
{
    struct mail_parameters *mail = p->to;

    (void)value;
    mail->utf8 = true;
    return true;
}

static const struct parameter mail_table[] = {
    { "SIZE", 0, false, size_value },
    { "BODY", 0, false, body_value },
    { "RET", ESMTP_DSN, false, ret_value },
    { "ENVID", ESMTP_DSN, false, envid_value },
    { "AUTH", 0, false, auth_value },
    { "SMTPUTF8", ESMTP_SMTPUTF8, true, smtputf8_value },
    { NULL, 0, false, NULL },
};

/* RCPT TO */

static const struct {
    const char *name;
    uint32_t flag;
} notify_words[] = {
    { "NEVER", NOTIFY_NEVER },
    { "SUCCESS", NOTIFY_SUCCESS },
    { "FAILURE", NOTIFY_FAILURE },
    { "DELAY", NOTIFY_DELAY },
};

static uint32_t
notify_flag(struct slice word)
{
    for (size_t i = 0; i < sizeof(notify_words) / sizeof(notify_words[0]); i++)
        if (slice_eq_nocase(word, slice_of(notify_words[i].name)))
            return notify_words[i].flag;
    return 0;
}

/* Words parted by commas; 0 when one is unknown or NEVER is not alone. */
static uint32_t
notify_flags(struct slice value)
{
    uint32_t flags = 0;
    struct slice word;

    while (slice_word(&value, ",", &word)) {
        uint32_t flag = notify_flag(word);

        if (flag == 0)
            return 0;
        flags |= flag;
    }
    return (flags & NOTIFY_NEVER) != 0 && flags != NOTIFY_NEVER ? 0 : flags;
}

static bool
notify_value(struct parse *p, struct slice value)
{
    struct rcpt_parameters *rcpt = p->to;
    uint32_t flags = notify_flags(value);

    if (flags == 0 || rcpt->notify != 0)
        return refusal_set(p->no, 501, "5.5.4",
            "Error: Bad NOTIFY parameter syntax");
    rcpt->notify = flags;
    return true;
}

static bool
orcpt_value(struct parse *p, struct slice value)
{
    struct rcpt_parameters *rcpt = p->to;
    size_t semicolon = slice_find(value, ';');

    if (semicolon == value.len || rcpt->orcpt.len > 0 ||
        !atom_is_valid(slice_head(value, semicolon)) ||
        !decode(p, slice_head(value, semicolon + 1),
            slice_skip(value, semicolon + 1), &rcpt->orcpt))
        return refusal_set(p->no, 501, "5.5.4",
            "Error: Bad ORCPT parameter syntax");
    return true;
}

static const struct parameter rcpt_table[] = {
    { "NOTIFY", ESMTP_DSN, false, notify_value },
    { "ORCPT", ESMTP_DSN, false, orcpt_value },
    { NULL, 0, false, NULL },
};

static bool
parse_word(struct parse *p, const struct parameter *table, struct slice word)
{
    size_t equals = slice_find(word, '=');
    struct slice name = slice_head(word, equals);

    while (table->name != NULL &&
        (!slice_eq_nocase(name, slice_of(table->name)) ||
            table->bare != (equals == word.len)))
        table++;
    if (table->name == NULL)
        return unsupported(p, word);
    if ((table->needs & ~p->features) == 0)
        return table->value_of(p, slice_skip(word, equals + 1));
    return table->needs == ESMTP_DSN
        ? refusal_set(p->no, 501, "5.7.1", "DSN support is disabled")
        : unsupported(p, word);
}

static bool
parse_words(struct parse *p, const struct parameter *table, struct slice words)
{
    struct slice word;

    for (unsigned n = 0; slice_word(&words, " \t", &word); n++) {
        if (n == PARAMETERS_MAX)
            return refusal_set(p->no, 501, "5.5.4",
                "Error: too many parameters");
        if (!parse_word(p, table, word))
            return false;
    }
    return true;
}

bool
mail_parameters_parse(struct slice words, unsigned features,
    struct arena *arena, struct mail_parameters *p, struct refusal *no)
{
    struct parse parse = { .features = features,
        .arena = arena,
        .no = no,
        .to = p };

    *p = (struct mail_parameters){ .size = 0 };
    return parse_words(&parse, mail_table, words);
}

bool
rcpt_parameters_parse(struct slice words, unsigned features,
    struct arena *arena, struct rcpt_parameters *p, struct refusal *no)
{
    struct parse parse = { .features = features,
        .arena = arena,
        .no = no,
        .to = p };

    *p = (struct rcpt_parameters){ .notify = 0 };
    return parse_words(&parse, rcpt_table, words);
}

bool
esmtp_autodetects_utf8(const struct config *config, const char *source)
{
    struct slice rest = slice_of(config->smtputf8_autodetect_classes), word;

    while (config->smtputf8_enable && config_list_next(&rest, &word))
        if (slice_eq_nocase(word, slice_of(source)) ||
            slice_eq_nocase(word, SLICE_LIT("all")))
            return true;
    return false;
}
