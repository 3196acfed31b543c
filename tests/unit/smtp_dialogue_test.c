/*
 * The SMTP and LMTP client against servers that play a script: what is asked of
 * them, and what becomes of each recipient.
 */
#include "lib/base/clock.h"
#include "lib/base/crc32c.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/random.h"
#include "lib/dns/dns.h"
#include "lib/io/fiber.h"
#include "lib/io/stream.h"
#include "lib/ipc/link.h"
#include "lib/mail/delivery.h"
#include "smtp/deliver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    SERVERS = 3, /* 127.x.y.1 .. 3, all at one port */
    WAIT_MS = 20000,
};

/*
 * A script, a line each:
 *     > text    send a line        < text   a line must begin so
 *     ~         content up to the final dot, kept
 *     close     hang up            hang     wait until the client does
 *     ---       end of this connection's part; the next one plays on
 */
struct server {
    const char *script; /* NULL: nobody listens */
    int listener;
    unsigned connections;
};

static struct {
    struct server servers[SERVERS];
    uint16_t port;
    char failure[512];
    struct buf content;
    struct client client;
    struct config_set *set;
    struct link *qmgr, *agent;
    unsigned fibers; /* of servers */
    char log[16384];
} t;

ATTR_PRINTF(1, 2)
static void
failure(const char *fmt, ...)
{
    va_list ap;

    if (t.failure[0] != '\0')
        return;
    va_start(ap, fmt);
    vsnprintf(t.failure, sizeof(t.failure), fmt, ap);
    va_end(ap);
}

static void
keep_log(void *context, enum log_level level, const char *tag,
    struct slice line)
{
    size_t used = strlen(t.log);

    (void)context;
    (void)level;
    (void)tag;
    snprintf(t.log + used, sizeof(t.log) - used, SLICE_FMT "\n",
        SLICE_ARG(line));
}

/* Zones that lookup would know: the linker takes these for lib/dns/dns.c. */
static const struct {
    const char *name;
    enum dns_type type;
    uint16_t preference;
    const char *data; /* "@2": address of server 2 */
} zone[] = {
    { "two.test", DNS_MX, 20, "mx2.test" },
    { "two.test", DNS_MX, 10, "mx1.test" },
    { "mx1.test", DNS_A, 0, "@0" },
    { "mx2.test", DNS_A, 0, "@1" },
    { "null.test", DNS_MX, 0, "" },
    { "bare.test", DNS_A, 0, "@0" },
    { "broken.test", DNS_MX, 0, "nowhere.test" },
};

static void
server_address(unsigned i, struct sock_addr *addr)
{
    char text[32];

    snprintf(text, sizeof(text), "127.%u.%u.%u", 64 + (getpid() >> 8 & 63),
        getpid() & 255, i + 1);
    if (!sock_addr_parse(slice_of(text), t.port, addr))
        failure("address %s", text);
}

enum dns_status
dns_ask(struct slice name, enum dns_type type, struct arena *arena,
    int64_t deadline, struct dns_answer *answer, struct why *why)
{
    (void)deadline;
    *answer = (struct dns_answer){ .status = DNS_NXDOMAIN };
    answer->records = arena_alloc(arena, 10 * sizeof(answer->records[0]));
    if (slice_eq_text(name, "again.test")) {
        (void)why_temp(why, "4.4.3", "try again");
        return answer->status = DNS_TRYAGAIN;
    }
    for (size_t i = 0; i < sizeof(zone) / sizeof(zone[0]); i++) {
        struct dns_record *r = &answer->records[answer->count];

        if (!slice_eq_text(name, zone[i].name) || type != zone[i].type)
            continue;
        r->type = type;
        r->preference = zone[i].preference;
        r->name = slice_of(zone[i].data);
        if (zone[i].data[0] == '@')
            server_address((unsigned)(zone[i].data[1] - '0'), &r->addr);
        answer->count++;
    }
    if (answer->count > 0)
        return answer->status = DNS_OK;
    (void)why_perm(why, "5.4.4", "name=" SLICE_FMT " not found",
        SLICE_ARG(name));
    return DNS_NXDOMAIN;
}

enum dns_status
dns_ask_native(struct slice host, unsigned families, struct arena *arena,
    int64_t deadline, struct dns_answer *answer, struct why *why)
{
    (void)families;
    return dns_ask(host, DNS_A, arena, deadline, answer, why);
}

void
dns_ask_client(const struct sock_addr *addr, int64_t deadline,
    struct client_name *name)
{
    (void)addr;
    (void)deadline;
    memset(name, 0, sizeof(*name));
}

static void interrupt(void);

static int64_t
soon(void)
{
    return clock_now_ms() + WAIT_MS;
}

static bool
read_content(struct stream *st)
{
    struct slice line;

    for (;;) {
        if (stream_read_line(st, 4096, soon(), &line) != STREAM_OK)
            return false;
        if (slice_eq(line, SLICE_LIT(".")))
            return true;
        buf_add(&t.content, line);
        buf_add_octet(&t.content, '\n');
    }
}

