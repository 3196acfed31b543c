#include "lib/base/mem.h"
#include "lib/ipc/inbox.h"
#include "lib/ipc/link.h"

#include <assert.h>
#include <unistd.h>

void
msg_init(struct msg *m, enum message type)
{
    const struct message_rule *rule = message_rule(type);

    assert(rule != NULL);
    *m = (struct msg){ .type = type };
    buf_init(&m->body, rule->octets);
}

void
msg_put_fd(struct msg *m, int fd)
{
    assert(m->fd_count < message_rule(m->type)->fds);
    m->fds[m->fd_count++] = fd;
}

void
msg_fini(struct msg *m)
{
    for (unsigned i = 0; i < m->fd_count; i++)
        close(m->fds[i]);
    m->fd_count = 0;
    buf_fini(&m->body);
}

struct msg_in *
msg_in_new(uint16_t type, uint32_t number, uint32_t length)
{
    struct msg_in *m = mem_try_alloc(sizeof(*m) + length);

    if (m == NULL)
        return NULL;
    *m = (struct msg_in){
        .type = type,
        .number = number,
        .body = { (char *)(m + 1), length },
    };
    return m;
}

char *
msg_in_body(struct msg_in *m)
{
    return (char *)(m + 1);
}

void
msg_in_free(struct msg_in *m)
{
    if (m == NULL)
        return;
    for (unsigned i = 0; i < m->fd_count; i++)
        if (m->fds[i] >= 0)
            close(m->fds[i]);
    mem_free(m);
}

int
msg_in_take_fd(struct msg_in *m, unsigned index)
{
    int fd;

    if (index >= m->fd_count)
        return -1;
    fd = m->fds[index];
    m->fds[index] = -1;
    return fd;
}
