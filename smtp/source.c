#include "smtp/source.h"

#include "lib/base/log.h"

static bool
parse(struct slice text, int family, struct sock_addr *addr)
{
    if (text.len > 1 && text.ptr[0] == '[' && text.ptr[text.len - 1] == ']')
        text = slice_skip(slice_head(text, text.len - 1), 1);
    return sock_addr_parse(text, 0, addr) && addr->u.any.sa_family == family;
}

/*
 * A virtual host, as inet_interfaces makes one, shows the same address to those
 * whom it calls. Names there say nothing: they may have several addresses.
 */
static bool
only_interface(const struct config *config, int family, struct sock_addr *from)
{
    struct slice rest = slice_of(config->inet_interfaces), element;
    unsigned found = 0;

    while (config_list_next(&rest, &element)) {
        struct sock_addr addr;

        if (parse(element, AF_INET, &addr) || parse(element, AF_INET6, &addr)) {
            if (addr.u.any.sa_family != family)
                continue;
            *from = addr;
            found++;
        } else {
            return false;
        }
    }
    return found == 1 && !sock_addr_is_loopback(from);
}

bool
source_address(const struct config *config, int family, struct sock_addr *from)
{
    bool six = family == AF_INET6;
    const char *text = six ? config->smtp_bind_address6
                           : config->smtp_bind_address;

    if (family != AF_INET && family != AF_INET6)
        return false;
    if (text[0] == '\0')
        return only_interface(config, family, from);
    if (parse(slice_of(text), family, from))
        return true;
    log_warning("bad %s parameter: %s",
        six ? "smtp_bind_address6" : "smtp_bind_address", text);
    return false;
}