/* One line of a script. False: the connection is over. */
static bool
/* NOLINTNEXTLINE(misc-no-recursion): over our own scripts */
play_line(struct server *server, struct stream *st, struct slice step)
{
    struct slice line, want = slice_skip(step, 2);

    if (step.ptr[0] == '>') {
        stream_write(st, want, soon());
        stream_write(st, SLICE_LIT("\r\n"), soon());
        return stream_flush(st, soon()) == STREAM_OK;
    }
    if (step.ptr[0] == '<') {
        if (stream_read_line(st, 4096, soon(), &line) != STREAM_OK) {
            failure("server %td: end instead of " SLICE_FMT, server - t.servers,
                SLICE_ARG(want));
            return false;
        }
        if (!slice_starts(line, want)) {
            failure("server %td: \"" SLICE_FMT "\" instead of " SLICE_FMT,
                server - t.servers, SLICE_ARG(line), SLICE_ARG(want));
            return false;
        }
        return !slice_eq_text(line, "QUIT") ||
            play_line(server, st, SLICE_LIT("> 221 bye"));
    }
    if (step.ptr[0] == '~' && !read_content(st))
        failure("server %td: end within the content", server - t.servers);
    if (slice_eq_text(step, "meet")) {
        interrupt();
        return true;
    }
    if (slice_eq_text(step, "hang"))
        while (stream_read_line(st, 4096, soon(), &line) == STREAM_OK)
            if (slice_eq(line, SLICE_LIT(".")))
                failure("server %td: a final dot", server - t.servers);
    return step.ptr[0] == '~';
}

/* Play this connection's part, and leave the rest to the next. */
static void
play(struct server *server, struct stream *st)
{
    struct slice rest = slice_of(server->script), step;
    bool open = true;

    while (slice_line(&rest, &step)) {
        if (slice_eq_text(step, "---"))
            break;
        if (open)
            open = play_line(server, st, step);
    }
    server->script = rest.ptr;
    /* What the script does not say, the client may: QUIT, say. */
    while (open && stream_read_line(st, 4096, soon(), &step) == STREAM_OK) {
        if (slice_eq_text(step, "QUIT"))
            open = play_line(server, st, SLICE_LIT("> 221 bye"));
        else
            failure("server %td: \"" SLICE_FMT "\" past the script's end",
                server - t.servers, SLICE_ARG(step));
    }
}

static void
serve(void *arg)
{
    struct server *server = arg;
    struct io_wait w;
    int fd;

    t.fibers++;
    if (io_wait_init(&w, server->listener) < 0)
        failure("io_wait_init");
    for (;;) {
        struct stream *st;

        fd = sock_accept(server->listener, NULL);
        if (fd < 0) {
            if (io_wait_readable(&w, soon()) != WAIT_OK)
                break;
            continue;
        }
        server->connections++;
        st = stream_new(fd);
        if (server->script == NULL || server->script[0] == '\0')
            failure("server %td: one connection too many", server - t.servers);
        else
            play(server, st);
        stream_free(st);
    }
    io_wait_fini(&w);
    t.fibers--;
}

static void
serve_deliver(struct request *r)
{
    deliver(&t.client, r, t.set);
}

static const struct link_handler agent_handlers[] = {
    { MESSAGE_DELIVER, serve_deliver, SERVE_FIBER },
    { MESSAGE_NONE },
};
static const struct link_handler no_handlers[] = { { MESSAGE_NONE } };

struct dialogue {
    const char *name;
    const char *nexthop; /* '%' stands for ":port", '#' for server 0's address,
                            '!' for server 1's */
    const char *recipients;
    const char *want; /* "sent 2.0.0 text|deferred 4.4.2 text": begins so */
    const char *scripts[SERVERS];
    const char *config;
    const char *content;   /* at the server; NULL: any */
    const char *log;       /* must be in it */
    const char *transport; /* NULL: smtp */
    unsigned deliveries;   /* one after the other; 0: one */
    enum destination_state destination;
    uint32_t flags;    /* of the envelope */
    const char *orcpt; /* of a@y, which the first recipient was */
    const char *body;
    unsigned blob; /* lines of a body that comes in a descriptor */
    bool bad_crc;  /* which is not what was lent */
    bool may_return;
};

/* clang-format off */
#define HELLO "> 220 mx.test ESMTP\n< EHLO client.test\n> 250 mx.test\n"
#define HELLO_PIPE                                                           \
    "> 220 mx.test ESMTP\n< EHLO client.test\n> 250-mx.test\n"               \
    "> 250-PIPELINING\n> 250-SIZE 100000\n> 250-8BITMIME\n> 250 DSN\n"
#define HELLO_PIPE_ANY                                                       \
    "> 220 mx.test ESMTP\n< EHLO client.test\n> 250-mx.test\n"               \
    "> 250-PIPELINING\n> 250 SIZE\n"
#define MAIL     "< MAIL FROM:<s@client.test>\n> 250 2.1.0 ok\n"
#define RCPT(a)  "< RCPT TO:<" a ">\n> 250 2.1.5 ok\n"
#define DATA     "< DATA\n> 354 go\n~\n> 250 2.0.0 Ok: queued as X\n"
#define ONE_MAIL MAIL RCPT("a@x") DATA
#define PIPE_MAIL \
    "< MAIL FROM:<s@client.test> SIZE=\n< RCPT TO:<a@x>\n< DATA\n" \
    "> 250 2.1.0 ok\n> 250 2.1.5 ok\n> 354 go\n~\n> 250 2.0.0 done\n"

