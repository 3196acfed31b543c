#include "smtpd/path_argument.h"

#include "lib/base/buf.h"
#include "lib/mail/address.h"
#include "lib/mail/header.h"

enum { ADDRESS_MAX = 2048 };

/*
 * The first word: blanks inside "..." or <...> do not end it, so that what is
 * malformed is shown whole.
 */
static struct slice
first_word(struct slice in)
{
    bool quoted = false, bracketed = false;
    size_t i;

    for (i = 0; i < in.len; i++) {
        char c = in.ptr[i];

        if (c == '\\' && i + 1 < in.len)
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && c == '<')
            bracketed = true;
        else if (!quoted && c == '>')
            bracketed = false;
        else if (!quoted && !bracketed && (c == ' ' || c == '\t'))
            break;
    }
    return slice_head(in, i);
}

static bool
is_control(unsigned char c)
{
    return c < ' ' || c == 127;
}

/*
 * The length of a local part: up to the last '@' outside quotes, or all. False
 * when there is what may stand in quotes only.
 */
static bool
scan_local_part(struct slice in, size_t *length)
{
    bool quoted = false;

    *length = in.len;
    for (size_t i = 0; i < in.len; i++) {
        unsigned char c = (unsigned char)in.ptr[i];

        if (is_control(c))
            return false;
        if (c == '\\') {
            if (++i == in.len || is_control((unsigned char)in.ptr[i]))
                return false;
        } else if (c == '"') {
            quoted = !quoted;
        } else if (!quoted && c == '@') {
            *length = i;
        } else if (!quoted && strchr(" <>(),;", c) != NULL) {
            return false;
        }
    }
    return !quoted;
}

/* "@one,@two:user@domain": RFC 5321 section 4.1.1.3 has it ignored. */
static struct slice
skip_source_route(struct slice in)
{
    size_t colon = slice_find(in, ':');

    return in.len > 0 && in.ptr[0] == '@' && colon < in.len
        ? slice_skip(in, colon + 1)
        : in;
}

static enum path_status
to_internal(struct slice external, struct arena *arena, struct slice *address)
{
    struct buf b;
    enum path_status status = PATH_FOUND;

    buf_init(&b, ADDRESS_MAX);
    address_unquote(external, &b);
    if (buf_failed(&b))
        status = PATH_MALFORMED;
    else if (!arena_slice(arena, buf_slice(&b), address))
        status = PATH_NO_MEMORY;
    buf_fini(&b);
    return status;
}

/* RFC 5321 has no dot at the end of a name, but clients do. */
static bool
is_domain(struct slice domain)
{
    if (domain.len > 1 && domain.ptr[domain.len - 1] == '.')
        domain.len--;
    return domain_is_valid(domain) || domain_is_literal(domain) ||
        domain_is_numeric(domain);
}

/* Without octets that would end a command or a line of the log. */
static bool
is_clean(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (is_control((unsigned char)text.ptr[i]) && text.ptr[i] != '\t')
            return false;
    return true;
}

/* What stands in the innermost brackets, or all; false: more is behind them. */
static bool
take_off_brackets(struct slice *in)
{
    bool quoted = false;
    size_t begin = 0, end;

    for (end = 0; end < in->len; end++) {
        char c = in->ptr[end];

        if (c == '\\')
            end++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && c == '<')
            begin = end + 1;
        else if (!quoted && c == '>')
            break;
    }
    for (size_t i = end; i < in->len; i++)
        if (in->ptr[i] != '>')
            return false;
    *in = slice_skip(slice_head(*in, end), begin);
    return true;
}

/* A bracket or quote that begins and does not end: cut off on the way. */
static bool
is_unclosed(struct slice in)
{
    bool quoted = false;
    size_t open = 0, closed = 0;

    for (size_t i = 0; i < in.len; i++) {
        char c = in.ptr[i];

        if (c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && c == '<')
            open++;
        else if (!quoted && c == '>')
            closed++;
    }
    return quoted || open > closed;
}

/* A colon that is not behind the name of a group, "name:user@domain;". */
static bool
names_no_group(struct slice in)
{
    size_t colon = slice_find(in, ':');

    return colon < in.len &&
        (slice_find(in, '@') < colon || in.ptr[in.len - 1] != ';');
}

/* A domain is good, or missing. */
static bool
is_address(struct slice internal)
{
    struct slice local, domain;

    return !address_split(internal, &local, &domain) ||
        (local.len > 0 && is_domain(domain));
}

/*
 * RFC 822 has comments, names in front of brackets, blanks around dots and '@';
 * unless strict_rfc821_envelopes one address in such dress is taken. Nothing but
 * comments is the null address.
 */
static enum path_status
parse_rfc822(struct slice in, struct arena *arena, struct slice *address)
{
    enum path_status status = PATH_FOUND;
    struct header_addresses list;
    struct buf one, more;
    struct slice raw;
    bool any, alone;

    if (!is_clean(in) || !take_off_brackets(&in) || names_no_group(in))
        return PATH_MALFORMED;
    buf_init(&one, ADDRESS_MAX);
    buf_init(&more, ADDRESS_MAX);
    header_addresses_init(&list, in, ADDRESS_MAX);
    any = header_addresses_next(&list, &one, &raw);
    alone = !buf_failed(&one) && !header_addresses_next(&list, &more, &raw);
    if (!alone || (any && !is_address(buf_slice(&one))))
        status = PATH_MALFORMED;
    else if (!arena_slice(arena, buf_slice(&one), address))
        status = PATH_NO_MEMORY;
    buf_fini(&one);
    buf_fini(&more);
    return status;
}

static enum path_status
parse_rfc821(struct slice text, bool strict, struct arena *arena,
    struct slice *address)
{
    struct slice in = text, domain;
    size_t local;

    if (in.len > 0 && in.ptr[0] == '<') {
        if (in.len < 2 || in.ptr[in.len - 1] != '>')
            return PATH_MALFORMED;
        in = slice_trim((struct slice){ in.ptr + 1, in.len - 2 });
    } else if (strict) {
        return PATH_MALFORMED;
    }
    *address = (struct slice){ "", 0 };
    if (in.len == 0)
        return PATH_FOUND;
    in = skip_source_route(in);
    if (in.len == 0 || in.len > ADDRESS_MAX || !scan_local_part(in, &local))
        return PATH_MALFORMED;
    domain = slice_skip(in, local + 1);
    if (local < in.len && !is_domain(domain))
        return PATH_MALFORMED;
    return to_internal(in, arena, address);
}

enum path_status
path_address_parse(struct slice text, bool strict, struct arena *arena,
    struct slice *address)
{
    enum path_status status;

    text = slice_trim(text);
    status = parse_rfc821(text, strict, arena, address);
    return status != PATH_MALFORMED || strict || is_unclosed(text)
        ? status
        : parse_rfc822(text, arena, address);
}

enum path_status
path_argument_parse(struct slice args, const char *keyword, bool strict,
    struct arena *arena, struct path_argument *out)
{
    struct slice key = slice_of(keyword);

    args = slice_trim(args);
    if (!slice_starts_nocase(args, key))
        return PATH_MISSING;
    args = slice_trim(slice_skip(args, key.len));
    if (args.len == 0 || args.ptr[0] != ':')
        return PATH_MISSING;
    args = slice_trim(slice_skip(args, 1));
    if (args.len == 0)
        return PATH_MISSING;
    out->text = first_word(args);
    out->parameters = slice_skip(args, out->text.len);
    return path_address_parse(out->text, strict, arena, &out->address);
}
