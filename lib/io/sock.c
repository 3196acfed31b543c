#include "lib/io/sock.h"

#include "lib/base/clock.h"
#include "lib/base/num.h"
#include "lib/io/fiber.h"
#include "lib/io/iov.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    ACCEPT_TRIES = 16,  /* connections that broke before they were accepted */
    UNIX_RETRY_MS = 10, /* a Unix listener's queue was full */
    PORT_NAME_MAX = 64,
};

bool
sock_addr_parse(struct slice host, uint16_t port, struct sock_addr *addr)
{
    char text[INET6_ADDRSTRLEN];

    if (slice_starts_nocase(host, SLICE_LIT("IPv6:")))
        host = slice_skip(host, 5);
    if (host.len == 0 || host.len >= sizeof(text) ||
        memchr(host.ptr, '\0', host.len) != NULL)
        return false;
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    memset(addr, 0, sizeof(*addr));
    if (inet_pton(AF_INET, text, &addr->u.in.sin_addr) == 1) {
        addr->u.in.sin_family = AF_INET;
        addr->len = sizeof(addr->u.in);
    } else if (inet_pton(AF_INET6, text, &addr->u.in6.sin6_addr) == 1) {
        addr->u.in6.sin6_family = AF_INET6;
        addr->len = sizeof(addr->u.in6);
    } else {
        return false;
    }
    sock_addr_set_port(addr, port);
    return true;
}

bool
sock_addr_unix(const char *path, struct sock_addr *addr)
{
    size_t len = strlen(path);

    memset(addr, 0, sizeof(*addr));
    if (len >= sizeof(addr->u.un.sun_path)) {
        errno = ENAMETOOLONG;
        return false;
    }
    addr->u.un.sun_family = AF_UNIX;
    memcpy(addr->u.un.sun_path, path, len + 1);
    addr->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
    return true;
}

static int
family(const struct sock_addr *addr)
{
    return addr->len == 0 ? AF_UNSPEC : addr->u.any.sa_family;
}

/* The IPv4 address, also when it comes as an IPv6 one; NULL when it is none. */
static const void *
ipv4_of(const struct sock_addr *addr)
{
    if (family(addr) == AF_INET)
        return &addr->u.in.sin_addr;
    if (family(addr) == AF_INET6 &&
        IN6_IS_ADDR_V4MAPPED(&addr->u.in6.sin6_addr))
        return addr->u.in6.sin6_addr.s6_addr + 12;
    return NULL;
}

const char *
sock_addr_text(const struct sock_addr *addr, char text[SOCK_TEXT_MAX])
{
    const void *v4 = ipv4_of(addr);

    if (v4 != NULL)
        (void)inet_ntop(AF_INET, v4, text, SOCK_TEXT_MAX);
    else if (family(addr) == AF_INET6)
        (void)inet_ntop(AF_INET6, &addr->u.in6.sin6_addr, text, SOCK_TEXT_MAX);
    else
        (void)snprintf(text, SOCK_TEXT_MAX, "unknown");
    return text;
}

uint16_t
sock_addr_port(const struct sock_addr *addr)
{
    if (family(addr) == AF_INET)
        return ntohs(addr->u.in.sin_port);
    if (family(addr) == AF_INET6)
        return ntohs(addr->u.in6.sin6_port);
    return 0;
}

void
sock_addr_set_port(struct sock_addr *addr, uint16_t port)
{
    if (family(addr) == AF_INET)
        addr->u.in.sin_port = htons(port);
    else if (family(addr) == AF_INET6)
        addr->u.in6.sin6_port = htons(port);
}

bool
sock_addr_is_loopback(const struct sock_addr *addr)
{
    const unsigned char *v4 = ipv4_of(addr);

    if (v4 != NULL)
        return v4[0] == 127;
    if (family(addr) == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&addr->u.in6.sin6_addr);
    return family(addr) == AF_UNIX;
}

/* known_tcp_ports: where there is no services(5), as in small containers. */
static const struct {
    const char *name;
    uint16_t port;
} known_ports[] = {
    { "lmtp", 24 },
    { "smtp", 25 },
    { "smtps", 465 },
    { "submissions", 465 },
    { "submission", 587 },
};

static bool
find_known_port(struct slice name, uint16_t *port)
{
    for (size_t i = 0; i < sizeof(known_ports) / sizeof(known_ports[0]); i++) {
        if (!slice_eq_text(name, known_ports[i].name))
            continue;
        *port = known_ports[i].port;
        return true;
    }
    return false;
}

