#include "smtpd/policy.h"

#include "lib/base/clock.h"
#include "lib/base/list.h"
#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "lib/dns/dns.h"
#include "lib/io/fiber.h"
#include "lib/io/stream.h"
#include "smtpd/policy_reply.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

enum {
    IDLE_MAX = 100, /* connections kept for later */
    RESOLVE_MAX = 64 * 1024,
};

/* A connection; in policy->idle while nobody uses it. */
struct connection {
    struct list link;
    struct stream *stream;
    int64_t until_ms;      /* it is not used after that */
    int64_t idle_until_ms; /* nor after that, if nobody asks before */
    uint32_t requests;
};

struct policy {
    char *name;
    char *path; /* of a Unix socket; or: */
    char *host; /* and */
    uint16_t port;
    int64_t timeout_ms, retry_delay_ms, max_idle_ms, max_ttl_ms;
    uint32_t try_limit, request_limit;
    char *context, *default_action;
    struct list idle; /* the last one used is first */
    size_t idle_count;
    struct fiber_timer ageing;
};

/* Parsing */

static enum result
bad_setting(struct slice name, struct slice value, struct why *why)
{
    return why_perm(why, "4.3.5",
        "check_policy_service: bad setting \"" SLICE_FMT "=" SLICE_FMT "\"",
        SLICE_ARG(name), SLICE_ARG(value));
}

static enum result
set_one(struct policy *p, struct slice setting, struct why *why)
{
    struct slice name = slice_trim(
        slice_head(setting, slice_find(setting, '=')));
    struct slice value = slice_trim(
        slice_skip(setting, slice_find(setting, '=') + 1));
    const struct {
        const char *name;
        int64_t *ms;
        uint32_t *number;
        char **text;
    } settings[] = {
        { "timeout", &p->timeout_ms, NULL, NULL },
        { "retry_delay", &p->retry_delay_ms, NULL, NULL },
        { "max_idle", &p->max_idle_ms, NULL, NULL },
        { "max_ttl", &p->max_ttl_ms, NULL, NULL },
        { "try_limit", NULL, &p->try_limit, NULL },
        { "request_limit", NULL, &p->request_limit, NULL },
        { "default_action", NULL, NULL, &p->default_action },
        { "policy_context", NULL, NULL, &p->context },
    };

    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        if (!slice_eq_text(name, settings[i].name))
            continue;
        if (settings[i].text != NULL) {
            mem_free(*settings[i].text);
            *settings[i].text = mem_text_of(value);
        } else if (settings[i].ms != NULL
                ? !config_parse_time(value, 's', settings[i].ms)
                : !num_parse_u32(value, INT32_MAX, settings[i].number)) {
            return bad_setting(name, value, why);
        }
        return RESULT_OK;
    }
    return bad_setting(name, value, why);
}

static enum result
parse_endpoint(struct policy *p, struct slice text, const struct config *config,
    struct why *why)
{
    struct slice rest = text;
    size_t colon;

    p->name = mem_text_of(text);
    if (slice_starts_nocase(text, SLICE_LIT("unix:")))
        rest = slice_skip(text, sizeof("unix:") - 1);
    if (rest.len < text.len || !slice_starts_nocase(text, SLICE_LIT("inet:"))) {
        if (rest.len == 0)
            return why_perm(why, "4.3.5", "%s: no socket is named", p->name);
        p->path = rest.ptr[0] == '/'
            ? mem_text_of(rest)
            : mem_format("%s/" SLICE_FMT, config->queue_directory,
                  SLICE_ARG(rest));
        return RESULT_OK;
    }
    rest = slice_skip(text, sizeof("inet:") - 1);
    colon = slice_rfind(rest, ':');
    if (colon == rest.len ||
        !sock_port_parse(slice_skip(rest, colon + 1), &p->port))
        return why_perm(why, "4.3.5", "%s: no port is named", p->name);
    rest = slice_head(rest, colon);
    if (rest.len > 1 && rest.ptr[0] == '[' && rest.ptr[rest.len - 1] == ']')
        rest = (struct slice){ rest.ptr + 1, rest.len - 2 };
    p->host = mem_text_of(rest.len == 0 ? SLICE_LIT("localhost") : rest);
    return RESULT_OK;
}

static void age(void *arg);

enum result
policy_parse(struct slice text, const struct config *config,
    struct policy **policy, struct why *why)
{
    struct slice rest = config_unbrace(text), word;
    struct policy *p = mem_alloc(sizeof(*p));
    enum result res;

    list_init(&p->idle);
    p->ageing = (struct fiber_timer){ .fn = age, .arg = p };
    p->timeout_ms = config->smtpd_policy_service_timeout;
    p->retry_delay_ms = config->smtpd_policy_service_retry_delay;
    p->max_idle_ms = config->smtpd_policy_service_max_idle;
    p->max_ttl_ms = config->smtpd_policy_service_max_ttl;
    p->try_limit = (uint32_t)config->smtpd_policy_service_try_limit;
    p->request_limit = (uint32_t)config->smtpd_policy_service_request_limit;
    p->context = mem_text(config->smtpd_policy_service_policy_context);
    p->default_action = mem_text(config->smtpd_policy_service_default_action);
    res = config_list_next(&rest, &word)
        ? parse_endpoint(p, word, config, why)
        : why_perm(why, "4.3.5", "check_policy_service: no server is named");
    while (res == RESULT_OK && config_list_next(&rest, &word))
        res = set_one(p, config_unbrace(word), why);
    if (res == RESULT_OK && p->try_limit == 0)
        p->try_limit = 1;
    *policy = p;
    if (res != RESULT_OK) {
        policy_free(p);
        *policy = NULL;
    }
    return res;
}

