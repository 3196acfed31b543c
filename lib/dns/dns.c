#include "lib/dns/dns.h"

#include "lib/daemon/daemon.h"
#include "lib/dns/dns_codec.h"

static enum dns_status
lookup_is_gone(struct dns_answer *answer, struct slice name, struct why *why)
{
    *answer = (struct dns_answer){ .status = DNS_TRYAGAIN };
    why_temp(why, "4.4.3",
        "Name service error for name=" SLICE_FMT ": no answer from lookup",
        SLICE_ARG(slice_head(name, DNS_NAME_MAX)));
    return DNS_TRYAGAIN;
}

static enum dns_status
ask(struct msg *m, struct slice name, struct arena *arena, int64_t deadline,
    struct dns_answer *answer, struct why *why)
{
    struct msg_in *in;
    struct slice body;
    enum dns_status status;

    /* A question has no side effect: another lookup may be asked again. */
    if (daemon_call(ROLE_LOOKUP, m, true, deadline, &in) != LINK_OK)
        return lookup_is_gone(answer, name, why);
    /* The texts of the answer borrow from the message, which goes. */
    if (!arena_slice(arena, in->body, &body)) {
        msg_in_free(in);
        return lookup_is_gone(answer, name, why);
    }
    msg_in_free(in);
    status = dns_answer_decode(body, arena, answer, why);
    return status;
}

enum dns_status
dns_ask(struct slice name, enum dns_type type, struct arena *arena,
    int64_t deadline, struct dns_answer *answer, struct why *why)
{
    struct msg m;

    dns_ask_encode(name, type, &m);
    return ask(&m, name, arena, deadline, answer, why);
}

enum dns_status
dns_ask_native(struct slice host, unsigned families, struct arena *arena,
    int64_t deadline, struct dns_answer *answer, struct why *why)
{
    struct msg m;

    dns_host_ask_encode(host, families, &m);
    return ask(&m, host, arena, deadline, answer, why);
}

void
dns_ask_client(const struct sock_addr *addr, int64_t deadline,
    struct client_name *name)
{
    struct msg m;
    struct msg_in *in;
    struct why why;

    dns_client_ask_encode(addr, &m);
    if (daemon_call(ROLE_LOOKUP, &m, true, deadline, &in) == LINK_OK) {
        enum result res = dns_client_answer_decode(in->body, name, &why);

        msg_in_free(in);
        if (res == RESULT_OK)
            return;
    }
    *name = (struct client_name){ CLIENT_NAME_TEMP, CLIENT_NAME_TEMP, "unknown",
        "unknown" };
}