static const struct dialogue dialogues[] = {
    { "plain", "[#]%", "a@x", "sent 2.0.0 250 2.0.0 Ok: queued as X",
        { HELLO ONE_MAIL "< QUIT\n" }, .content = "Subject: t\n\nhello\n",
        .log = "relay=" },
    { "pipelined", "[#]%", "a@x", "sent 2.0.0 250 2.0.0 done",
        { HELLO_PIPE PIPE_MAIL } },
    { "helo", "[#]%", "a@x", "sent 2.0.0 250 ok",
        { "> 220 mx.test\n< EHLO client.test\n> 502 what?\n"
          "< HELO client.test\n> 250 mx.test\n" MAIL RCPT("a@x")
          "< DATA\n> 354 go\n~\n> 250 ok\n" } },
    { "a parameter in a domain", "[#]%", "a@x>\tNOTIFY=<NEVER b@x>X a@x",
        "bounced 5.1.3 bad recipient|bounced 5.1.3 bad recipient|sent 2.0.0",
        { HELLO ONE_MAIL } },
    { "a command in an address", "[#]%", "a\r\nRCPT@x a\001@x a@x\r a@x",
        "bounced 5.1.3|bounced 5.1.3|bounced 5.1.3|sent 2.0.0",
        { HELLO ONE_MAIL } },
    { "a parameter in ORCPT", "[#]%", "a@x", "sent 2.0.0 250 2.0.0 done",
        { "> 220 mx.test ESMTP\n< EHLO client.test\n> 250-mx.test\n"
          "> 250 DSN\n" MAIL
          "< RCPT TO:<a@x> ORCPT=rfc822;a@y\n> 250 2.1.5 ok\n"
          "< DATA\n> 354 go\n~\n> 250 2.0.0 done\n" },
        .orcpt = "x NOTIFY=NEVER;a" },
    { "dots", "[#]%", "a@x", "sent 2.0.0", { HELLO ONE_MAIL },
        .body = ".\r\n..a\r\nb.\r\n.",
        .content = "Subject: t\n\n..\n...a\nb.\n..\n" },
    { "blob", "[#]%", "a@x", "sent 2.0.0", { HELLO ONE_MAIL },
        .blob = 100000 },
    { "blob, pipelined", "[#]%", "a@x", "sent 2.0.0",
        { HELLO_PIPE_ANY PIPE_MAIL }, .blob = 3000 },
    { "blob is not what was lent", "[#]%", "a@x",
        "deferred 4.3.0 local data error while talking to #[#]",
        { HELLO MAIL RCPT("a@x") "< DATA\n> 354 go\nhang\n" },
        .blob = 3000, .bad_crc = true },
    { "blob, next host is not tried", "two.test%", "a@x", "deferred 4.3.0",
        { HELLO MAIL RCPT("a@x") "< DATA\n> 354 go\nhang\n" },
        .blob = 3000, .bad_crc = true },
    { "two recipients", "[#]%", "a@x b@x", "sent 2.0.0|sent 2.0.0",
        { HELLO MAIL RCPT("a@x") RCPT("b@x") DATA } },
    { "one refused", "[#]%", "a@x b@x c@x",
        "sent 2.0.0|bounced 5.1.1 host #[#] said: 550 5.1.1 no such user "
        "(in reply to RCPT TO command)|deferred 4.0.0 host #[#] said: "
        "450 later (in reply to RCPT TO command)",
        { HELLO MAIL RCPT("a@x")
          "< RCPT TO:<b@x>\n> 550 5.1.1 no such user\n"
          "< RCPT TO:<c@x>\n> 450 later\n" DATA } },
    { "pipelined, all refused", "[#]%", "a@x b@x",
        "bounced 5.0.0|bounced 5.7.1",
        { HELLO_PIPE
          "< MAIL\n< RCPT\n< RCPT\n< DATA\n> 250 ok\n> 550 no\n"
          "> 550 5.7.1 no\n> 554 no valid recipients\n< QUIT\n" } },
    { "pipelined, all refused but DATA taken", "[#]%", "a@x", "bounced 5.0.0",
        { HELLO_PIPE "< MAIL\n< RCPT\n< DATA\n> 250 ok\n> 550 no\n> 354 go\n"
                     "~\n> 554 nothing\n< QUIT\n" },
        .content = "" },
    { "too many recipients", "[#]%", "a@x b@x", "sent 2.0.0|deferred 4.5.3",
        { HELLO MAIL RCPT("a@x") "< RCPT TO:<b@x>\n> 552 5.5.3 too many\n"
                                 DATA } },
    { "mailbox full", "[#]%", "a@x b@x", "sent 2.0.0|bounced 5.2.2",
        { HELLO MAIL RCPT("a@x") "< RCPT TO:<b@x>\n> 552 5.2.2 full\n" DATA } },
    { "sender refused", "[#]%", "a@x b@x",
        "bounced 5.1.8 host #[#] said: 550-5.1.8 you 550 5.1.8 again (in "
        "reply to MAIL FROM command)|bounced 5.1.8",
        { HELLO "< MAIL\n> 550-5.1.8 you\n> 550 5.1.8 again\n< QUIT\n" } },
    { "sender refused, pipelined", "[#]%", "a@x", "bounced 5.0.0",
        { HELLO_PIPE
          "< MAIL\n< RCPT\n< DATA\n> 550 no\n> 503 no\n> 503 no\n< QUIT\n" } },
    { "DATA refused", "[#]%", "a@x",
        "deferred 4.3.0 host #[#] said: 451 4.3.0 busy (in reply to DATA "
        "command)",
        { HELLO MAIL RCPT("a@x") "< DATA\n> 451 4.3.0 busy\n< QUIT\n" } },
    { "content refused", "[#]%", "a@x",
        "bounced 5.6.0 host #[#] said: 554 5.6.0 spam (in reply to end of "
        "DATA command)",
        { HELLO MAIL RCPT("a@x") "< DATA\n> 354 go\n~\n> 554 5.6.0 spam\n" } },
    { "code out of class", "[#]%", "a@x", "bounced 5.0.0",
        { HELLO MAIL RCPT("a@x") "< DATA\n> 354 go\n~\n> 554 2.0.0 spam\n" } },
    { "greeting 5xx is the server's", "[#]%", "a@x",
        "deferred 4.0.0 host #[#] refused to talk to me: 554 go away",
        { "> 554 go away\n< QUIT\n" }, .destination = DESTINATION_DEAD },
    { "greeting 5xx is for good", "[#]%", "a@x", "bounced 5.0.0",
        { "> 554 go away\n< QUIT\n" }, .config = "smtp_skip_5xx_greeting=no" },
    { "greeting 421", "[#]%", "a@x", "deferred 4.3.2",
        { "> 421 4.3.2 busy\n" }, .destination = DESTINATION_BUSY },
    { "greeting 421, another turn", "[#]%", "a@x b@x",
        "returned 4.3.2|returned 4.3.2", { "> 421 4.3.2 busy\n" },
        .destination = DESTINATION_BUSY, .may_return = true },
    { "MAIL 421, another turn", "[#]%", "a@x", "returned 4.7.0",
        { HELLO "< MAIL\n> 421 4.7.0 too many\n" },
        .destination = DESTINATION_BUSY, .may_return = true },
    { "greeting 554, no other turn", "[#]%", "a@x", "deferred 4.0.0",
        { "> 554 go away\n< QUIT\n" }, .destination = DESTINATION_DEAD,
        .may_return = true },
    { "no greeting", "[#]%", "a@x",
        "deferred 4.4.2 lost connection with #[#] while receiving the initial "
        "server greeting",
        { "close\n" }, .destination = DESTINATION_DEAD },
    { "no SMTP", "[#]%", "a@x", "deferred 4.5.0 Protocol error",
        { "> hello there\nhang\n" }, .destination = DESTINATION_DEAD },
    { "reply without end", "[#]%", "a@x", "deferred 4.5.0 Protocol error",
        {
#define TEN "> 220-x\n> 220-x\n> 220-x\n> 220-x\n> 220-x\n" \
            "> 220-x\n> 220-x\n> 220-x\n> 220-x\n> 220-x\n"
            TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN "hang\n" },
        .destination = DESTINATION_DEAD },
    { "lost at MAIL", "[#]%", "a@x",
        "deferred 4.4.2 lost connection with #[#] while sending MAIL FROM",
        { HELLO "< MAIL\nclose\n" }, .destination = DESTINATION_DEAD },
    { "lost at RCPT", "[#]%", "a@x b@x",
        "deferred 4.4.2 lost connection with #[#] while sending RCPT TO|"
        "deferred 4.4.2",
        { HELLO MAIL RCPT("a@x") "< RCPT\nclose\n" },
        .destination = DESTINATION_DEAD },
    { "lost after the dot", "[#]%", "a@x",
        "deferred 4.4.2 lost connection with #[#] while sending end of data "
        "-- message may be sent more than once",
        { HELLO MAIL RCPT("a@x") "< DATA\n> 354 go\n~\nclose\n" },
        .destination = DESTINATION_DEAD },
    { "silent", "[#]%", "a@x",
        "deferred 4.4.2 conversation with #[#] timed out while sending MAIL "
        "FROM",
        { HELLO "< MAIL\nhang\n" }, .config = "smtp_mail_timeout=1s",
        .destination = DESTINATION_DEAD },
    { "refused connection", "[#]%", "a@x", "deferred 4.4.1 connect to #[#]:",
        { NULL }, .destination = DESTINATION_DEAD },
    { "too large", "[#]%", "a@x",
        "bounced 5.3.4 message size 19 exceeds size limit 10 of server #[#]",
        { "> 220 mx\n< EHLO\n> 250-mx\n> 250 SIZE 10\n< QUIT\n" } },
    { "8BITMIME", "[#]%", "a@x", "sent 2.0.0",
        { HELLO_PIPE "< MAIL FROM:<s@client.test> SIZE=19 BODY=8BITMIME\n"
                     "< RCPT\n< DATA\n> 250 ok\n> 250 ok\n> 354 go\n~\n"
                     "> 250 2.0.0 ok\n" },
        .flags = ENVELOPE_8BIT },
    { "SMTPUTF8", "[#]%", "\xc3\xa9@x", "sent 2.0.0",
        { "> 220 mx\n< EHLO\n> 250-mx\n> 250 SMTPUTF8\n"
          "< MAIL FROM:<s@client.test> SMTPUTF8\n> 250 ok\n"
          "< RCPT TO:<\xc3\xa9@x>\n> 250 ok\n" DATA },
        .config = "smtputf8_enable=yes" },
    { "no SMTPUTF8", "[#]%", "\xc3\xa9@x",
        "bounced 5.6.7 SMTPUTF8 is required, but was not offered by host #[#]",
        { HELLO "< QUIT\n" }, .config = "smtputf8_enable=yes" },
    { "SMTPUTF8 without need", "[#]%", "a@x", "sent 2.0.0", { HELLO ONE_MAIL },
        .flags = ENVELOPE_UTF8 },
    { "quoted", "[#]%", "a b@x", "sent 2.0.0|sent 2.0.0",
        { HELLO MAIL RCPT("a") RCPT("b@x") DATA } },

    { "exchangers in order", "two.test%", "a@x", "sent 2.0.0",
        { HELLO ONE_MAIL } },
    { "second exchanger", "two.test%", "a@x", "sent 2.0.0",
        { NULL, HELLO ONE_MAIL }, .log = "connect to mx1.test[" },
    { "second after greeting", "two.test%", "a@x", "sent 2.0.0",
        { "> 450 no\n", HELLO ONE_MAIL }, .log = "refused to talk to me" },
    { "only the deferred one goes to the second", "two.test%", "a@x b@x c@x",
        "sent 2.0.0|bounced 5.0.0|sent 2.0.0",
        { HELLO MAIL "< RCPT TO:<a@x>\n> 450 later\n"
                     "< RCPT TO:<b@x>\n> 550 never\n" RCPT("c@x") DATA,
            HELLO ONE_MAIL } },
    { "both defer", "two.test%", "a@x",
        "deferred 4.0.0 host mx2.test[!] said: 451 two",
        { HELLO MAIL "< RCPT\n> 451 one\n", HELLO MAIL "< RCPT\n> 451 two\n" } },
    { "the second is down", "two.test%", "a@x",
        "deferred 4.0.0 host mx1.test[#] said: 451 one",
        { HELLO MAIL "< RCPT\n> 451 one\n", NULL } },
    { "lost, then the second", "two.test%", "a@x", "sent 2.0.0",
        { HELLO "< MAIL\nclose\n", HELLO ONE_MAIL } },
    { "session limit", "two.test%", "a@x", "deferred 4.0.0",
        { HELLO MAIL "< RCPT\n> 451 one\n" },
        .config = "smtp_mx_session_limit=1" },
    { "address limit", "two.test%", "a@x", "deferred 4.4.1", { NULL },
        .config = "smtp_mx_address_limit=1",
        .destination = DESTINATION_DEAD },
    { "no exchanger", "bare.test%", "a@x", "sent 2.0.0", { HELLO ONE_MAIL } },
    { "null exchanger", "null.test%", "a@x",
        "bounced 5.1.0 Domain null.test does not accept mail (nullMX)" },
    { "no such domain", "gone.test", "a@x",
        "bounced 5.4.4 name=gone.test not found" },
    { "exchanger without address", "broken.test", "a@x", "bounced 5.4.4" },
    { "resolver fails", "again.test", "a@x", "deferred 4.4.3 try again",
        .destination = DESTINATION_DEAD },
    { "relayhost is wrong", "gone.test", "a@x", "deferred 4.3.5",
        .config = "relayhost=gone.test",
        .log = "relayhost configuration problem",
        .destination = DESTINATION_DEAD },
    { "list of destinations", "[#]%, [!]%", "a@x", "sent 2.0.0",
        { NULL, HELLO ONE_MAIL } },
    { "fallback relay", "gone.test", "a@x", "sent 2.0.0", { HELLO ONE_MAIL },
        .config = "smtp_fallback_relay=bare.test%" },
    { "bad nexthop", "[#", "a@x", "deferred 4.3.5",
        .destination = DESTINATION_DEAD },

    { "reuse", "[#]%", "a@x", "sent 2.0.0",
        { HELLO_PIPE PIPE_MAIL "< QUIT\n---\n"
          HELLO_PIPE PIPE_MAIL PIPE_MAIL PIPE_MAIL },
        .deliveries = 4, .log = "conn_use=3" },
    { "stale connection", "[#]%", "a@x", "sent 2.0.0",
        { HELLO_PIPE PIPE_MAIL "< QUIT\n---\n"
          HELLO_PIPE PIPE_MAIL "close\n---\n" HELLO_PIPE PIPE_MAIL },
        .deliveries = 3 },
    { "stale with 421", "[#]%", "a@x", "sent 2.0.0",
        { HELLO ONE_MAIL "< QUIT\n---\n" HELLO ONE_MAIL
          "< MAIL\n> 421 bye\n---\n" HELLO ONE_MAIL },
        .deliveries = 3 },
    { "reuse after refusal begins with RSET", "[#]%", "a@x", "bounced 5.0.0",
        { HELLO MAIL "< RCPT\n> 550 no\n< QUIT\n---\n"
          HELLO MAIL "< RCPT\n> 550 no\n< RSET\n> 250 ok\n" MAIL
          "< RCPT\n> 550 no\n" },
        .deliveries = 3 },
    { "reuse limit", "[#]%", "a@x", "sent 2.0.0",
        { HELLO ONE_MAIL "< QUIT\n---\n" HELLO ONE_MAIL ONE_MAIL
          "< QUIT\n---\n" HELLO ONE_MAIL },
        .deliveries = 4, .config = "smtp_connection_reuse_count_limit=2" },
    { "no cache", "[#]%", "a@x", "sent 2.0.0",
        { HELLO ONE_MAIL "< QUIT\n---\n" HELLO ONE_MAIL "< QUIT\n" },
        .deliveries = 2, .config = "smtp_connection_cache_on_demand=no" },

    { "LMTP", "inet:#%", "a@x b@x", "sent 2.1.5 250 2.1.5 a|bounced 5.2.2",
        { "> 220 mx\n< LHLO client.test\n> 250 mx\n" MAIL RCPT("a@x")
          RCPT("b@x") "< DATA\n> 354 go\n~\n> 250 2.1.5 a\n> 552 5.2.2 b\n" },
        .transport = "lmtp" },
    { "LMTP, one left over", "inet:#%", "a@x b@x c@x",
        "deferred 4.2.1|sent 2.0.0|deferred 4.4.2 lost connection",
        { "> 220 mx\n< LHLO client.test\n> 250 mx\n" MAIL RCPT("a@x")
          RCPT("b@x") RCPT("c@x")
          "< DATA\n> 354 go\n~\n> 450 4.2.1 a\n> 250 2.0.0 b\nclose\n" },
        .transport = "lmtp", .destination = DESTINATION_DEAD },
    { "LMTP has no HELO", "inet:#%", "a@x", "bounced 5.0.0",
        { "> 220 mx\n< LHLO\n> 500 what\n< QUIT\n" }, .transport = "lmtp" },
};
/* clang-format on */

