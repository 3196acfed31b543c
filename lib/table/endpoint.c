#include "lib/table/endpoint.h"

#include "lib/base/mem.h"
#include "lib/io/offload.h"
#include "lib/io/sock.h"

#include <netdb.h>

bool
endpoint_parse(struct slice text, const char *port, struct endpoint *e)
{
    const struct slice inet = SLICE_LIT("inet:"), local = SLICE_LIT("unix:");
    struct slice host, rest;
    size_t end;

    *e = (struct endpoint){ 0 };
    if (slice_starts(text, local) || slice_starts(text, SLICE_LIT("/"))) {
        if (text.ptr[0] != '/')
            text = slice_skip(text, local.len);
        e->path = mem_text_of(text);
        return text.len > 0;
    }
    if (slice_starts(text, inet))
        text = slice_skip(text, inet.len);
    if (slice_starts(text, SLICE_LIT("["))) {
        end = slice_find(text, ']');
        host = slice_skip(slice_head(text, end), 1);
        rest = slice_skip(text, end + 1);
    } else {
        host = slice_head(text, slice_rfind(text, ':'));
        rest = slice_skip(text, host.len);
    }
    if (rest.len > 1 && rest.ptr[0] == ':')
        e->port = mem_text_of(slice_skip(rest, 1));
    else if (port != NULL && rest.len == 0)
        e->port = mem_text(port);
    e->host = mem_text_of(host);
    return host.len > 0 && e->port != NULL;
}

void
endpoint_fini(struct endpoint *e)
{
    mem_free(e->path);
    mem_free(e->host);
    mem_free(e->port);
    *e = (struct endpoint){ 0 };
}

/* getaddrinfo() blocks: it is called on another thread. */
struct resolving {
    const struct endpoint *e;
    struct addrinfo *found;
    int error;
};

static void
resolve(void *arg)
{
    struct resolving *r = arg;
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };

    r->error = getaddrinfo(r->e->host, r->e->port, &hints, &r->found);
}

static enum result
connect_host(const struct endpoint *e, int64_t deadline_ms, int *fd,
    struct why *why)
{
    struct resolving r = { .e = e };
    enum result res = RESULT_TEMPFAIL;

    offload(resolve, &r);
    if (r.error != 0)
        return why_temp(why, "4.4.3", "host or service %s:%s not found: %s",
            e->host, e->port, gai_strerror(r.error));
    for (struct addrinfo *a = r.found; a != NULL && res != RESULT_OK;
         a = a->ai_next) {
        struct sock_addr to = { .len = a->ai_addrlen };

        memcpy(&to.u, a->ai_addr, a->ai_addrlen);
        res = sock_connect(&to, NULL, deadline_ms, fd, why);
    }
    freeaddrinfo(r.found);
    return res;
}

enum result
endpoint_connect(const struct endpoint *e, int64_t deadline_ms, int *fd,
    struct why *why)
{
    struct sock_addr to;
    struct why told;
    enum result res;

    if (e->path == NULL) {
        res = connect_host(e, deadline_ms, fd, &told);
        return res == RESULT_OK ? RESULT_OK
                                : why_temp(why, "4.4.1", "connect to %s:%s: %s",
                                      e->host, e->port, told.text);
    }
    if (!sock_addr_unix(e->path, &to))
        return why_errno(why, "connect to %s", e->path);
    res = sock_connect(&to, NULL, deadline_ms, fd, &told);
    return res == RESULT_OK
        ? RESULT_OK
        : why_temp(why, "4.4.1", "connect to %s: %s", e->path, told.text);
}
