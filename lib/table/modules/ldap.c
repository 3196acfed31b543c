/*
 * ldap - directories, as ldap_table(5) has them: values of attributes of the
 * entries that a filter finds, and of those that special attributes lead to.
 */
#include "lib/table/modules/module.h"

#define LDAP_DEPRECATED 0
#include <ldap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>

enum {
    ATTRIBUTES_MAX = 64,
    NUMBER_MAX = 1000000,
    DEPTH_MAX = 1000,
    LOOK_MS = 500, /* a read waits that long, then the clock is looked at */
};

/* What an attribute of an entry is for. */
enum kind { RESULT, SPECIAL, TERMINAL, LEAF, KINDS };

static const struct {
    const char *setting, *fallback;
} kinds[KINDS] = {
    [RESULT] = { "result_attribute", "maildrop" },
    [SPECIAL] = { "special_result_attribute", "" },
    [TERMINAL] = { "terminal_result_attribute", "" },
    [LEAF] = { "leaf_result_attribute", "" },
};

static struct timeval
timeval_of(long ms)
{
    return (struct timeval){ ms / 1000, ms % 1000 * 1000 };
}

/* Here an empty one is a setting as well. */
static const char *
text_of(const struct driver_settings *s, const char *name, const char *fallback)
{
    const char *value = s->get(s->context, name);

    return value == NULL ? fallback : value;
}

static int
number(const struct driver_settings *s, const char *name, int fallback)
{
    const char *text = s->get(s->context, name);
    long n = text == NULL || *text == '\0' ? fallback : strtol(text, NULL, 10);

    return n < 0 || n > NUMBER_MAX ? fallback : (int)n;
}

static bool
is_yes(const struct driver_settings *s, const char *name)
{
    return strcasecmp(text_of(s, name, "no"), "yes") == 0;
}

static bool
check(const struct driver_settings *s, struct driver_problem *p)
{
    const char *bind = text_of(s, "bind", "yes");

    if (*text_of(s, "search_base", "") == '\0') {
        (void)snprintf(p->text, sizeof(p->text), "no search_base");
        return false;
    }
    if (strcasecmp(bind, "sasl") == 0) {
        (void)snprintf(p->text, sizeof(p->text),
            "bind = sasl is not supported");
        return false;
    }
    return true;
}

/* "host", "host:port", or a URL as it is. */
static void
make_url(const struct driver_settings *s, const char *host, char *to,
    size_t size)
{
    if (strstr(host, "://") != NULL)
        (void)snprintf(to, size, "%s", host);
    else if (strchr(host, ':') != NULL)
        (void)snprintf(to, size, "ldap://%s", host);
    else
        (void)snprintf(to, size, "ldap://%s:%d", host,
            number(s, "server_port", 389));
}

static int
set_tls(LDAP *ld, const struct driver_settings *s)
{
    static const struct {
        const char *setting;
        int option;
    } texts[] = {
        { "tls_ca_cert_dir", LDAP_OPT_X_TLS_CACERTDIR },
        { "tls_ca_cert_file", LDAP_OPT_X_TLS_CACERTFILE },
        { "tls_cert", LDAP_OPT_X_TLS_CERTFILE },
        { "tls_key", LDAP_OPT_X_TLS_KEYFILE },
        { "tls_cipher_suite", LDAP_OPT_X_TLS_CIPHER_SUITE },
    };
    int require = is_yes(s, "tls_require_cert") ? LDAP_OPT_X_TLS_DEMAND
                                                : LDAP_OPT_X_TLS_NEVER;
    int error = ldap_set_option(ld, LDAP_OPT_X_TLS_REQUIRE_CERT, &require);
    int client = 0;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        const char *value = text_of(s, texts[i].setting, "");

        if (error == LDAP_SUCCESS && *value != '\0')
            error = ldap_set_option(ld, texts[i].option, value);
    }
    if (error == LDAP_SUCCESS)
        error = ldap_set_option(ld, LDAP_OPT_X_TLS_NEWCTX, &client);
    return error;
}

