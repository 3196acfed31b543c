#include "cmd/sendmail/recipients.h"

#include "lib/mail/header.h"

enum { ADDRESS_MAX = 4096 };

enum result
recipients_add(struct slice text, uint32_t notify, unsigned token_limit,
    struct arena *arena, struct envelope *env, struct why *why)
{
    struct header_addresses list;
    enum result res = RESULT_OK;
    struct slice raw;
    struct buf address;

    buf_init(&address, ADDRESS_MAX);
    header_addresses_init(&list, text, token_limit);
    while (res == RESULT_OK && header_addresses_next(&list, &address, &raw)) {
        const struct recipient r = {
            .address = buf_slice(&address),
            .notify = notify,
        };

        if (address.len > 0)
            res = envelope_add_recipient(env, arena, &r, why);
    }
    buf_fini(&address);
    return res;
}

enum result
recipients_parse_one(struct slice text, struct arena *arena,
    struct slice *address, struct why *why)
{
    struct header_addresses list;
    struct buf first;
    struct slice raw;
    bool ok = true;

    *address = (struct slice){ "", 0 };
    buf_init(&first, ADDRESS_MAX);
    header_addresses_init(&list, text, ADDRESS_MAX);
    if (header_addresses_next(&list, &first, &raw))
        ok = arena_slice(arena, buf_slice(&first), address);
    buf_fini(&first);
    return ok ? RESULT_OK : why_temp(why, "4.3.1", "no memory for an address");
}

size_t
recipients_header_length(struct slice in)
{
    struct slice rest = in;
    size_t taken = 0;

    while (rest.len > 0) {
        size_t lf = slice_find(rest, '\n');
        struct slice line = slice_head(rest, lf);
        bool folded = line.len > 0 &&
            (line.ptr[0] == ' ' || line.ptr[0] == '\t') && taken > 0;

        if (lf == rest.len)
            return in.len;
        if (!folded && header_name_length(line) == 0)
            return taken;
        taken += lf + 1;
        rest = slice_skip(rest, lf + 1);
    }
    return in.len;
}

static bool
names_recipients(struct slice name, bool resent)
{
    static const char *const names[] = { "To", "Cc", "Bcc" };

    if (resent != slice_starts_nocase(name, SLICE_LIT("Resent-")))
        return false;
    if (resent)
        name = slice_skip(name, sizeof("Resent-") - 1);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (slice_eq_nocase(name, slice_of(names[i])))
            return true;
    return false;
}

static bool
is_resent(struct slice header)
{
    struct header_field f;

    while (header_next(&header, &f))
        if (names_recipients(f.name, true))
            return true;
    return false;
}

enum result
recipients_add_header(struct slice header, uint32_t notify,
    unsigned token_limit, struct arena *arena, struct envelope *env,
    struct why *why)
{
    bool resent = is_resent(header);
    struct header_field f;
    enum result res = RESULT_OK;

    while (res == RESULT_OK && header_next(&header, &f))
        if (names_recipients(f.name, resent))
            res = recipients_add(f.value, notify, token_limit, arena, env, why);
    return res;
}
