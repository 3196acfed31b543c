/*
 * peer - who the client is: by its connection, by what a proxy in front of us
 * says (PROXY protocol), by name in DNS.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/io/sock.h"

#include <stdbool.h>

struct session;
struct login;

/*
 * The addresses of a new connection into s->peer; *addr becomes the client's,
 * where a proxy speaks for it. False: the proxy did not say for whom it speaks;
 * that is logged and the client told. Waits.
 */
bool peer_find_address(struct session *s, struct sock_addr *addr) ATTR_NONNULL;

/* Its name, and how the log calls it. Waits. */
void peer_find_name(struct session *s, const struct sock_addr *addr)
    ATTR_NONNULL;

/*
 * As if a client had connected from address, with the given name or, when that
 * is NULL, the one that DNS has. False: no address. Waits.
 */
bool peer_pretend(struct session *s, const char *address, const char *name)
    __attribute__((nonnull(1, 2)));

/* s->peer.text anew from the other fields. */
void peer_describe(struct session *s) ATTR_NONNULL;

void login_forget(struct login *login) ATTR_NONNULL;
