/*
 * sockets - what the instance listens on: the inet services of master.cf, and
 * the Unix sockets that every instance has.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/list.h"
#include "lib/base/why.h"
#include "lib/config/config.h"
#include "lib/daemon/slots.h"
#include "lib/ipc/protocol.h"

#include <stdbool.h>

/* One listening socket; all processes of the role's pool accept on it. */
struct sock_entry {
    struct list node;
    char *name;    /* unique: "127.0.0.1:25", "public/qmgr" */
    char *service; /* "smtp/inet", "public/qmgr" */
    enum role role;
    unsigned row; /* of the table of slots */
    int fd;
    bool announced; /* the running processes have it */
};

struct sockets {
    struct list all;
    struct slots *slots;
    char *rows[SLOTS_ROWS]; /* which service has the row; NULL: free */
};

void sockets_init(struct sockets *s, struct slots *slots) ATTR_NONNULL;

/*
 * Make *s listen on what set asks for. What is listened on already is kept,
 * what is new is opened, what is gone is moved to *gone for the caller to tell
 * the daemons and then sockets_free(). When one cannot be opened nothing
 * changes. Blocks.
 *
 * patience_ms: how long to try again while an address is in use by what is left
 * of a predecessor.
 */
enum result sockets_update(struct sockets *s, const struct config_set *set,
    int patience_ms, struct list *gone, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

/* Are there such ports and hosts? Logs what is not. Listens on nothing. Blocks. */
bool sockets_check(const struct config_set *set) ATTR_NONNULL ATTR_MUST_USE;

void sockets_free(struct list *entries) ATTR_NONNULL;
