#include "tests/actor/taken_over.h"

#include "lib/base/clock.h"
#include "lib/base/random.h"
#include "lib/base/tlv.h"
#include "lib/daemon/control.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

enum { MASTER_FD = 3 };

static void
say(enum message type, uint32_t number)
{
    struct msg m;
    struct why why;

    msg_init(&m, type);
    if (type == MESSAGE_CONFIGURED)
        tlv_put_u64(&m.body, ATTR_RESULT, RESULT_OK);
    if (wire_send(MASTER_FD, &m, number, clock_now_ms() + TAKEN_WAIT_MS,
            &why) != RESULT_OK)
        _exit(EX_OSERR);
}

bool
taken_over_obey(struct taken_over *t)
{
    struct control_configure configure;
    struct control control;
    struct msg_in *in;
    struct why why;
    bool go_on = true;

    if (wire_recv(MASTER_FD, CLOCK_NEVER, &in, &why) != RESULT_OK)
        return false;
    if (in->type == MESSAGE_CONFIGURE &&
        control_configure_decode(in, &configure)) {
        t->index = configure.index;
        t->expected = configure.expected;
        say(MESSAGE_CONFIGURED, in->number);
    } else if (in->type == MESSAGE_LINK && t->count < TAKEN_LINKS_MAX &&
        control_decode(in, &control)) {
        t->peers[t->count] = control.role;
        t->links[t->count++] = msg_in_take_fd(in, 0);
    } else if (in->type == MESSAGE_DRAIN) {
        go_on = false;
    }
    msg_in_free(in);
    return go_on;
}

void
taken_over_begin(struct taken_over *t)
{
    while (t->count == 0 || t->count < t->expected)
        if (!taken_over_obey(t))
            _exit(EX_OK);
    say(MESSAGE_READY, 0);
}

int
taken_over_master(void)
{
    return MASTER_FD;
}

unsigned
taken_over_number(const struct taken_over *t)
{
    char text[20] = "";
    const char *directory = getenv("MAIL_CONFIG");
    int fd;

    if (directory == NULL || chdir(directory) < 0 ||
        (fd = open("rogue", O_RDONLY | O_CLOEXEC)) < 0)
        return t->index;
    if (read(fd, text, sizeof(text) - 1) <= 0)
        text[0] = '\0';
    close(fd);
    return (unsigned)strtoul(text, NULL, 10);
}

void
put_random_octets(struct buf *body)
{
    for (uint64_t n = 1 + random_below(300); n > 0; n--)
        buf_add_octet(body, (unsigned char)random_below(256));
}

void
/* NOLINTNEXTLINE(misc-no-recursion): as deep as it says */
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