static void
hang_up(struct connection *c)
{
    list_remove(&c->link);
    stream_free(c->stream);
    mem_free(c);
}

void
policy_free(struct policy *policy)
{
    struct list *it;

    if (policy == NULL)
        return;
    if (sched_is_open())
        fiber_timer_disarm(&policy->ageing);
    while ((it = list_take(&policy->idle)) != NULL)
        hang_up(LIST_ENTRY(it, struct connection, link));
    mem_free(policy->name);
    mem_free(policy->path);
    mem_free(policy->host);
    mem_free(policy->context);
    mem_free(policy->default_action);
    mem_free(policy);
}

const char *
policy_name(const struct policy *policy)
{
    return policy->name;
}

const char *
policy_context(const struct policy *policy)
{
    return policy->context;
}

const char *
policy_default_action(const struct policy *policy)
{
    return policy->default_action;
}

/* Connections */

/* Those that idled for too long are the last in the list. */
static void
age(void *arg)
{
    struct policy *p = arg;
    int64_t now = clock_now_ms();

    while (!list_empty(&p->idle)) {
        struct connection *c = LIST_ENTRY(p->idle.prev, struct connection,
            link);

        if (c->idle_until_ms > now) {
            fiber_timer_arm(&p->ageing, c->idle_until_ms);
            return;
        }
        p->idle_count--;
        hang_up(c);
    }
}

/* Nothing to read: the server neither left nor talks out of turn. */
static bool
is_quiet(const struct connection *c)
{
    char octet;

    return stream_buffered(c->stream) == 0 &&
        recv(stream_fd(c->stream), &octet, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
        (errno == EAGAIN || errno == EWOULDBLOCK);
}

static struct connection *
take_idle(struct policy *p)
{
    struct list *it;

    while ((it = list_take(&p->idle)) != NULL) {
        struct connection *c = LIST_ENTRY(it, struct connection, link);

        list_init(&c->link);
        p->idle_count--;
        if (c->until_ms > clock_now_ms() && is_quiet(c))
            return c;
        hang_up(c);
    }
    return NULL;
}

static void
keep(struct policy *p, struct connection *c)
{
    int64_t now = clock_now_ms();

    c->requests++;
    if (p->idle_count >= IDLE_MAX || c->until_ms <= now ||
        (p->request_limit > 0 && c->requests >= p->request_limit)) {
        hang_up(c);
        return;
    }
    c->idle_until_ms = now + p->max_idle_ms;
    list_insert_after(&p->idle, &c->link);
    if (p->idle_count++ == 0)
        fiber_timer_arm(&p->ageing, c->idle_until_ms);
}

static enum result
connect_to_host(const struct policy *p, int64_t deadline, int *fd,
    struct why *why)
{
    struct dns_answer answer;
    struct sock_addr addr;
    struct arena arena;
    enum result res = RESULT_TEMPFAIL;

    if (sock_addr_parse(slice_of(p->host), p->port, &addr))
        return sock_connect(&addr, NULL, deadline, fd, why);
    arena_init(&arena, RESOLVE_MAX);
    if (dns_ask_native(slice_of(p->host), DNS_WANT_INET | DNS_WANT_INET6,
            &arena, deadline, &answer, why) != DNS_OK)
        answer.count = 0;
    for (size_t i = 0; i < answer.count && res != RESULT_OK; i++) {
        sock_addr_set_port(&answer.records[i].addr, p->port);
        res = sock_connect(&answer.records[i].addr, NULL, deadline, fd, why);
    }
    arena_clear(&arena);
    return res;
}

static enum result
open_connection(const struct policy *p, int64_t deadline,
    struct connection **connection, struct why *why)
{
    struct connection *c;
    struct sock_addr addr;
    enum result res;
    int fd;

    if (p->path == NULL)
        res = connect_to_host(p, deadline, &fd, why);
    else if (!sock_addr_unix(p->path, &addr))
        res = why_perm(why, "4.3.5", "%s: name is too long", p->path);
    else
        res = sock_connect(&addr, NULL, deadline, &fd, why);
    if (res != RESULT_OK)
        return res;
    c = mem_alloc(sizeof(*c));
    list_init(&c->link);
    c->stream = stream_new(fd);
    c->until_ms = clock_now_ms() + p->max_ttl_ms;
    *connection = c;
    return RESULT_OK;
}

/* Asking */

static enum result
ask_once(struct policy *p, struct slice request, struct buf *action,
    struct why *why)
{
    int64_t deadline = clock_now_ms() + p->timeout_ms;
    struct connection *c = take_idle(p);
    enum stream_status status;
    enum result res = RESULT_OK;

    if (c == NULL)
        res = open_connection(p, deadline, &c, why);
    if (res != RESULT_OK)
        return res;
    stream_write(c->stream, request, deadline);
    status = stream_flush(c->stream, deadline);
    res = status == STREAM_OK
        ? policy_reply_read(c->stream, deadline, action, why)
        : policy_reply_failed(status, why);
    if (res == RESULT_OK)
        keep(p, c);
    else
        hang_up(c);
    return res;
}

enum result
policy_ask(struct policy *policy, struct slice request, struct buf *action,
    struct why *why)
{
    enum result res = RESULT_TEMPFAIL;

    for (uint32_t i = 0; i < policy->try_limit; i++) {
        if (i > 0 &&
            fiber_sleep_until(clock_now_ms() + policy->retry_delay_ms) ==
                WAIT_CANCELLED)
            return policy_reply_failed(STREAM_CANCELLED, why);
        res = ask_once(policy, request, action, why);
        if (res == RESULT_OK)
            break;
    }
    return res;
}
