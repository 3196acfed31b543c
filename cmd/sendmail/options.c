#include "cmd/sendmail/options.h"

#include "lib/base/log.h"
#include "lib/base/slice.h"

#include <string.h>

struct parse {
    struct sendmail_options *o;
    char **next; /* of argv */
    bool daemon; /* an interval was given: somebody starts one */
    struct why *why;
};

/* The argument of an option: the rest of the word, or the next word. */
static const char *
argument(struct parse *p, const char *rest, char option)
{
    if (rest[0] != '\0')
        return rest;
    if (*p->next != NULL)
        return *p->next++;
    (void)why_perm(p->why, "", "option requires an argument -- '%c'", option);
    return NULL;
}

static enum result
set_mode(struct parse *p, const char *letter)
{
    static const struct {
        char letter;
        enum sendmail_mode mode;
    } modes[] = {
        { 'm', MODE_SUBMIT },
        { 'v', MODE_VERIFY },
        { 's', MODE_SMTP },
        { 'p', MODE_LIST },
        { 'i', MODE_ALIASES },
        { 'd', MODE_DAEMON },
        { 'l', MODE_DAEMON },
        { 'h', MODE_IGNORED },
        { 'H', MODE_IGNORED },
    };

    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
        if (letter[0] == modes[i].letter) {
            p->o->mode = modes[i].mode;
            return RESULT_OK;
        }
    return why_perm(p->why, "", "unsupported: -b%s", letter);
}

static enum result
set_body(struct parse *p, const char *value)
{
    p->o->eight_bit = slice_eq_nocase(slice_of(value), SLICE_LIT("8BITMIME"));
    if (p->o->eight_bit || slice_eq_nocase(slice_of(value), SLICE_LIT("7BIT")))
        return RESULT_OK;
    return why_perm(p->why, "", "-B option needs 8BITMIME or 7BIT");
}

/* Postfix warns and goes on: mail matters more than its notices. */
static void
set_notify(struct parse *p, const char *value)
{
    static const struct {
        const char *word;
        uint32_t flag;
    } words[] = {
        { "never", NOTIFY_NEVER },
        { "success", NOTIFY_SUCCESS },
        { "failure", NOTIFY_FAILURE },
        { "delay", NOTIFY_DELAY },
    };
    struct slice rest = slice_of(value), word;
    uint32_t flags = 0;
    bool bad = false;

    while (slice_word(&rest, ", ", &word)) {
        uint32_t flag = 0;

        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
            if (slice_eq_nocase(word, slice_of(words[i].word)))
                flag = words[i].flag;
        bad = bad || flag == 0;
        flags |= flag;
    }
    if (bad || flags == 0 ||
        ((flags & NOTIFY_NEVER) != 0 && flags != NOTIFY_NEVER))
        log_warning("bad -N option value -- ignored");
    else
        p->o->notify = flags;
}

static void
set_return(struct parse *p, const char *value)
{
    if (slice_eq_nocase(slice_of(value), SLICE_LIT("full")))
        p->o->ret = RET_FULL;
    else if (slice_eq_nocase(slice_of(value), SLICE_LIT("hdrs")))
        p->o->ret = RET_HDRS;
    else
        log_warning("bad -R option value -- ignored");
}

static void
set_envid(struct parse *p, const char *value)
{
    for (const char *c = value; *c != '\0'; c++)
        if (*c < ' ' || *c > '~') {
            log_warning("bad -V option value -- ignored");
            return;
        }
    p->o->envid = value;
}

/* "-q", "-qIid", "-qRsite", "-q15m". */
static enum result
set_flush(struct parse *p, const char *rest)
{
    switch (rest[0]) {
    case '\0':
        p->o->mode = MODE_FLUSH;
        return RESULT_OK;
    case 'I':
        p->o->flush_id = rest + 1;
        return rest[1] == '\0' ? why_perm(p->why, "", "specify: -qIqueueid")
                               : RESULT_OK;
    case 'R':
        p->o->flush_site = rest + 1;
        return rest[1] == '\0' ? why_perm(p->why, "", "specify: -qRsitename")
                               : RESULT_OK;
    default:
        p->daemon = rest[0] >= '0' && rest[0] <= '9';
        return p->daemon
            ? RESULT_OK
            : why_perm(p->why, "", "-q%c is not implemented", rest[0]);
    }
}

/*
 * How often the queue is run is queue_run_delay's to say: an interval means
 * nothing, and alone it asks for nothing. Beside recipients there is mail to send.
 */