/* What the table abbreviates, in place of its signs. */
static void
expand(const char *text, struct buf *to)
{
    struct sock_addr addr;
    char address[SOCK_TEXT_MAX];

    buf_clear(to);
    for (; *text != '\0'; text++) {
        if (*text == '%') {
            buf_add_format(to, ":%u", t.port);
        } else if (*text == '#' || *text == '!') {
            server_address(*text == '#' ? 0 : 1, &addr);
            buf_add_text(to, sock_addr_text(&addr, address));
        } else {
            buf_add_octet(to, (unsigned char)*text);
        }
    }
}

static void
add_recipients(const char *text, struct delivery *d)
{
    static struct delivery_recipient recipients[8];
    struct slice rest = slice_of(text), word;

    d->recipients = recipients;
    while (slice_word(&rest, " ", &word)) {
        recipients[d->recipient_count] = (struct delivery_recipient){
            .index = (uint32_t)d->recipient_count * 10 + 5,
            .rcpt.address = word,
        };
        d->recipient_count++;
    }
}

static void
check_results(const struct dialogue *c, const struct delivery_answer *a)
{
    static const char *const words[] = { "", "sent", "deferred", "bounced",
        "expanded", "returned" };
    struct buf want, got;
    struct slice rest;

    buf_init(&want, 4096);
    buf_init(&got, 8192);
    expand(c->want, &want);
    rest = buf_slice(&want);
    for (size_t i = 0; i < a->count; i++) {
        const struct rcpt_result *r = &a->results[i];
        struct slice one = slice_head(rest, slice_find(rest, '|'));

        rest = slice_skip(rest, one.len + 1);
        buf_clear(&got);
        buf_add_format(&got, "%s %s " SLICE_FMT, words[r->outcome], r->status,
            SLICE_ARG(r->text));
        if (one.len == 0 || !slice_starts(buf_slice(&got), one))
            failure("recipient %zu: \"%s\", not \"" SLICE_FMT "\"", i,
                buf_text(&got), SLICE_ARG(one));
        if (r->index != i * 10 + 5)
            failure("recipient %zu has index %u", i, r->index);
    }
    if (rest.len > 0)
        failure("%zu recipients are too few", a->count);
    if (a->destination != c->destination)
        failure("destination is %d", a->destination);
    buf_fini(&want);
    buf_fini(&got);
}

