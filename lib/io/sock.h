/*
 * sock - socket addresses and non-blocking sockets (IPv4, IPv6, Unix).
 *
 * All descriptors are O_CLOEXEC and O_NONBLOCK.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

struct sock_addr {
    socklen_t len; /* 0: no address */
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    } u;
};

enum {
    SOCK_TEXT_MAX = 64, /* of sock_addr_text(), NUL included */
};

/*
 * host is an IP address in text, without brackets ("192.0.2.1", "2001:db8::1",
 * "IPv6:2001:db8::1" as SMTP writes it). False when it is none.
 */
bool sock_addr_parse(struct slice host, uint16_t port, struct sock_addr *addr)
    ATTR_NONNULL ATTR_MUST_USE;

/* path is cut off with ENAMETOOLONG: false. */
bool sock_addr_unix(const char *path, struct sock_addr *addr)
    ATTR_NONNULL ATTR_MUST_USE;

/*
 * The address without port as Postfix logs it: "192.0.2.1", "2001:db8::1"
 * (an IPv4-mapped one as IPv4), "unknown" for a Unix socket.
 */
const char *sock_addr_text(const struct sock_addr *addr,
    char text[SOCK_TEXT_MAX]) ATTR_NONNULL;
uint16_t sock_addr_port(const struct sock_addr *addr) ATTR_NONNULL;
void sock_addr_set_port(struct sock_addr *addr, uint16_t port) ATTR_NONNULL;
bool sock_addr_is_loopback(const struct sock_addr *addr) ATTR_NONNULL;

/*
 * A number, a name of the default of known_tcp_ports, or one of services(5), which
 * blocks: start-up only.
 */
bool sock_port_parse(struct slice text, uint16_t *port)
    ATTR_NONNULL ATTR_MUST_USE;

/* A listening stream socket in *fd (SO_REUSEADDR; IPV6_V6ONLY). */
enum result sock_listen(const struct sock_addr *addr, int backlog, int *fd,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/*
 * The same at a path: an existing socket there is replaced by a rename, mode
 * is set before it becomes visible.
 */
enum result sock_listen_unix(const char *path, mode_t mode, int backlog,
    int *fd, struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/*
 * Connect, from a local address when from is not NULL. Waits inside a fiber,
 * blocks outside. why->sys tells ECONNREFUSED, ETIMEDOUT, ECANCELED, ...
 */
enum result sock_connect(const struct sock_addr *to,
    const struct sock_addr *from, int64_t deadline_ms, int *fd, struct why *why)
    ATTR_MUST_USE;

/*
 * Accept one connection without waiting: -1 with errno EAGAIN when there is
 * none. peer may be NULL.
 */
int sock_accept(int listener, struct sock_addr *peer);

/* A pair of connected stream sockets. */
int sock_pair(int fds[2]) ATTR_MUST_USE;

/* The credentials of a Unix socket's peer; false on error. */
bool sock_peer_cred(int fd, uid_t *uid, gid_t *gid, pid_t *pid)
    ATTR_NONNULL ATTR_MUST_USE;

/* Is it root, or the user that we are? */
bool sock_peer_is_admin(int fd) ATTR_MUST_USE;

/*
 * Send or receive octets with descriptors (SCM_RIGHTS), without waiting: the
 * count of octets, or -1 with errno. Received descriptors are O_CLOEXEC; on a
 * truncated control message all are closed and errno is EBADMSG.
 */
enum { SOCK_FDS_MAX = 8 };
ssize_t sock_send_fds(int sock, struct slice octets, const int *fds,
    unsigned count);
ssize_t sock_recv_fds(int sock, void *to, size_t size, int fds[SOCK_FDS_MAX],
    unsigned *count) ATTR_NONNULL;
