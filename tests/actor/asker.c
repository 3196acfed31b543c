/*
 * asker - a daemon that was taken over and asks lookup, in good form, for what
 * tables hold: each line of the file "ask" of the configuration directory is a
 * table, and the key is "stolen". Then it is quiet until it is drained.
 */
#include "lib/base/clock.h"
#include "lib/base/tlv.h"
#include "tests/actor/taken_over.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

enum { FILE_MAX = 4096 };

static size_t
read_tables(char text[FILE_MAX])
{
    const char *directory = getenv("MAIL_CONFIG");
    ssize_t size;
    int fd;

    if (directory == NULL || chdir(directory) < 0 ||
        (fd = open("ask", O_RDONLY | O_CLOEXEC)) < 0)
        return 0;
    size = read(fd, text, FILE_MAX);
    close(fd);
    return size < 0 ? 0 : (size_t)size;
}

static void
ask(int link, uint32_t number, struct slice spec)
{
    struct msg_in *answer;
    struct msg m;
    struct why why;

    msg_init(&m, MESSAGE_TABLE_ASK);
    tlv_put(&m.body, ATTR_NAME, spec);
    tlv_put(&m.body, ATTR_DATA, SLICE_LIT("stolen"));
    if (wire_send(link, &m, number, clock_now_ms() + TAKEN_WAIT_MS, &why) ==
            RESULT_OK &&
        wire_recv(link, clock_now_ms() + TAKEN_WAIT_MS, &answer, &why) ==
            RESULT_OK)
        msg_in_free(answer);
}

int
main(void)
{
    static struct taken_over asker;
    static char text[FILE_MAX];
    struct slice rest, line;
    uint32_t number = 1;

    taken_over_begin(&asker);
    rest = (struct slice){ text, read_tables(text) };
    while (slice_word(&rest, "\n", &line))
        for (unsigned i = 0; i < asker.count; i++)
            if (asker.peers[i] == ROLE_LOOKUP)
                ask(asker.links[i], number++, line);
    while (taken_over_obey(&asker))
        ;
    return EX_OK;
}
