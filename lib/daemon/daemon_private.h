/*
 * daemon_private - what the files of lib/daemon share: daemon.c hears master,
 * peers.c keeps the links to other daemons, listeners.c accepts connections.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/daemon/control.h"
#include "lib/daemon/daemon.h"
#include "lib/daemon/slots.h"
#include "lib/ipc/link.h"

#include <stdbool.h>
#include <stdint.h>

void peers_init(const struct daemon_options *options) ATTR_NONNULL;

/* Takes over fd. Its requests wait until peers_release(). */
void peers_add(const struct control *c, int fd) ATTR_NONNULL;
void peers_release(void);

/* Wait until all that peers asked is answered and sent, then hang up. Waits. */
void peers_close(int64_t deadline);

void listeners_init(const struct daemon_options *options) ATTR_NONNULL;
void listeners_set_slots(struct slots *slots, unsigned column) ATTR_NONNULL;

/* Takes over fd. Accepting begins with listeners_begin(). */
void listeners_add(const struct control *c, int fd, struct config_set *set)
    ATTR_NONNULL;
void listeners_remove(struct slice name);
void listeners_begin(void);

/* New connections obey set. */
void listeners_configure(struct config_set *set) ATTR_NONNULL;

/* No more connections; the last sessions have begun. Waits. */
void listeners_close(void);

/* Wait until all sessions have ended. Waits. */
void listeners_wait_idle(int64_t deadline);