/*
 * A body in a file, and what the server shall see of the message: lines with a
 * dot in front, some of them longer than a piece of content would be cut at.
 */
static void
make_blob(const struct dialogue *c, struct delivery *d, struct buf *want)
{
    struct buf body;

    buf_init(&body, 16 << 20);
    buf_add_text(want, "Subject: t\n\n");
    for (unsigned i = 0; i < c->blob; i++) {
        buf_add_format(&body, "%sline %u\r\n", i % 3 == 0 ? "." : "", i);
        buf_add_format(want, "%sline %u\n", i % 3 == 0 ? ".." : "", i);
    }
    d->fd = memfd_create("blob", MFD_CLOEXEC);
    if (write(d->fd, body.ptr, body.len) != (ssize_t)body.len)
        failure("blob");
    d->body = (struct slice){ 0 };
    d->body_length = body.len;
    d->body_crc = crc32c(0, body.ptr, body.len) ^ c->bad_crc;
    buf_fini(&body);
}

static void
deliver_once(const struct dialogue *c)
{
    const char *body = c->body != NULL ? c->body : "hello\r\n";
    struct delivery d = {
        .attempt = { .id = 0x12345, .nonce = 7, .number = 1 },
        .transport = slice_of(c->transport != NULL ? c->transport : "smtp"),
        .header = SLICE_LIT("Subject: t\r\n"),
        .body = slice_of(body),
        .fd = -1,
        .may_return = c->may_return,
    };
    struct delivery_answer answer;
    struct arena arena;
    struct buf nexthop, want;
    struct msg m;
    struct msg_in *in;
    struct why why;

    buf_init(&nexthop, 256);
    expand(c->nexthop, &nexthop);
    d.nexthop = buf_slice(&nexthop);
    d.envelope.id = d.attempt.id;
    d.envelope.sender = SLICE_LIT("s@client.test");
    d.envelope.flags = c->flags;
    d.envelope.size = 12 + strlen(body);
    add_recipients(c->recipients, &d);
    if (c->orcpt != NULL) {
        d.recipients[0].rcpt.original = SLICE_LIT("a@y");
        d.recipients[0].rcpt.orcpt = slice_of(c->orcpt);
    }
    buf_init(&want, 16 << 20);
    if (c->blob > 0)
        make_blob(c, &d, &want);
    delivery_encode(&d, &m);
    arena_init(&arena, 1 << 20);
    if (link_call(t.qmgr, &m, soon(), &in) != LINK_OK) {
        failure("no answer");
    } else {
        if (delivery_answer_decode(in->body, &arena, &answer, &why) !=
            RESULT_OK)
            failure("answer: %s", why.text);
        else
            check_results(c, &answer);
        msg_in_free(in);
    }
    if (c->blob > 0 && !c->bad_crc &&
        !slice_eq(buf_slice(&want), buf_slice(&t.content)))
        failure("blob: %zu octets, not %zu", t.content.len, want.len);
    arena_clear(&arena);
    buf_fini(&want);
    buf_fini(&nexthop);
}

