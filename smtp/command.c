#include "smtp/command.h"

#include "lib/base/printable.h"
#include "lib/mail/address.h"
#include "lib/mail/xtext.h"

#include <inttypes.h>

enum { ADDRESS_MAX = 1024 }; /* octets in external form */

/*
 * Nothing else gets into the queue, but a command or parameter that a stranger
 * wrote must not follow from a mistake: the domain stands without quotes.
 */
static bool
is_harmless(struct slice address)
{
    struct slice local, domain;

    (void)address_split(address, &local, &domain);
    for (size_t i = 0; i < local.len; i++)
        if ((unsigned char)local.ptr[i] < ' ' || local.ptr[i] == 127)
            return false;
    for (size_t i = 0; i < domain.len; i++)
        if ((unsigned char)domain.ptr[i] <= ' ' || domain.ptr[i] == 127 ||
            domain.ptr[i] == '<' || domain.ptr[i] == '>')
            return false;
    return true;
}

/* False: it cannot stand on a command line. */
static bool
add_path(const struct job *job, struct slice address, struct buf *line)
{
    if (!is_harmless(address))
        return false;
    if (address.len > ADDRESS_MAX)
        return false;
    buf_add_octet(line, '<');
    if (job->profile.config->smtp_quote_rfc821_envelope)
        address_quote(address, line);
    else
        buf_add(line, address);
    buf_add_octet(line, '>');
    return true;
}

bool
command_needs_smtputf8(const struct job *job)
{
    const struct delivery *d = &job->delivery;

    if (!job->profile.config->smtputf8_enable)
        return false;
    if (!slice_is_ascii(d->envelope.sender))
        return true;
    for (size_t i = 0; i < d->recipient_count; i++)
        if (!slice_is_ascii(d->recipients[i].rcpt.address))
            return true;
    return (d->envelope.flags & ENVELOPE_UTF8) != 0 &&
        !slice_is_ascii(d->header) && utf8_is_valid(d->header);
}

bool
command_mail(const struct job *job, unsigned features, struct buf *line)
{
    const struct envelope *env = &job->delivery.envelope;

    buf_add_text(line, "MAIL FROM:");
    if (!add_path(job, env->sender, line))
        return false;
    if ((features & SESSION_SIZE) != 0)
        buf_add_format(line, " SIZE=%" PRIu64, env->size);
    if ((features & SESSION_8BITMIME) != 0 && (env->flags & ENVELOPE_8BIT) != 0)
        buf_add_text(line, " BODY=8BITMIME");
    if ((features & SESSION_SMTPUTF8) != 0 && command_needs_smtputf8(job))
        buf_add_text(line, " SMTPUTF8");
    if ((features & SESSION_DSN) != 0) {
        if (env->ret != RET_UNSET)
            buf_add_format(line, " RET=%s",
                env->ret == RET_FULL ? "FULL" : "HDRS");
        if (env->envid.len > 0) {
            buf_add_text(line, " ENVID=");
            xtext_encode(env->envid, line);
        }
    }
    return true;
}

static void
add_notify(struct buf *to, uint32_t notify)
{
    static const struct {
        uint32_t bit;
        const char *word;
    } words[] = {
        { NOTIFY_NEVER, "NEVER" },
        { NOTIFY_SUCCESS, "SUCCESS" },
        { NOTIFY_FAILURE, "FAILURE" },
        { NOTIFY_DELAY, "DELAY" },
    };
    const char *comma = " NOTIFY=";

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if ((notify & words[i].bit) == 0)
            continue;
        buf_add_format(to, "%s%s", comma, words[i].word);
        comma = ",";
    }
}

/* The original recipient as the sender gave it, else as it came to us. */
static void
add_orcpt(struct buf *to, const struct recipient *r)
{
    size_t n = slice_find(r->orcpt, ';');

    if (n < r->orcpt.len && atom_is_valid(slice_head(r->orcpt, n))) {
        buf_add_format(to, " ORCPT=" SLICE_FMT ";",
            SLICE_ARG(slice_head(r->orcpt, n)));
        xtext_encode(slice_skip(r->orcpt, n + 1), to);
    } else if (r->original.len > 0) {
        struct buf quoted;

        buf_init(&quoted, ADDRESS_MAX);
        address_quote(r->original, &quoted);
        buf_add_text(to, " ORCPT=rfc822;");
        xtext_encode(buf_slice(&quoted), to);
        buf_fini(&quoted);
    }
}

bool
command_rcpt(const struct job *job, unsigned features,
    const struct recipient *r, struct buf *line)
{
    buf_add_text(line, "RCPT TO:");
    if (!add_path(job, r->address, line))
        return false;
    if ((features & SESSION_DSN) != 0) {
        add_orcpt(line, r);
        add_notify(line, r->notify);
    }
    return true;
}