/*
 * The library waits for an answer with a time limit, but then reads all of its
 * first element, of any length that the server says.
 */
static int
bound_reads(LDAP *ld, Sockbuf *sb, LDAPURLDesc *server,
    struct sockaddr *address, struct ldap_conncb *callback)
{
    const struct timeval look = timeval_of(LOOK_MS);
    ber_len_t most = DRIVER_ANSWER_MAX;
    ber_socket_t fd;

    (void)ld;
    (void)server;
    (void)address;
    (void)callback;
    if (ber_sockbuf_ctrl(sb, LBER_SB_OPT_GET_FD, &fd) == 1)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &look, sizeof(look));
    (void)ber_sockbuf_ctrl(sb, LBER_SB_OPT_SET_MAX_INCOMING, &most);
    return 0;
}

static void
nothing_bound(LDAP *ld, Sockbuf *sb, struct ldap_conncb *callback)
{
    (void)ld;
    (void)sb;
    (void)callback;
}

/* For each step until a deadline. */
static void
set_wait(LDAP *ld, long deadline)
{
    long left = deadline - now_ms();
    struct timeval wait = timeval_of(left > 0 ? left : 1);

    (void)ldap_set_option(ld, LDAP_OPT_NETWORK_TIMEOUT, &wait);
    (void)ldap_set_option(ld, LDAP_OPT_TIMEOUT, &wait);
}

static int
set_options(LDAP *ld, const struct driver_settings *s)
{
    static struct ldap_conncb connected = { bound_reads, nothing_bound, NULL };
    int version = number(s, "version", LDAP_VERSION3);
    int deref = number(s, "dereference", 0);

    (void)ldap_set_option(ld, LDAP_OPT_CONNECT_CB, &connected);
    (void)ldap_set_option(ld, LDAP_OPT_PROTOCOL_VERSION, &version);
    (void)ldap_set_option(ld, LDAP_OPT_DEREF, &deref);
    (void)ldap_set_option(ld, LDAP_OPT_REFERRALS,
        number(s, "chase_referrals", 0) != 0 ? LDAP_OPT_ON : LDAP_OPT_OFF);
    return set_tls(ld, s);
}

static int
bind_to(LDAP *ld, const struct driver_settings *s)
{
    const char *how = text_of(s, "bind", "yes");
    union {
        const char *given;
        char *taken;
    } password = { .given = text_of(s, "bind_pw", "") };
    struct berval cred = { strlen(password.given), password.taken };

    if (strcasecmp(how, "no") == 0 || strcasecmp(how, "none") == 0)
        return LDAP_SUCCESS;
    return ldap_sasl_bind_s(ld, text_of(s, "bind_dn", ""), LDAP_SASL_SIMPLE,
        &cred, NULL, NULL, NULL);
}

static void *
connect_to(const struct driver_settings *s, const char *host,
    unsigned timeout_ms, struct driver_problem *p)
{
    const long deadline = now_ms() + (long)timeout_ms;
    LDAP *ld = NULL;
    char url[512];
    int error;

    make_url(s, host, url, sizeof(url));
    error = ldap_initialize(&ld, url);
    if (error == LDAP_SUCCESS)
        error = set_options(ld, s);
    if (error == LDAP_SUCCESS && is_yes(s, "start_tls")) {
        set_wait(ld, deadline);
        error = ldap_start_tls_s(ld, NULL, NULL);
    }
    if (error == LDAP_SUCCESS) {
        set_wait(ld, deadline);
        error = bind_to(ld, s);
    }
    if (error == LDAP_SUCCESS)
        return ld;
    (void)snprintf(p->text, sizeof(p->text), "%.150s: %.140s", url,
        ldap_err2string(error));
    if (ld != NULL)
        (void)ldap_unbind_ext_s(ld, NULL, NULL);
    return NULL;
}

