/*
 * daemon_private - what the files of lib/daemon share: daemon.c is the process,
 * orders.c hears master, configure.c takes its configuration, peers.c keeps the
 * links to other daemons, listeners.c accepts connections.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/daemon/control.h"
#include "lib/daemon/daemon.h"
#include "lib/daemon/slots.h"
#include "lib/ipc/link.h"

#include <stdbool.h>
#include <stdint.h>

/* The process under master; daemon.c has the one that there is. */
struct process {
    const struct daemon_options *options;
    struct link *master;
    struct config_set *set;
    char *tag;
    uint32_t index, pool;
    uint32_t expected; /* peers, before the daemon begins */
    bool begun, draining;
    bool refused; /* our first configuration: master will end us */
    bool has_secrets;
    struct control_secrets secrets;
    int private; /* during options->configure() */
};

/* Handlers of the link to master; what they take waits for orders_begin(). */
const struct link_handler *orders_open(struct process *whom) ATTR_NONNULL;

/* False: there is no fiber for it. */
bool orders_begin(void) ATTR_MUST_USE;

/* CONFIGURE. On failure the last configuration stays. */
enum result process_configure(struct process *process, struct msg_in *in,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;

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

/* A configuration is about to be taken into use: daemon_reloads(). */
void daemon_count_reload(void);
