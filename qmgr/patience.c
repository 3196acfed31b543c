#include "qmgr/patience.h"

#include "lib/mail/content.h"
#include "lib/mail/notice.h"

#include <stdio.h>

enum {
    RESOLVE_MS = 100 * 1000, /* what smtp grants to questions about a name */
    SLACK_MS = 10 * 1000,    /* for the machine being busy */
    HOSTS_ALL = 50,          /* where there is no limit */
};

static int64_t
longer(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Of one host. */
static int64_t
session_ms(const struct config *c, const struct delivery *d)
{
    int64_t pieces = 1 + (int64_t)(d->body_length / CONTENT_PIECE);
    int64_t recipients = (int64_t)d->recipient_count;

    return c->smtp_connect_timeout + 2 * c->smtp_helo_timeout +
        c->smtp_mail_timeout + recipients * c->smtp_rcpt_timeout +
        c->smtp_data_init_timeout + pieces * c->smtp_data_xfer_timeout +
        c->smtp_data_done_timeout + c->smtp_rset_timeout + c->smtp_quit_timeout;
}

/* A list of destinations has a comma or a blank between two. */
static int64_t
count_destinations(struct slice list)
{
    struct slice word;
    int64_t n = 0;

    while (slice_word(&list, ", \t", &word))
        n++;
    return n;
}

static int64_t
smtp_ms(const struct config *c, const struct delivery *d)
{
    int64_t hosts = c->smtp_mx_address_limit > 0 ? c->smtp_mx_address_limit
                                                 : HOSTS_ALL;
    int64_t destinations = count_destinations(d->nexthop) +
        count_destinations(slice_of(c->smtp_fallback_relay));
    bool is_address = d->nexthop.len > 0 && d->nexthop.ptr[0] == '[';

    return SLACK_MS + destinations * hosts * session_ms(c, d) +
        (is_address && destinations == 1 ? 0 : destinations * RESOLVE_MS);
}

int64_t
patience_delivery_ms(const struct qmgr *q, const struct delivery *d)
{
    const struct service *service;
    const struct config *c;
    char name[256];

    snprintf(name, sizeof(name), SLICE_FMT, SLICE_ARG(d->transport));
    service = config_find_service(q->set, name, NULL);
    if (service == NULL)
        return longer(q->config->daemon_timeout, DELIVERY_LOCAL_MS + SLACK_MS);
    c = service->config;
    if (strcmp(service->program, "smtp") == 0 ||
        strcmp(service->program, "lmtp") == 0)
        return longer(c->daemon_timeout, smtp_ms(c, d));
    return longer(c->daemon_timeout, DELIVERY_LOCAL_MS + SLACK_MS);
}

int64_t
patience_notice_ms(const struct qmgr *q)
{
    return longer(q->config->ipc_timeout, NOTICE_TIME_MS + SLACK_MS);
}

int64_t
patience_lookup_ms(const struct qmgr *q)
{
    return q->config->ipc_timeout;
}