/* RFC 4515: \XX; RFC 4514 takes the same for what is special in a name. */
static bool
quote(void *connection, enum driver_quote kind, const char *in, size_t size,
    char *out)
{
    const char *special = kind == QUOTE_QUERY ? "*()\\" : " \t\"#+,;<>=\\";

    (void)connection;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)in[i];

        if (strchr(special, c) != NULL || c < ' ' || c >= 127)
            out += sprintf(out, "\\%02X", c);
        else
            *out++ = (char)c;
    }
    *out = '\0';
    return true;
}

/* One question: names of attributes, and what is left of its limits. */
struct search {
    LDAP *ld;
    const struct driver_query *q;
    struct driver_problem *problem;
    char *names[KINDS]; /* copies that are cut into words */
    char *attributes[ATTRIBUTES_MAX + 1];
    enum kind kind[ATTRIBUTES_MAX];
    size_t count;
    long deadline;
    int depth_max, size_max;
    bool stop; /* no more values are wanted */
};

static bool
take_attributes(struct search *s)
{
    for (enum kind k = RESULT; k < KINDS; k++) {
        char *save = NULL, *word;

        s->names[k] = strdup(
            text_of(s->q->settings, kinds[k].setting, kinds[k].fallback));
        if (s->names[k] == NULL)
            return false;
        for (word = strtok_r(s->names[k], " \t,", &save);
             word != NULL && s->count < ATTRIBUTES_MAX;
             word = strtok_r(NULL, " \t,", &save)) {
            s->kind[s->count] = k;
            s->attributes[s->count++] = word;
        }
    }
    s->attributes[s->count] = NULL;
    return true;
}

static enum driver_result
failed(struct search *s, int error)
{
    (void)snprintf(s->problem->text, sizeof(s->problem->text),
        "search failed: %.250s", ldap_err2string(error));
    switch (error) {
    case LDAP_SERVER_DOWN:
    case LDAP_CONNECT_ERROR:
    case LDAP_TIMEOUT:
    case LDAP_BUSY:
    case LDAP_UNAVAILABLE:
    case LDAP_LOCAL_ERROR:
    case LDAP_DECODING_ERROR:
        return DRIVER_LOST;
    default:
        return DRIVER_ERROR;
    }
}

/* NOLINTBEGIN(misc-no-recursion): it ends at recursion_limit and DEPTH_MAX. */
static enum driver_result search(struct search *s, const char *base, int scope,
    const char *filter, int depth);

/* A value that names another entry: its DN, or an LDAP URL. */
static enum driver_result
follow(struct search *s, const struct berval *value, int depth)
{
    char *text = strndup(value->bv_val, value->bv_len);
    enum driver_result result = DRIVER_OK;
    LDAPURLDesc *url = NULL;

    if (text == NULL)
        return failed(s, LDAP_NO_MEMORY);
    if (ldap_is_ldap_url(text)) {
        if (ldap_url_parse(text, &url) == LDAP_URL_SUCCESS) {
            result = search(s, url->lud_dn, url->lud_scope,
                url->lud_filter != NULL ? url->lud_filter : "(objectClass=*)",
                depth + 1);
            ldap_free_urldesc(url);
        }
    } else {
        result = search(s, text, LDAP_SCOPE_BASE, "(objectClass=*)", depth + 1);
    }
    free(text);
    return result;
}

static bool
has(struct search *s, LDAPMessage *entry, enum kind kind)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->kind[i] == kind) {
            struct berval **values = ldap_get_values_len(s->ld, entry,
                s->attributes[i]);
            bool any = values != NULL && values[0] != NULL;

            ldap_value_free_len(values);
            if (any)
                return true;
        }
    return false;
}

