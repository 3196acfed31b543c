#include "lib/ipc/inbox.h"

#include "lib/ipc/frame.h"

#include <assert.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/*
 * The first octets choose the two roles and how the rest arrives: in pieces of
 * which size, and with how many descriptors at which. What comes out must be
 * within the rules of protocol.h; descriptors are neither lost nor doubled.
 */
enum { HEAD = 4 };

static void
check(const struct msg_in *m, enum role self, enum role peer)
{
    const struct message_rule *rule = message_rule(m->type);

    assert(rule != NULL);
    assert((rule->from & ROLE_BIT(peer)) != 0);
    assert((rule->to & ROLE_BIT(self)) != 0);
    assert(m->body.len <= rule->octets);
    assert(m->fd_count <= rule->fds && m->fd_count <= MSG_FDS_MAX);
    assert((rule->kind == KIND_ONE_WAY) == (m->number == 0));
    for (unsigned i = 0; i < m->fd_count; i++)
        assert(m->fds[i] >= 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct inbox in;
    enum role self, peer;
    size_t piece, fds_every, pieces = 0;
    enum inbox_status st = INBOX_MORE;

    if (size < HEAD)
        return 0;
    self = (enum role)(data[0] % ROLE_COUNT);
    peer = (enum role)(data[1] % ROLE_COUNT);
    piece = data[2] == 0 ? INBOX_BUFFER : data[2];
    fds_every = data[3];
    data += HEAD;
    size -= HEAD;

    inbox_init(&in, self, peer);
    while (size > 0 && st != INBOX_BROKEN) {
        size_t room, n = piece < size ? piece : size;
        void *to = inbox_room(&in, &room);
        struct msg_in *m = NULL;
        int fd = -1;

        assert(room > 0);
        n = n < room ? n : room;
        memcpy(to, data, n);
        data += n;
        size -= n;
        if (fds_every > 0 && pieces++ % fds_every == 0)
            fd = dup(STDIN_FILENO);
        inbox_add(&in, n, &fd, fd >= 0);
        while ((st = inbox_next(&in, &m)) == INBOX_MESSAGE) {
            check(m, self, peer);
            msg_in_free(m);
        }
        if (st == INBOX_BROKEN)
            assert(in.broken_rule != NULL);
    }
    inbox_fini(&in);
    return 0;
}
