/*
 * spool_fill - a backlog out of nothing: messages that were deferred, written
 * in the spool's own format while no queue manager runs.
 *
 * spool_fill [-n MESSAGES] [-d DESTINATIONS] [-l OCTETS] [-w SECONDS]
 *            [-s SECONDS] [-a AGE] [-o DOMAIN] QUEUE_DIRECTORY
 *
 * Each has one recipient, u@dK.DOMAIN with K from 1 to DESTINATIONS, and was
 * tried once, in vain. The next try is between -w seconds from now (default
 * 3600; 0: at once) and -s seconds after that (default 3600). -a: seconds since
 * the newest arrived (default 300); the others came a millisecond before each
 * other. The directory may be new. As root it writes as the owner of spool/ in
 * it, or of the directory.
 *
 * Prints seconds taken and octets of the log in use.
 */
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "lib/mail/queue_id.h"
#include "qmgr/index.h"
#include "qmgr/record.h"

#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

enum {
    BATCH = 1000, /* messages of one flush */
    HEAD_MAX = 4096,
    MESSAGES_MAX = 100 * 1000 * 1000,
    SIZE_LIMIT = 32 * 1024,
    SEGMENT = 64 * 1024 * 1024,
};

struct want {
    uint32_t messages, destinations, octets, wait_s, spread_s, age_s;
    const char *domain;
};

/* A message and what became of its first attempt. */
struct made {
    struct spool_record records[2];
    struct spool_txn txn;
    struct buf briefs[2], heads[2];
};

struct fill {
    struct want want;
    struct spool *spool;
    struct buf content;
    uint32_t header_length;
    int64_t start_us;
    struct made made[BATCH];
};

static _Noreturn void
give_up(int status, const char *what, const char *why)
{
    (void)fprintf(stderr, "spool_fill: %s: %s\n", what, why);
    exit(status);
}

static bool
found(void *context, const struct spool_found *f, struct why *why)
{
    (void)context;
    (void)f;
    (void)why;
    return true;
}

static void
damage(void *context, const char *text)
{
    (void)context;
    (void)fprintf(stderr, "%s\n", text);
}

/* Of every message the same. */
static void
make_content(struct fill *f)
{
    static const char line[] = "all work and no play makes a dull message, "
                               "and a queue a dull boy.....\r\n";

    buf_init(&f->content, SIZE_LIMIT + HEAD_MAX);
    buf_add_text(&f->content,
        "Received: from client.test (client.test [192.0.2.1])\r\n"
        "\tby mx.test (Postern) with ESMTP; Mon, 1 Jan 2024 00:00:00 +0000\r\n"
        "From: sender@client.test\r\nTo: somebody\r\nSubject: waits\r\n"
        "Date: Mon, 1 Jan 2024 00:00:00 +0000\r\n"
        "Message-Id: <1@client.test>\r\n");
    f->header_length = (uint32_t)f->content.len;
    while (f->content.len < f->want.octets)
        buf_add_text(&f->content, line);
}

static void
make_message(struct fill *f, struct made *m, uint64_t id, const char *address)
{
    struct recipient rcpt = { .address = slice_of(address),
        .notify = NOTIFY_FAILURE | NOTIFY_DELAY };
    struct envelope env = {
        .id = id,
        .arrival_us = queue_id_time_us(id),
        .size = f->content.len,
        .sender = SLICE_LIT("sender@client.test"),
        .message_id = SLICE_LIT("<1@client.test>"),
        .client_name = SLICE_LIT("client.test"),
        .client_addr = SLICE_LIT("192.0.2.1"),
        .helo = SLICE_LIT("client.test"),
        .protocol = SLICE_LIT("ESMTP"),
        .recipients = &rcpt,
        .recipient_count = 1,
    };
    struct message_brief b = { .arrival_ms = env.arrival_us / 1000,
        .recipients = 1,
        .site = index_site(rcpt.address) };
    struct message_record r = { .header_length = f->header_length,
        .body_at = f->header_length,
        .body_length = (uint32_t)f->content.len - f->header_length };
    struct buf text;

    message_brief_encode(&b, &m->briefs[0]);
    buf_init(&text, HEAD_MAX);
    envelope_encode(&env, &text);
    r.envelope = buf_slice(&text);
    message_record_encode(&r, &m->heads[0]);
    buf_fini(&text);
    m->records[0] = (struct spool_record){
        .type = RECORD_MESSAGE,
        .id = id,
        .brief = buf_slice(&m->briefs[0]),
        .head = buf_slice(&m->heads[0]),
        .content = buf_slice(&f->content),
    };
}

static void
make_status(struct fill *f, struct made *m, uint32_t nth, uint32_t destination)
{
    const struct want *w = &f->want;
    /* Neighbours are not due one after the other. */
    uint64_t share = (uint64_t)nth * 2654435761U % 1000003U;
    struct status_brief b = {
        .version = 1,
        .next_try_ms = f->start_us / 1000 + w->wait_s * 1000LL +
            (int64_t)(share * w->spread_s * 1000 / 1000003),
        .attempts = 1,
        .unsettled = 1,
    };
    struct rcpt_result result = { .outcome = OUTCOME_DEFERRED,
        .status = "4.4.1",
        .when_us = queue_id_time_us(m->records[0].id) };
    struct set_writer set;
    struct buf text, all;

    status_brief_encode(&b, &m->briefs[1]);
    buf_init(&text, HEAD_MAX);
    buf_add_format(&text,
        "connect to mx.d%u.%s[192.0.2.%u]:25: Connection refused", destination,
        w->domain, destination % 250 + 1);
    result.text = buf_slice(&text);
    buf_init(&all, HEAD_MAX);
    set_begin(&set, &all);
    set_add(&set, 0);
    set_end(&set);
    status_put_settled((struct slice){ "", 0 }, &m->heads[1]);
    status_put_group(&result, buf_slice(&all), &m->heads[1]);
    buf_fini(&all);
    buf_fini(&text);
    m->records[1] = (struct spool_record){
        .type = RECORD_STATUS,
        .id = m->records[0].id,
        .brief = buf_slice(&m->briefs[1]),
        .head = buf_slice(&m->heads[1]),
    };
}