static enum driver_result
take_attribute(struct search *s, LDAPMessage *entry, size_t i, int depth)
{
    struct berval **values = ldap_get_values_len(s->ld, entry,
        s->attributes[i]);
    enum driver_result result = DRIVER_OK;

    for (size_t n = 0;
         values != NULL && values[n] != NULL && !s->stop && result == DRIVER_OK;
         n++) {
        if (s->kind[i] == SPECIAL)
            result = follow(s, values[n], depth);
        else
            s->stop = !s->q->value(s->q->context, values[n]->bv_val,
                values[n]->bv_len);
    }
    ldap_value_free_len(values);
    return result;
}

/*
 * Terminal attributes, where there are any, are all that counts; leaf
 * attributes count where nothing leads on.
 */
static enum driver_result
take_entry(struct search *s, LDAPMessage *entry, int depth)
{
    bool terminal = has(s, entry, TERMINAL);
    bool leads_on = !terminal && has(s, entry, SPECIAL);
    enum driver_result result = DRIVER_OK;

    for (size_t i = 0; i < s->count && !s->stop && result == DRIVER_OK; i++) {
        if (terminal != (s->kind[i] == TERMINAL))
            continue;
        if (s->kind[i] == LEAF && leads_on)
            continue;
        result = take_attribute(s, entry, i, depth);
    }
    return result;
}

static enum driver_result
search(struct search *s, const char *base, int scope, const char *filter,
    int depth)
{
    long left = s->deadline - now_ms();
    struct timeval wait = timeval_of(left);
    enum driver_result result = DRIVER_OK;
    LDAPMessage *found = NULL;
    int error;

    if (depth > s->depth_max || depth > DEPTH_MAX) {
        (void)snprintf(s->problem->text, sizeof(s->problem->text),
            "recursion_limit exceeded");
        return DRIVER_ERROR;
    }
    if (left <= 0)
        return failed(s, LDAP_TIMEOUT);
    error = ldap_search_ext_s(s->ld, base, scope, filter, s->attributes, 0,
        NULL, NULL, &wait, s->size_max, &found);
    /* What a name leads to may have gone. */
    if (error == LDAP_NO_SUCH_OBJECT && depth > 0)
        error = LDAP_SUCCESS;
    if (error != LDAP_SUCCESS)
        result = failed(s, error);
    else
        for (LDAPMessage *e = ldap_first_entry(s->ld, found);
             e != NULL && !s->stop && result == DRIVER_OK;
             e = ldap_next_entry(s->ld, e))
            result = take_entry(s, e, depth);
    (void)ldap_msgfree(found);
    return result;
}

/* NOLINTEND(misc-no-recursion) */

static enum driver_result
ask(void *connection, const struct driver_query *q, struct driver_problem *p)
{
    const char *text = text_of(q->settings, "scope", "sub");
    int scope = strcasecmp(text, "base") == 0 ? LDAP_SCOPE_BASE
        : strcasecmp(text, "one") == 0        ? LDAP_SCOPE_ONELEVEL
                                              : LDAP_SCOPE_SUBTREE;
    struct search s = { .ld = connection, .q = q, .problem = p };
    enum driver_result result;

    s.deadline = now_ms() + (long)q->timeout_ms;
    set_wait(s.ld, s.deadline);
    s.depth_max = number(q->settings, "recursion_limit", 1000);
    s.size_max = number(q->settings, "size_limit",
        number(q->settings, "expansion_limit", 0));
    if (take_attributes(&s))
        result = search(&s, q->base, scope, q->text, 0);
    else
        result = failed(&s, LDAP_NO_MEMORY);
    for (size_t i = 0; i < KINDS; i++)
        free(s.names[i]);
    return result;
}

static void
disconnect(void *connection)
{
    (void)ldap_unbind_ext_s(connection, NULL, NULL);
}

const struct table_driver postern_table_driver = {
    .version = TABLE_DRIVER_VERSION,
    .hosts = "server_host",
    .default_hosts = "localhost",
    .query = "query_filter",
    .default_query = "mailacceptinggeneralid=%s",
    .base = "search_base",
    .check = check,
    .connect = connect_to,
    .quote = quote,
    .query_for = ask,
    .disconnect = disconnect,
};
