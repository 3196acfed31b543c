#include "lib/table/dns_filter.h"

#include "lib/base/buf.h"
#include "lib/base/log.h"
#include "lib/dns/dns_codec.h"

enum { RECORD_MAX = 8192 };

/* As dns_strrecord() of Postfix writes it. */
static void
describe(struct slice owner, const struct dns_record *r, struct buf *to)
{
    char text[SOCK_TEXT_MAX];

    buf_clear(to);
    buf_add_format(to, SLICE_FMT ". %u IN %s ", SLICE_ARG(owner), r->ttl,
        dns_type_name(r->type));
    switch (r->type) {
    case DNS_A:
    case DNS_AAAA:
        buf_add_text(to, sock_addr_text(&r->addr, text));
        break;
    case DNS_MX:
        buf_add_format(to, "%u ", r->preference);
        buf_add_format(to, SLICE_FMT ".", SLICE_ARG(r->name));
        break;
    case DNS_NS:
    case DNS_CNAME:
    case DNS_PTR:
        buf_add_format(to, SLICE_FMT ".", SLICE_ARG(r->name));
        break;
    case DNS_TXT:
        buf_add(to, r->name);
        break;
    }
}

enum deed { DEED_KEEP, DEED_IGNORE, DEED_ERROR };

static enum deed
ask(struct table_list *filter, const char *tag, struct slice record,
    struct why *why)
{
    enum deed deed = DEED_ERROR;
    struct buf value;

    buf_init(&value, RECORD_MAX);
    switch (table_list_find(filter, record, &value, why)) {
    case TABLE_FOUND:
        if (slice_eq_nocase(slice_trim(buf_slice(&value)),
                SLICE_LIT("IGNORE"))) {
            log_write(LOG_LEVEL_INFO, tag, "ignoring DNS RR: " SLICE_FMT,
                SLICE_ARG(record));
            deed = DEED_IGNORE;
        } else {
            (void)why_temp(why, "4.4.3",
                "Invalid DNS reply filter syntax: \"%.100s\"",
                buf_text(&value));
        }
        break;
    case TABLE_NOT_FOUND:
        deed = DEED_KEEP;
        break;
    case TABLE_ERROR:
        break;
    }
    buf_fini(&value);
    return deed;
}

static enum dns_status
failed(struct slice name, enum dns_type type, const char *what, struct why *why)
{
    (void)why_temp(why, "4.4.3",
        "Error looking up name=" SLICE_FMT " type=%s: %s", SLICE_ARG(name),
        dns_type_name(type), what);
    return DNS_TRYAGAIN;
}

enum dns_status
dns_filter_answer(struct table_list *filter, const char *tag, struct slice name,
    enum dns_type type, enum dns_status status, struct dns_answer *answer,
    struct why *why)
{
    struct slice owner = answer->canonical.len > 0 ? answer->canonical : name;
    size_t kept = 0, seen = 0;
    struct buf record;
    enum deed deed = DEED_KEEP;
    struct why what;

    if (filter == NULL || status != DNS_OK)
        return status;
    buf_init(&record, RECORD_MAX);
    for (; seen < answer->count && deed != DEED_ERROR; seen++) {
        describe(owner, &answer->records[seen], &record);
        deed = answer->records[seen].type == type
            ? ask(filter, tag, buf_slice(&record), &what)
            : DEED_KEEP; /* an alias on the way */
        if (deed == DEED_KEEP)
            answer->records[kept++] = answer->records[seen];
    }
    buf_fini(&record);
    answer->count = kept;
    if (deed == DEED_ERROR)
        status = failed(name, type, what.text, why);
    else if (kept == 0 && seen > 0)
        status = failed(name, type, "DNS reply filter drops all results", why);
    answer->status = status;
    return status;
}