/* An address for each server, all at one port that is free on each. */
static bool
open_listeners(const struct dialogue *c)
{
    struct sock_addr addr;
    socklen_t len = sizeof(addr.u);

    t.port = 0;
    for (unsigned i = 0; i < SERVERS; i++) {
        struct server *server = &t.servers[i];

        *server = (struct server){ .script = c->scripts[i], .listener = -1 };
        server_address(i, &addr);
        /* A port that is taken and not listened on refuses connections. */
        server->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (bind(server->listener, &addr.u.any, addr.len) < 0)
            return false;
        if (i == 0) {
            getsockname(server->listener, &addr.u.any, &len);
            t.port = ntohs(addr.u.in.sin_port);
        }
        if (server->script != NULL && listen(server->listener, 10) < 0)
            return false;
    }
    return true;
}

static void
close_listeners(void)
{
    for (unsigned i = 0; i < SERVERS; i++)
        close(t.servers[i].listener);
}

static void
agent_gone(struct link *l, void *context)
{
    (void)l;
    (void)context;
    t.agent = NULL; /* it frees itself */
}

/* The agent's and qmgr's ends of a link. */
static void
open_link(void)
{
    struct link_options agent = { .self = ROLE_SMTP,
        .peer = ROLE_QMGR,
        .peer_name = "qmgr",
        .handlers = agent_handlers,
        .on_gone = agent_gone };
    struct link_options qmgr = { .self = ROLE_QMGR,
        .peer = ROLE_SMTP,
        .peer_name = "smtp",
        .handlers = no_handlers };
    int pair[2];

    if (sock_pair(pair) < 0)
        failure("socketpair");
    t.agent = link_open(pair[0], &agent);
    t.qmgr = link_open(pair[1], &qmgr);
}

