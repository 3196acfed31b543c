/*
 * rogue - a daemon that was taken over: stands in for one under the real
 * master, and says to all that it is linked with what it may not or not so.
 *
 * Which message is chosen by its index in its pool, or by the number in the
 * file "rogue" of the configuration directory; it is tried empty, with octets
 * by chance, with attributes by chance and with wrong descriptors, for as long
 * as the peer lets it. Then it is quiet until it is drained.
 */
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/random.h"
#include "lib/base/tlv.h"
#include "lib/daemon/control.h"
#include "lib/ipc/link.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

enum {
    MASTER_FD = 3,
    LINKS_MAX = 4096,
    VARIANTS = 40,
    WAIT_MS = 20000,
    LISTEN_MS = 2,
};

static struct {
    int links[LINKS_MAX];
    unsigned count, expected, index;
} rogue;

static void
say(enum message type, uint32_t number)
{
    struct msg m;
    struct why why;

    msg_init(&m, type);
    if (type == MESSAGE_CONFIGURED)
        tlv_put_u64(&m.body, ATTR_RESULT, RESULT_OK);
    if (wire_send(MASTER_FD, &m, number, clock_now_ms() + WAIT_MS, &why) !=
        RESULT_OK)
        _exit(EX_OSERR);
}

/* One order of master; false: drained, or master is gone. */
static bool
obey(void)
{
    struct control_configure configure;
    struct msg_in *in;
    struct why why;
    bool go_on = true;

    if (wire_recv(MASTER_FD, CLOCK_NEVER, &in, &why) != RESULT_OK)
        return false;
    if (in->type == MESSAGE_CONFIGURE &&
        control_configure_decode(in, &configure)) {
        rogue.index = configure.index;
        rogue.expected = configure.expected;
        say(MESSAGE_CONFIGURED, in->number);
    } else if (in->type == MESSAGE_LINK && rogue.count < LINKS_MAX) {
        rogue.links[rogue.count++] = msg_in_take_fd(in, 0);
    } else if (in->type == MESSAGE_DRAIN) {
        go_on = false;
    }
    msg_in_free(in);
    return go_on;
}

static void
put_random_octets(struct buf *body)
{
    for (uint64_t n = 1 + random_below(300); n > 0; n--)
        buf_add_octet(body, (unsigned char)random_below(256));
}

/* Groups within groups, numbers of any size, texts of any octets. */
static void
put_random_attributes(struct buf *body, unsigned depth)
{
    for (uint64_t n = 1 + random_below(12); n > 0; n--) {
        uint32_t tag = (uint32_t)random_below(70);
        struct buf inner;

        if (random_below(3) == 0) {
            tlv_put_u64(body, tag, random_u64() >> random_below(64));
            continue;
        }
        buf_init(&inner, 20000);
        if (depth < 3 && random_below(2) == 0)
            put_random_attributes(&inner, depth + 1);
        else
            put_random_octets(&inner);
        tlv_put(body, tag, buf_slice(&inner));
        buf_fini(&inner);
    }
}

/* A descriptor of the wrong kind. */
static int
wrong_fd(void)
{
    int fds[2];

    switch (random_below(4)) {
    case 0:
        return open("/", O_RDONLY | O_CLOEXEC);
    case 1:
        return open("/dev/zero", O_RDWR | O_CLOEXEC);
    case 2:
        if (pipe2(fds, O_CLOEXEC) < 0)
            return -1;
        close(fds[0]);
        return fds[1];
    default:
        return dup(MASTER_FD);
    }
}

static bool
attack(int link, enum message type, unsigned variant)
{
    const struct message_rule *rule = message_rule(type);
    uint32_t number = rule->kind == KIND_ONE_WAY ? 0 : variant + 1;
    struct msg m;
    struct why why;

    msg_init(&m, type);
    if (variant > 0 && variant % 3 == 0)
        put_random_octets(&m.body);
    else if (variant > 0)
        put_random_attributes(&m.body, 0);
    if (rule->fds > 0 && variant % 2 == 1) {
        int fd = wrong_fd();

        if (fd >= 0)
            msg_put_fd(&m, fd);
    }
    return wire_send(link, &m, number, clock_now_ms() + WAIT_MS, &why) ==
        RESULT_OK;
}

/* What the peer says is read and forgotten. False when it hung up. */
static bool
drain_peer(int link)
{
    struct pollfd p = { .fd = link, .events = POLLIN };
    char octets[2048];

    while (poll(&p, 1, LISTEN_MS) > 0)
        if (recv(link, octets, sizeof(octets), MSG_DONTWAIT) <= 0)
            return false;
    return true;
}

/* From 0, in the order of protocol.h. */
static unsigned
chosen(void)
{
    char text[20] = "";
    const char *directory = getenv("MAIL_CONFIG");
    int fd;

    if (directory == NULL || chdir(directory) < 0 ||
        (fd = open("rogue", O_RDONLY | O_CLOEXEC)) < 0)
        return rogue.index;
    if (read(fd, text, sizeof(text) - 1) <= 0)
        text[0] = '\0';
    close(fd);
    return (unsigned)strtoul(text, NULL, 10);
}

static void
attack_all(void)
{
    enum message type = (enum message)(1 + chosen() % (MESSAGE_COUNT - 1));

    for (unsigned i = 0; i < rogue.count; i++)
        for (unsigned variant = 0; variant < VARIANTS; variant++)
            if (!attack(rogue.links[i], type, variant) ||
                !drain_peer(rogue.links[i]))
                break;
}

int
main(void)
{
    while (rogue.count == 0 || rogue.count < rogue.expected)
        if (!obey())
            return EX_OK;
    say(MESSAGE_READY, 0);
    attack_all();
    while (obey())
        ;
    return EX_OK;
}