static void
make(struct fill *f, struct made *m, uint32_t nth)
{
    const struct want *w = &f->want;
    int64_t back_us = w->age_s * 1000000LL + (w->messages - nth) * 1000LL;
    uint32_t destination = nth % w->destinations + 1;
    char *address = mem_format("u@d%u.%s", destination, w->domain);

    for (size_t i = 0; i < 2; i++) {
        buf_clear(&m->briefs[i]);
        buf_clear(&m->heads[i]);
    }
    make_message(f, m, (uint64_t)(f->start_us - back_us) * 1024, address);
    make_status(f, m, nth, destination);
    m->txn = (struct spool_txn){ .records = m->records, .record_count = 2 };
    mem_free(address);
}

static void
fill(struct fill *f)
{
    for (uint32_t nth = 0; nth < f->want.messages;) {
        struct list txns = LIST_INIT(txns);

        for (size_t i = 0; i < BATCH && nth < f->want.messages; i++, nth++) {
            make(f, &f->made[i], nth);
            list_append(&txns, &f->made[i].txn.link);
        }
        spool_commit(f->spool, &txns);
        list_foreach (it, &txns) {
            const struct spool_txn *t = LIST_ENTRY(it, struct spool_txn, link);

            if (t->result != RESULT_OK)
                give_up(EX_IOERR, "commit", t->why.text);
        }
    }
}

/* What is written must be the queue manager's. */
static void
become_owner(const char *directory)
{
    char *path = mem_format("%s/spool", directory);
    struct stat st;

    if (geteuid() == 0 && (stat(path, &st) == 0 || stat(directory, &st) == 0)) {
        (void)mkdir(path, 0700);
        if (chown(path, st.st_uid, st.st_gid) < 0 || setgroups(0, NULL) < 0 ||
            setgid(st.st_gid) < 0 || setuid(st.st_uid) < 0)
            give_up(EX_NOPERM, path, "cannot become its owner");
    } else {
        (void)mkdir(path, 0700);
    }
    mem_free(path);
}

static void
open_spool(struct fill *f, const char *directory)
{
    struct spool_options options = { .disk = &disk_real,
        .segment_size = SEGMENT };
    char *path = mem_format("%s/spool", directory);
    struct why why;

    options.dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (options.dir < 0 ||
        spool_open(&options, found, damage, NULL, &f->spool, &why) != RESULT_OK)
        give_up(EX_CANTCREAT, path,
            options.dir < 0 ? "cannot be opened" : why.text);
    mem_free(path);
}

static uint32_t
number(const char *text, uint32_t max)
{
    uint32_t n = 0;

    if (!num_parse_u32(slice_of(text), max, &n))
        give_up(EX_USAGE, text, "not a number, or too large");
    return n;
}

static const char *
options(struct want *w, int argc, char **argv)
{
    int c;

    while ((c = getopt(argc, argv, "n:d:l:w:s:a:o:")) != -1)
        switch (c) {
        case 'n':
            w->messages = number(optarg, MESSAGES_MAX);
            break;
        case 'd':
            w->destinations = number(optarg, MESSAGES_MAX);
            break;
        case 'l':
            w->octets = number(optarg, SIZE_LIMIT);
            break;
        case 'w':
            w->wait_s = number(optarg, 1 << 24);
            break;
        case 's':
            w->spread_s = number(optarg, 1 << 24);
            break;
        case 'a':
            w->age_s = number(optarg, 1 << 24);
            break;
        case 'o':
            w->domain = optarg;
            break;
        default:
            give_up(EX_USAGE, "options", "-n -d -l -w -s -a -o");
        }
    if (optind != argc - 1 || w->destinations == 0)
        give_up(EX_USAGE, "arguments", "one queue directory");
    return argv[optind];
}

int
main(int argc, char **argv)
{
    struct fill *f = mem_alloc(sizeof(*f));
    int64_t start = clock_now_ms();
    struct spool_stats stats;
    const char *directory;

    f->want = (struct want){ 1000, 100, 1024, 3600, 3600, 300, "dead.test" };
    directory = options(&f->want, argc, argv);
    f->start_us = clock_wall_us();
    for (size_t i = 0; i < BATCH; i++)
        for (size_t k = 0; k < 2; k++) {
            buf_init(&f->made[i].briefs[k], HEAD_MAX);
            buf_init(&f->made[i].heads[k], HEAD_MAX);
        }
    make_content(f);
    become_owner(directory);
    open_spool(f, directory);
    fill(f);
    spool_stats(f->spool, &stats);
    spool_close(f->spool);
    (void)printf("%u messages in %.1f s, %" PRIu64 " MB\n", f->want.messages,
        (double)(clock_now_ms() - start) / 1000, stats.octets_used >> 20);
    return EXIT_SUCCESS;
}
