#include "lib/mail/address.h"

#include "lib/config/config.h"
#include "lib/table/net.h"

#include <string.h>

bool
address_split(struct slice address, struct slice *local, struct slice *domain)
{
    size_t at = slice_rfind(address, '@');

    *local = slice_head(address, at);
    *domain = slice_skip(address, at + 1);
    return at < address.len;
}

static bool
is_atom_octet(unsigned char c)
{
    return c > ' ' && c != 127 && strchr("<>()[]\\,;:@\"", c) == NULL;
}

bool
atom_is_valid(struct slice atom)
{
    for (size_t i = 0; i < atom.len; i++)
        if (atom.ptr[i] == '.' || (unsigned char)atom.ptr[i] > 127 ||
            !is_atom_octet((unsigned char)atom.ptr[i]))
            return false;
    return atom.len > 0;
}

/* RFC 5321 Dot-string, with UTF-8 as RFC 6531 has it. */
static bool
is_dot_string(struct slice local)
{
    char before = '.';

    for (size_t i = 0; i < local.len; i++) {
        char c = local.ptr[i];

        if (c == '.' ? before == '.' : !is_atom_octet((unsigned char)c))
            return false;
        before = c;
    }
    return before != '.';
}

void
address_quote(struct slice internal, struct buf *to)
{
    struct slice local, domain;
    bool has_domain = address_split(internal, &local, &domain);

    if (internal.len == 0)
        return;
    if (is_dot_string(local)) {
        buf_add(to, internal);
        return;
    }
    buf_add_octet(to, '"');
    for (size_t i = 0; i < local.len; i++) {
        char c = local.ptr[i];

        if (c == '"' || c == '\\' || c == '\r' || c == '\n')
            buf_add_octet(to, '\\');
        buf_add_octet(to, (unsigned char)c);
    }
    buf_add_octet(to, '"');
    if (has_domain) {
        buf_add_octet(to, '@');
        buf_add(to, domain);
    }
}

struct slice
address_for_log(const struct config *config, struct slice internal,
    struct buf *hold)
{
    struct slice local, domain;

    (void)address_split(internal, &local, &domain);
    if (internal.len == 0 || is_dot_string(local) ||
        strcmp(config->info_log_address_format, "internal") == 0)
        return internal;
    buf_init(hold, 2 * internal.len + 2);
    address_quote(internal, hold);
    return buf_slice(hold);
}

void
address_unquote(struct slice external, struct buf *to)
{
    bool quoted = false;
    size_t i;

    if (slice_find(external, '"') == external.len &&
        slice_find(external, '\\') == external.len) {
        buf_add(to, external);
        return;
    }
    for (i = 0; i < external.len; i++) {
        char c = external.ptr[i];

        if (c == '"') {
            quoted = !quoted;
            continue;
        }
        if (c == '@' && !quoted)
            break;
        if (c == '\\' && i + 1 < external.len)
            c = external.ptr[++i];
        buf_add_octet(to, (unsigned char)c);
    }
    buf_add(to, slice_skip(external, i));
}

/* Addresses that mean themselves, whatever recipient_delimiter is. */
static bool
is_never_split(const struct config *config, struct slice local)
{
    return slice_eq_nocase(local, SLICE_LIT("postmaster")) ||
        slice_eq_nocase(local, SLICE_LIT("mailer-daemon")) ||
        slice_eq_nocase(local, slice_of(config->double_bounce_sender));
}

static bool
is_list_address(struct slice local)
{
    return slice_starts_nocase(local, SLICE_LIT("owner-")) ||
        slice_ends_nocase(local, SLICE_LIT("-request"));
}

bool
address_extension(const struct config *config, struct slice local,
    struct slice *user, struct slice *extension)
{
    const char *delimiters = config->recipient_delimiter;
    size_t at;

    if (delimiters[0] == '\0' || is_never_split(config, local))
        return false;
    if (config->owner_request_special && strchr(delimiters, '-') != NULL &&
        is_list_address(local))
        return false;
    for (at = 0; at < local.len; at++)
        if (local.ptr[at] != '\0' && strchr(delimiters, local.ptr[at]))
            break;
    if (at == 0 || at == local.len)
        return false;
    *user = slice_head(local, at);
    *extension = slice_skip(local, at + 1);
    return true;
}

enum {
    DOMAIN_MAX = 255, /* RFC 1035 section 2.3.4 */
    LABEL_MAX = 63,
};

static bool
is_label_octet(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
        (c >= '0' && c <= '9') || c == '-' || c == '_' || c >= 128;
}

static bool
is_label(struct slice label)
{
    if (label.len == 0 || label.len > LABEL_MAX)
        return false;
    for (size_t i = 0; i < label.len; i++)
        if (!is_label_octet((unsigned char)label.ptr[i]))
            return false;
    return label.ptr[0] != '-' && label.ptr[label.len - 1] != '-';
}

bool
domain_is_valid(struct slice domain)
{
    bool all_digits = true;

    if (domain.len == 0 || domain.len > DOMAIN_MAX)
        return false;
    for (size_t i = 0; i < domain.len; i++)
        if (domain.ptr[i] != '.' &&
            (domain.ptr[i] < '0' || domain.ptr[i] > '9'))
            all_digits = false;
    if (all_digits || domain.ptr[domain.len - 1] == '.')
        return false;
    while (domain.len > 0) {
        size_t dot = slice_find(domain, '.');

        if (!is_label(slice_head(domain, dot)))
            return false;
        domain = slice_skip(domain, dot + 1);
    }
    return true;
}

bool
domain_is_literal(struct slice domain)
{
    const struct slice tag = SLICE_LIT("IPv6:");
    struct net_address address;

    if (domain.len < 3 || domain.ptr[0] != '[' ||
        domain.ptr[domain.len - 1] != ']')
        return false;
    domain = (struct slice){ domain.ptr + 1, domain.len - 2 };
    return net_address_parse(domain, &address) &&
        slice_starts_nocase(domain, tag) ==
        (slice_find(domain, ':') < domain.len);
}

bool
domain_is_numeric(struct slice domain)
{
    struct net_address address;

    return slice_find(domain, ':') == domain.len &&
        net_address_parse(domain, &address);
}