static enum result
settle_mode(struct parse *p)
{
    struct sendmail_options *o = p->o;

    if (o->flush_id != NULL || o->flush_site != NULL) {
        if (o->mode != MODE_SUBMIT || o->extract_recipients)
            return why_perm(p->why, "",
                "-q%c can be used only in delivery mode",
                o->flush_site != NULL ? 'R' : 'I');
        o->mode = MODE_FLUSH;
    } else if (p->daemon && o->mode == MODE_SUBMIT && !o->extract_recipients &&
        o->recipients[0] == NULL) {
        o->mode = MODE_IGNORED;
    }
    return RESULT_OK;
}

/* "-oi", "-oAfile", "-o7", "-odb"; "-o x value" takes the next word, too. */
static void
set_old(struct parse *p, const char *value)
{
    if (value[0] == 'A' && value[1] != '\0')
        p->o->alias_database = value + 1;
    else if (value[0] == 'i' && value[1] == '\0')
        p->o->ignore_dots = true;
}

/*
 * Sendmail's log of traffic is nothing that we have. -XV asks for a return path
 * of its own for each recipient (VERP): without that, mail would go out wrong.
 */
static enum result
set_log(struct parse *p, const char *value)
{
    if (value[0] == 'V')
        return why_perm(p->why, "", "-XV (VERP) is not implemented");
    return RESULT_OK;
}

static enum result
set_with_argument(struct parse *p, char option, const char *value)
{
    switch (option) {
    case 'b':
        return set_mode(p, value);
    case 'B':
        return set_body(p, value);
    case 'C':
        p->o->config_dir = value;
        break;
    case 'F':
        p->o->full_name = value;
        break;
    case 'f':
    case 'r':
        p->o->sender = value;
        break;
    case 'N':
        set_notify(p, value);
        break;
    case 'o':
        set_old(p, value);
        break;
    case 'R':
        set_return(p, value);
        break;
    case 'V':
        set_envid(p, value);
        break;
    case 'X':
        return set_log(p, value);
    default: /* -A -h -L -O -p and -e, -d: ignored */
        break;
    }
    return RESULT_OK;
}

static enum result
set_flag(struct parse *p, char option)
{
    switch (option) {
    case 'I':
        p->o->mode = MODE_ALIASES;
        break;
    case 'i':
        p->o->ignore_dots = true;
        break;
    case 't':
        p->o->extract_recipients = true;
        break;
    case 'v':
        p->o->trace = true;
        break;
    case 'G': /* -a -c -G -m -n -s -U -x: ignored */
    case 'U':
    case 'a':
    case 'c':
    case 'm':
    case 'n':
    case 's':
    case 'x':
        break;
    default:
        return why_perm(p->why, "", "invalid option -- '%c'", option);
    }
    return RESULT_OK;
}

/* One word of options: flags may stand together, "-it". */
static enum result
parse_word(struct parse *p, const char *word)
{
    for (word++; *word != '\0'; word++) {
        enum result res;

        if (*word == 'q')
            return set_flush(p, word + 1);
        if (strchr("ABCFLNORVXbdefhopr", *word) != NULL) {
            const char *value = argument(p, word + 1, *word);

            return value == NULL ? RESULT_PERMFAIL
                                 : set_with_argument(p, *word, value);
        }
        res = set_flag(p, *word);
        if (res != RESULT_OK)
            return res;
    }
    return RESULT_OK;
}

static enum sendmail_mode
mode_of_name(const char *argv0)
{
    const char *slash = strrchr(argv0, '/');
    struct slice name = slice_of(slash == NULL ? argv0 : slash + 1);

    if (slice_eq_text(name, "mailq"))
        return MODE_LIST;
    return slice_eq_text(name, "newaliases") ? MODE_ALIASES : MODE_SUBMIT;
}

enum result
sendmail_options_parse(char **argv, struct sendmail_options *o, struct why *why)
{
    struct parse p = { .o = o, .next = argv, .why = why };

    *o = (struct sendmail_options){ .mode = MODE_SUBMIT };
    if (*p.next != NULL)
        o->mode = mode_of_name(*p.next++);
    while (*p.next != NULL && (*p.next)[0] == '-' && (*p.next)[1] != '\0') {
        const char *word = *p.next++;
        enum result res;

        if (strcmp(word, "--") == 0)
            break;
        res = parse_word(&p, word);
        if (res != RESULT_OK)
            return res;
    }
    o->recipients = p.next;
    return settle_mode(&p);
}
