#include "smtpd/envelope_path.h"

#include "lib/base/log.h"
#include "lib/mail/address.h"

static const struct {
    const char *keyword, *command, *syntax, *status, *malformed;
} words[] = {
    [PATH_SENDER] = { "FROM", "MAIL", "Syntax: MAIL FROM:<address>", "5.1.7",
        "Bad sender address syntax" },
    [PATH_RECIPIENT] = { "TO", "RCPT", "Syntax: RCPT TO:<address>", "5.1.3",
        "Bad recipient address syntax" },
};

/*
 * Nobody is the sender of notices, and gets none. An address that begins with
 * '-' would be an option to commands that it is given to.
 */
static bool
is_usable(const struct session *s, enum path_role role, struct slice address)
{
    struct slice local, domain;

    if (address.len == 0)
        return role == PATH_SENDER;
    (void)address_split(address, &local, &domain);
    if (!s->config->smtputf8_enable && !slice_is_ascii(domain))
        return false;
    if (domain_is_numeric(domain) &&
        !s->profile->rewrite->resolve_numeric_domain)
        return false;
    return address.ptr[0] != '-' || s->profile->rewrite->allow_min_user;
}

bool
envelope_path_take(const struct session *s, enum path_role role,
    struct slice args, struct arena *arena, struct path_argument *path,
    struct refusal *no)
{
    enum path_status status = path_argument_parse(args, words[role].keyword,
        s->config->strict_rfc821_envelopes, arena, path);

    if (status == PATH_FOUND && !is_usable(s, role, path->address))
        status = PATH_MALFORMED;
    switch (status) {
    case PATH_FOUND:
        break;
    case PATH_MISSING:
        return refusal_set(no, 501, "5.5.4", "%s", words[role].syntax);
    case PATH_MALFORMED:
        log_write(LOG_LEVEL_WARNING, s->profile->tag,
            "Illegal address syntax from %s in %s command: " SLICE_FMT,
            s->peer.text, words[role].command, SLICE_ARG(path->text));
        return refusal_set(no, 501, words[role].status, "%s",
            words[role].malformed);
    case PATH_NO_MEMORY:
        return refusal_set(no, 452, "4.3.1", "Insufficient system storage");
    }
    return true;
}