static struct fiber *
open_link_and_server(void)
{
    open_link();
    return fiber_spawn("server", serve, &t.servers[0]);
}

static void
run_dialogue(void *arg)
{
    const struct dialogue *c = arg;
    struct fiber *fibers[SERVERS] = { NULL };

    open_link();
    for (unsigned i = 0; i < SERVERS; i++)
        if (t.servers[i].script != NULL)
            fibers[i] = fiber_spawn("server", serve, &t.servers[i]);
    for (unsigned i = 0; i < (c->deliveries > 0 ? c->deliveries : 1); i++)
        deliver_once(c);
    t.client.draining = true;
    idle_close(t.client.idle);
    while (idle_leaving(t.client.idle) > 0 || t.client.job_count > 0)
        fiber_yield();
    /* Scripts must be at their end; a connection that goes on reads QUIT. */
    for (unsigned i = 0; i < SERVERS; i++) {
        for (unsigned n = 0; n < 1000 && t.servers[i].script != NULL &&
             t.servers[i].script[0] != '\0';
             n++)
            fiber_yield();
        if (t.servers[i].script != NULL && t.servers[i].script[0] != '\0')
            failure("server %u: left over: %s", i, t.servers[i].script);
        if (fibers[i] != NULL)
            fiber_cancel(fibers[i]);
    }
    link_close(t.qmgr);
    link_close(t.agent);
}

static void
load_config(const struct dialogue *c)
{
    struct buf text, extra;
    struct why why;

    buf_init(&text, 4096);
    buf_init(&extra, 4096);
    expand(c->config != NULL ? c->config : "", &extra);
    buf_add_format(&text,
        "myhostname=client.test\ninet_protocols=ipv4\n"
        "smtp_randomize_addresses=no\n%s\n",
        buf_text(&extra));
    assert_int_equal(config_from_text(buf_text(&text),
                         "smtp unix - - n - - smtp\n"
                         "lmtp unix - - n - - lmtp\n",
                         &t.set, &why),
        RESULT_OK);
    buf_fini(&text);
    buf_fini(&extra);
}

