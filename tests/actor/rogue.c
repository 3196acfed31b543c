/*
 * rogue - a daemon that was taken over: stands in for one under the real
 * master, and says to all that it is linked with what it may not or not so.
 *
 * Which message is chosen by the number in the file "rogue" of the configuration
 * directory, or else, as soon as there is a file "go", by its index in its pool:
 * so that the pool is whole once. It is tried empty, with octets by chance, with
 * attributes by chance and with wrong descriptors, for as long as the peer lets
 * it. Then it is quiet until it is drained.
 */
#include "lib/base/clock.h"
#include "lib/base/random.h"
#include "tests/actor/taken_over.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

enum {
    VARIANTS = 40,
    LISTEN_MS = 2,
    GO_MS = 10,
};

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
        return dup(taken_over_master());
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
    return wire_send(link, &m, number, clock_now_ms() + TAKEN_WAIT_MS, &why) ==
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

static void
await_go(void)
{
    struct pollfd master = { .fd = taken_over_master() };

    while (access("rogue", F_OK) < 0 && access("go", F_OK) < 0)
        if (poll(&master, 1, GO_MS) > 0) /* it is gone */
            _exit(EX_OK);
}

static void
attack_all(const struct taken_over *t)
{
    /* From 0, in the order of protocol.h. */
    enum message type = (enum message)(
        1 + taken_over_number(t) % (MESSAGE_COUNT - 1));

    await_go();
    for (unsigned i = 0; i < t->count; i++)
        for (unsigned variant = 0; variant < VARIANTS; variant++)
            if (!attack(t->links[i], type, variant) || !drain_peer(t->links[i]))
                break;
}

int
main(void)
{
    static struct taken_over rogue;

    taken_over_begin(&rogue);
    attack_all(&rogue);
    while (taken_over_obey(&rogue))
        ;
    return EX_OK;
}