bool
sock_port_parse(struct slice text, uint16_t *port)
{
    char name[PORT_NAME_MAX];
    struct servent *entry;
    uint32_t n;

    if (num_parse_u32(text, UINT16_MAX, &n)) {
        *port = (uint16_t)n;
        return true;
    }
    if (find_known_port(text, port))
        return true;
    if (text.len == 0 || text.len >= sizeof(name) ||
        memchr(text.ptr, '\0', text.len) != NULL)
        return false;
    memcpy(name, text.ptr, text.len);
    name[text.len] = '\0';
    entry = getservbyname(name, "tcp");
    if (entry == NULL)
        return false;
    *port = ntohs((uint16_t)entry->s_port);
    return true;
}

static int
open_socket(const struct sock_addr *addr)
{
    return socket(family(addr), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static void
set_option(int fd, int level, int name)
{
    const int on = 1;

    (void)setsockopt(fd, level, name, &on, sizeof(on));
}

/* Closes fd and keeps errno: for the way out of a failure. */
static void
close_quietly(int fd)
{
    int saved = errno;

    (void)close(fd);
    errno = saved;
}

enum result
sock_listen(const struct sock_addr *addr, int backlog, int *fd, struct why *why)
{
    char text[SOCK_TEXT_MAX];
    int s = open_socket(addr);

    sock_addr_text(addr, text);
    if (s < 0)
        return why_errno(why, "listen on %s: socket", text);
    set_option(s, SOL_SOCKET, SO_REUSEADDR);
    if (family(addr) == AF_INET6)
        set_option(s, IPPROTO_IPV6, IPV6_V6ONLY);
    if (bind(s, &addr->u.any, addr->len) < 0 || listen(s, backlog) < 0) {
        close_quietly(s);
        return why_errno(why, "listen on %s port %u", text,
            (unsigned)sock_addr_port(addr));
    }
    *fd = s;
    return RESULT_OK;
}

/* In path's directory, so that it can be renamed to path. */
static bool
temporary_name(const char *path, char *name, size_t size)
{
    const char *slash = strrchr(path, '/');
    int dir = slash == NULL ? 0 : (int)(slash + 1 - path);
    int n = snprintf(name, size, "%.*s.%ld", dir, path, (long)getpid());

    if (n < 0 || (size_t)n >= size) {
        errno = ENAMETOOLONG;
        return false;
    }
    return true;
}

/*
 * By the umask, not by chmod(): the directory may be another user's, who could
 * put a link in the socket's place, and have any file changed by us.
 */
static int
bind_with_mode(int s, const struct sock_addr *addr, mode_t mode)
{
    mode_t before = umask(0777 & ~mode);
    int res = bind(s, &addr->u.any, addr->len), sys = errno;

    (void)umask(before);
    errno = sys;
    return res;
}

enum result
sock_listen_unix(const char *path, mode_t mode, int backlog, int *fd,
    struct why *why)
{
    struct sock_addr addr;
    char name[sizeof(addr.u.un.sun_path)];
    int s;

    if (!temporary_name(path, name, sizeof(name)) ||
        !sock_addr_unix(name, &addr))
        return why_errno(why, "listen on %s", path);
    s = open_socket(&addr);
    if (s < 0)
        return why_errno(why, "listen on %s: socket", path);
    (void)unlink(name);
    if (bind_with_mode(s, &addr, mode) < 0) {
        close_quietly(s);
        return why_errno(why, "listen on %s: bind", path);
    }
    if (listen(s, backlog) < 0 || rename(name, path) < 0) {
        close_quietly(s);
        (void)why_errno(why, "listen on %s", path);
        (void)unlink(name);
        return RESULT_TEMPFAIL;
    }
    *fd = s;
    return RESULT_OK;
}

/* The end of a connect: as a fiber. */
static enum wait_result
wait_in_fiber(struct pollfd *pfd, int64_t deadline_ms)
{
    enum wait_result result = WAIT_OK;
    struct io_wait w;

    if (io_wait_init(&w, pfd->fd) < 0)
        return WAIT_TIMEOUT;
    while (result == WAIT_OK && poll(pfd, 1, 0) <= 0)
        result = io_wait_writable(&w, deadline_ms);
    io_wait_fini(&w);
    return result;
}

static enum wait_result
wait_blocking(struct pollfd *pfd, int64_t deadline_ms)
{
    int64_t left;

    while ((left = deadline_ms - clock_now_ms()) > 0)
        if (poll(pfd, 1, left > 60000 ? 60000 : (int)left) > 0)
            return WAIT_OK;
    return WAIT_TIMEOUT;
}

/* 0, or -1 with errno. */
static int
wait_connected(int fd, int64_t deadline_ms)
{
    struct pollfd pfd = { .fd = fd, .events = POLLOUT };
    socklen_t len = sizeof(int);
    int error = 0;

    switch (fiber_inside() ? wait_in_fiber(&pfd, deadline_ms)
                           : wait_blocking(&pfd, deadline_ms)) {
    case WAIT_OK:
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
            return -1;
        break;
    case WAIT_TIMEOUT:
        error = ETIMEDOUT;
        break;
    case WAIT_CANCELLED:
        error = ECANCELED;
        break;
    }
    errno = error;
    return error == 0 ? 0 : -1;
}

/* A Unix socket says EAGAIN at once when the listener's queue is full. */
static int
connect_wait(int fd, const struct sock_addr *to, int64_t deadline_ms)
{
    while (connect(fd, &to->u.any, to->len) < 0) {
        if (errno == EINPROGRESS || errno == EINTR)
            return wait_connected(fd, deadline_ms);
        if (errno != EAGAIN || family(to) != AF_UNIX)
            return -1;
        if (clock_now_ms() >= deadline_ms) {
            errno = ETIMEDOUT;
            return -1;
        }
        if (fiber_sleep_until(clock_now_ms() + UNIX_RETRY_MS) ==
            WAIT_CANCELLED) {
            errno = ECANCELED;
            return -1;
        }
    }
    return 0;
}

enum result
sock_connect(const struct sock_addr *to, const struct sock_addr *from,
    int64_t deadline_ms, int *fd, struct why *why)
{
    char text[SOCK_TEXT_MAX];
    const char *name = family(to) == AF_UNIX ? to->u.un.sun_path
                                             : sock_addr_text(to, text);
    int s = open_socket(to);

    if (s < 0)
        return why_errno(why, "connect to %s: socket", name);
    if (from != NULL && bind(s, &from->u.any, from->len) < 0) {
        close_quietly(s);
        return why_errno(why, "connect to %s: bind", name);
    }
    if (connect_wait(s, to, deadline_ms) < 0) {
        close_quietly(s);
        return why_errno(why, "connect to %s", name);
    }
    *fd = s;
    return RESULT_OK;
}

int
sock_accept(int listener, struct sock_addr *peer)
{
    struct sock_addr unused, *addr = peer == NULL ? &unused : peer;
    int fd = -1;

    for (unsigned tries = 0; tries < ACCEPT_TRIES; tries++) {
        memset(addr, 0, sizeof(*addr));
        addr->len = sizeof(addr->u);
        fd = accept4(listener, &addr->u.any, &addr->len,
            SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0 || (errno != EINTR && errno != ECONNABORTED))
            break;
    }
    return fd;
}

int
sock_pair(int fds[2])
{
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
        fds);
}

bool
sock_peer_cred(int fd, uid_t *uid, gid_t *gid, pid_t *pid)
{
    struct ucred cred;
    socklen_t len = sizeof(cred);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
        return false;
    *uid = cred.uid;
    *gid = cred.gid;
    *pid = cred.pid;
    return true;
}

bool
sock_peer_is_admin(int fd)
{
    uid_t uid;
    gid_t gid;
    pid_t pid;

    return sock_peer_cred(fd, &uid, &gid, &pid) &&
        (uid == 0 || uid == geteuid());
}

/* Aligned as the kernel wants its control messages. */
union control {
    struct cmsghdr head;
    char space[CMSG_SPACE(SOCK_FDS_MAX * sizeof(int))];
};

ssize_t
sock_send_fds(int sock, struct slice octets, const int *fds, unsigned count)
{
    struct iovec iov = iov_of(octets);
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
    union control control;
    ssize_t n;

    if (count > SOCK_FDS_MAX || (count > 0 && octets.len == 0)) {
        errno = EINVAL;
        return -1;
    }
    if (count > 0) {
        memset(&control, 0, sizeof(control));
        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(count * sizeof(int));
        control.head.cmsg_level = SOL_SOCKET;
        control.head.cmsg_type = SCM_RIGHTS;
        control.head.cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(&control.head), fds, count * sizeof(int));
    }
    do
        n = sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n;
}

static void
take_fds(const struct cmsghdr *c, int fds[SOCK_FDS_MAX], unsigned *count)
{
    size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

    for (size_t i = 0; i < n; i++) {
        int fd;

        memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
        if (*count < SOCK_FDS_MAX)
            fds[(*count)++] = fd;
        else
            (void)close(fd);
    }
}

ssize_t
sock_recv_fds(int sock, void *to, size_t size, int fds[SOCK_FDS_MAX],
    unsigned *count)
{
    struct iovec iov = { .iov_base = to, .iov_len = size };
    union control control;
    struct msghdr msg = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof(control),
    };
    ssize_t n;

    *count = 0;
    do
        n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -1;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c != NULL;
         c = CMSG_NXTHDR(&msg, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
            take_fds(c, fds, count);
    if (msg.msg_flags & MSG_CTRUNC) {
        while (*count > 0)
            (void)close(fds[--*count]);
        errno = EBADMSG;
        return -1;
    }
    return n;
}