static void
begin(const struct dialogue *c)
{
    t.failure[0] = t.log[0] = '\0';
    buf_init(&t.content, 16 << 20);
    while (!open_listeners(c))
        close_listeners();
    load_config(c);
    list_init(&t.client.jobs);
    t.client.draining = false;
    t.client.idle = idle_new();
}

static void
end(void)
{
    idle_free(t.client.idle);
    config_drop(t.set);
    buf_fini(&t.content);
}

static void
run_in_sched(fiber_fn fn, const void *arg)
{
    log_set_sink(keep_log, NULL, NULL);
    sched_open();
    assert_non_null(fiber_spawn("test", fn, (void *)(uintptr_t)arg));
    sched_run();
    sched_close();
    log_set_sink(NULL, NULL, NULL);
    close_listeners();
}

static void
test_dialogues(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++) {
        const struct dialogue *c = &dialogues[i];

        print_message("  %s\n", c->name);
        begin(c);
        run_in_sched(run_dialogue, c);
        if (c->content != NULL && strcmp(buf_text(&t.content), c->content) != 0)
            failure("content: \"%s\"", buf_text(&t.content));
        if (c->log != NULL && strstr(t.log, c->log) == NULL)
            failure("not in the log: %s", c->log);
        if (t.failure[0] != '\0')
            fail_msg("%s: %s\n%s", c->name, t.failure, t.log);
        end();
    }
}

/*
 * A delivery is under way when something happens to the process: its server
 * waits for us, or we for it.
 */
enum interruption { CANCEL, LOSE_QMGR };

static const struct {
    const char *name, *script;
    enum interruption what;
    bool sent; /* the dot was, so the result stands */
} interruptions[] = {
    { "stopped at MAIL", HELLO "< MAIL\nmeet\nhang\n", CANCEL },
    { "stopped before the greeting", "meet\nhang\n", CANCEL },
    { "qmgr lost at RCPT",
        HELLO MAIL "< RCPT\nmeet\n> 250 ok\n< DATA\n> 354 go\nhang\n",
        LOSE_QMGR },
    { "qmgr lost after the dot",
        HELLO MAIL RCPT("a@x") "< DATA\n> 354 go\n~\nmeet\n> 250 ok\n",
        LOSE_QMGR, true },
};

static enum interruption interruption;

/* The script's "meet": now. */
static void
interrupt(void)
{
    if (interruption == CANCEL) {
        list_foreach (it, &t.client.jobs)
            fiber_cancel(LIST_ENTRY(it, struct job, node)->fiber);
    } else {
        link_close(t.qmgr);
        t.qmgr = NULL;
        /* Our end of the link learns of it by reading. */
        while (!list_empty(&t.client.jobs) &&
            !job_is_orphan(LIST_ENTRY(t.client.jobs.next, struct job, node)))
            fiber_sleep_until(clock_now_ms() + 1);
    }
}

static void
run_interrupted(void *arg)
{
    static const struct dialogue c = { .nexthop = "[#]%" };
    struct delivery d = {
        .attempt = { .id = 0x12345, .nonce = 7, .number = 1 },
        .transport = SLICE_LIT("smtp"),
        .header = SLICE_LIT("Subject: t\r\n"),
        .fd = -1,
    };
    struct delivery_answer answer;
    struct arena arena;
    struct buf nexthop;
    struct msg m;
    struct msg_in *in = NULL;
    struct why why;
    struct fiber *server = open_link_and_server();
    enum link_status status;

    (void)arg;
    buf_init(&nexthop, 256);
    expand(c.nexthop, &nexthop);
    d.nexthop = buf_slice(&nexthop);
    d.envelope.id = d.attempt.id;
    d.envelope.sender = SLICE_LIT("s@client.test");
    add_recipients("a@x", &d);
    delivery_encode(&d, &m);
    arena_init(&arena, 1 << 20);
    status = link_call(t.qmgr, &m, soon(), &in);
    if (interruption == LOSE_QMGR) {
        if (status != LINK_GONE)
            failure("qmgr got an answer");
    } else if (status != LINK_OK) {
        failure("no answer");
    } else if (delivery_answer_decode(in->body, &arena, &answer, &why) !=
        RESULT_OK) {
        failure("answer: %s", why.text);
    } else if (answer.count != 0 || answer.destination != DESTINATION_OK) {
        failure("%zu results, destination %d", answer.count,
            answer.destination);
    }
    if (status == LINK_OK)
        msg_in_free(in);
    while (t.client.job_count > 0 || idle_leaving(t.client.idle) > 0)
        fiber_sleep_until(clock_now_ms() + 1);
    arena_clear(&arena);
    buf_fini(&nexthop);
    fiber_cancel(server);
    link_close(t.qmgr);
    link_close(t.agent);
}

static void
test_interruptions(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(interruptions) / sizeof(interruptions[0]);
         i++) {
        struct dialogue c = { .scripts = { interruptions[i].script } };

        print_message("  %s\n", interruptions[i].name);
        interruption = interruptions[i].what;
        begin(&c);
        run_in_sched(run_interrupted, NULL);
        if (t.failure[0] != '\0')
            fail_msg("%s\n%s", t.failure, t.log);
        if (interruptions[i].sent != (strstr(t.log, "status=sent") != NULL))
            fail_msg("log: %s", t.log);
        end();
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dialogues),
        cmocka_unit_test(test_interruptions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
