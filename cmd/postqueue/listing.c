#include "cmd/postqueue/listing.h"

#include "lib/base/buf.h"
#include "lib/base/json.h"
#include "lib/base/printable.h"
#include "lib/mail/address.h"
#include "lib/mail/queue_id.h"

#include <time.h>

enum {
    REASON_WIDTH = 76, /* its end stands in this column */
    LINE_MAX_OCTETS = 64 * 1024 * 1024,
};

static const char null_sender[] = "MAILER-DAEMON";

/* Columns of the two forms of queue ids. */
struct columns {
    int id, size, date, date_gap;
    const char *heading;
};
static const struct columns short_columns = { 11, 7, 20, 1,
    "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------" };
static const struct columns long_columns = { 17, 8, 19, 1,
    "----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------" };

/* As in a header: a local part that needs quotes has them. */
static struct slice
external(struct slice address, struct buf *text)
{
    buf_clear(text);
    address_quote(address, text);
    return buf_slice(text);
}

static void
put_recipients(struct buf *to, const struct queue_item *item)
{
    struct buf text;

    buf_init(&text, LINE_MAX_OCTETS);
    for (size_t i = 0; i < item->recipient_count; i++) {
        const struct queue_recipient *r = &item->recipients[i];

        buf_add_text(to, i == 0 ? "{" : ", {");
        json_member(to, "address", external(r->address, &text));
        if (r->reason.len > 0) {
            buf_add_text(to, ", ");
            json_member(to, "delay_reason", r->reason);
        }
        buf_add_octet(to, '}');
    }
    buf_fini(&text);
}

static void
print_json(struct listing *l, const struct queue_item *item, const char *id)
{
    struct buf line, text;

    buf_init(&line, LINE_MAX_OCTETS);
    buf_init(&text, LINE_MAX_OCTETS);
    buf_add_octet(&line, '{');
    json_member(&line, "queue_name", slice_of(queue_name_text(item->queue)));
    buf_add_text(&line, ", ");
    json_member(&line, "queue_id", slice_of(id));
    buf_add_format(&line,
        ", \"arrival_time\": %lld, \"message_size\": %llu, "
        "\"forced_expire\": %s, ",
        (long long)(item->arrival_us / 1000000), (unsigned long long)item->size,
        item->forced_expire ? "true" : "false");
    json_member(&line, "sender",
        item->sender.len > 0 ? external(item->sender, &text)
                             : slice_of(null_sender));
    buf_fini(&text);
    buf_add_text(&line, ", \"recipients\": [");
    put_recipients(&line, item);
    buf_add_text(&line, "]}\n");
    (void)fwrite(line.ptr, 1, line.len, l->to);
    buf_fini(&line);
}

/* Control characters would do what they like to a terminal. */
static void
print_clean(FILE *to, struct slice text)
{
    while (text.len > 0) {
        size_t n = printable_length(text);

        if (n > 0)
            (void)fwrite(text.ptr, 1, n, to);
        else
            (void)fputc('?', to);
        text = slice_skip(text, n > 0 ? n : 1);
    }
}

static void
print_address(FILE *to, struct slice address)
{
    struct buf text;

    buf_init(&text, LINE_MAX_OCTETS);
    print_clean(to, external(address, &text));
    buf_fini(&text);
}

static void
print_reason(FILE *to, struct slice reason)
{
    int padding = REASON_WIDTH - (int)slice_head(reason, REASON_WIDTH).len;

    (void)fprintf(to, "%*s(", padding, "");
    print_clean(to, reason);
    (void)fputs(")\n", to);
}

static void
print_text(struct listing *l, const struct queue_item *item, const char *id)
{
    const struct columns *c = l->long_ids ? &long_columns : &short_columns;
    time_t arrival = (time_t)(item->arrival_us / 1000000);
    char marked[QUEUE_ID_SIZE + 2], date[32];
    struct slice said = { "", 0 };
    struct tm tm;

    (void)localtime_r(&arrival, &tm);
    (void)strftime(date, sizeof(date), "%a %b %e %H:%M:%S", &tm);
    (void)snprintf(marked, sizeof(marked), "%s%s%s", id,
        item->queue == QUEUE_ACTIVE     ? "*"
            : item->queue == QUEUE_HOLD ? "!"
                                        : "",
        item->forced_expire ? "#" : "");
    (void)fprintf(l->to, "%-*s %*llu %-*s ", c->id, marked, c->size,
        (unsigned long long)item->size, c->date, date);
    if (item->sender.len > 0)
        print_address(l->to, item->sender);
    else
        (void)fputs(null_sender, l->to);
    (void)fputc('\n', l->to);
    for (size_t i = 0; i < item->recipient_count; i++) {
        const struct queue_recipient *r = &item->recipients[i];

        /* Said once for all that it holds for. */
        if (r->reason.len > 0 && !slice_eq(r->reason, said))
            print_reason(l->to, r->reason);
        said = r->reason;
        (void)fprintf(l->to, "%*s", c->id + c->size + c->date + 3, "");
        print_address(l->to, r->address);
        (void)fputc('\n', l->to);
    }
    (void)fputc('\n', l->to);
}

void
listing_item(struct listing *l, const struct queue_item *item)
{
    char id[QUEUE_ID_SIZE];

    (void)queue_id_text(item->id, l->long_ids, id);
    if (l->json) {
        print_json(l, item, id);
    } else {
        if (l->count == 0)
            (void)fprintf(l->to, "%s\n",
                (l->long_ids ? &long_columns : &short_columns)->heading);
        print_text(l, item, id);
    }
    l->count++;
    l->octets += item->size;
}

void
listing_end(struct listing *l)
{
    if (l->json)
        return;
    if (l->count == 0)
        (void)fprintf(l->to, "Mail queue is empty\n");
    else
        (void)fprintf(l->to, "-- %llu Kbytes in %llu Request%s.\n",
            (unsigned long long)l->octets / 1024, (unsigned long long)l->count,
            l->count == 1 ? "" : "s");
}
