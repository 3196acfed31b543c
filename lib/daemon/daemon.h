/*
 * daemon - life under master: what smtpd, qmgr, smtp, local, bounce and lookup
 * have in common.
 *
 * A daemon is started by master with descriptor 3 as its link to it (role
 * ROLE_MASTER) and its role as program name. master sends CONFIGURE (the
 * snapshot in a sealed memfd; a reload sends it again), LINK for each peer
 * process, LISTEN for each socket to serve, and DRAIN at the end. When the link
 * to master closes the daemon ends at once: it is the lifeline.
 *
 * The working directory is queue_directory: what lies there is best named
 * relative to it ("spool", "private/x"), since the directories above need not
 * be open to the daemon's user, and a socket's name has to be short. What a
 * peer asks before begin() has returned waits until then.
 *
 * A daemon's main() reads:
 *     daemon_init(&options)  - log, signals, dumpable off, scheduler
 *     daemon_run()           - until drained; returns the exit status
 * and everything else happens in the callbacks.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/list.h"
#include "lib/base/why.h"
#include "lib/config/config.h"
#include "lib/daemon/control.h"
#include "lib/io/stream.h"
#include "lib/ipc/link.h"

#include <stdbool.h>
#include <stdint.h>

struct sock_addr;
struct peer;

struct daemon_options {
    enum role role;
    /* The first and every later snapshot. Failing the first ends the start. */
    enum result (*configure)(struct config_set *set, struct why *why);
    /* What peers may ask of us; the context of these links is struct peer. */
    const struct link_handler *handlers;
    /* May be NULL: a link to a peer came up or went. */
    void (*peer_up)(struct peer *p);
    void (*peer_gone)(struct peer *p);
    /* May be NULL: false when p may not say this in its present state. */
    bool (*may)(struct peer *p, enum message type);
    /* For qmgr, else NULL: how a delivery agent ended that was linked. */
    void (*agent_died)(uint32_t process, enum process_end end, uint32_t code);
    /*
     * Serve one connection, on a fiber of its own; the slot of maxproc is
     * taken before the accept and given back when this returns. Owns fd; set
     * is held until this returns. public is NULL for a socket of master.cf
     * itself, else the name of one that every instance has, whose service is
     * the nearest in master.cf:
     *     "public/lookup"  lookup: postern tables; service lookup
     *     "public/qmgr"    qmgr: postqueue and its like; service qmgr
     *     "public/pickup"  smtpd: DROP; service pickup
     *     "public/smtp"    smtpd: sendmail -bs; the first smtpd listener
     *     "public/verify"  lookup: what is known of an address; service verify
     * service is NULL when master.cf has no such line.
     * NULL: this daemon has no listeners.
     */
    void (*serve)(int fd, const struct sock_addr *client,
        const struct service *service, struct config_set *set,
        const char *public);
    /*
     * Drain: no more connections come; finish what is under way until the
     * deadline. When this returns and the sessions have ended, the requests of
     * peers that are under way are waited for, until the deadline; then the
     * process ends. Waits. May be NULL.
     *
     * A stop drains smtpd; then qmgr, which dispatches nothing more and waits
     * for its agents' answers, and a moment later smtp, local and bounce, which
     * still serve what qmgr had asked of them and may still submit; then
     * lookup. A reload that makes a pool smaller drains single processes.
     */
    void (*drain)(int64_t deadline_ms);
    /* All links are there and the configuration is set: begin. May be NULL. */
    enum result (*begin)(struct why *why);
    /* master's wakeup timer of a service. May be NULL. */
    void (*wake)(const struct service *service);
};

/* A peer process: its link, and a place for the daemon's own state. */
struct peer {
    struct list node; /* among the peers of its role */
    struct link *link;
    enum role role;
    unsigned index;   /* which process of its pool */
    uint32_t process; /* which of all that master ever started */
    bool elder;       /* it was there before this process was */
    void *state;      /* the daemon's; freed by it in peer_gone */
};

void daemon_init(int argc, char **argv, const struct daemon_options *options)
    ATTR_NONNULL;
int daemon_run(void);

/* The newest snapshot; borrow within one turn, config_hold() across waits. */
struct config_set *daemon_config(void);

/* ROLE_COMMAND in what is no daemon. */
enum role daemon_role(void);

/*
 * During configure(): a memory file that master made for this daemon alone
 * (lookup: the files of tables, which hold passwords); else, and where there is
 * none, -1.
 */
int daemon_private(void);

/* True from DRAIN on. */
bool daemon_draining(void);

/*
 * Are all sessions that service may have taken, or were they a moment ago? Then
 * new ones are to be shorter (stress=yes). The log is told when that begins.
 */
bool daemon_strained(const struct service *service) ATTR_NONNULL;

/* Are those that it has left kept for clients that are known (slots.h)? */
bool daemon_exceeded(const struct service *service) ATTR_NONNULL;

/* Which process of its pool this is, and how many the pool has. */
unsigned daemon_index(void);
unsigned daemon_pool(void);

/*
 * A peer of that role: the same one for the same hash while the pool stays
 * what it is. NULL when none is up.
 */
struct peer *daemon_peer(enum role role, uint64_t hash);

/* All peers of a role: list of struct peer by node. */
struct list *daemon_peers(enum role role);

/*
 * Ask any process of that role; when none is up, or the one asked dies before
 * it answers and again is true, wait for another until the deadline. m is
 * emptied; it carries no descriptors. Waits.
 */
enum link_status daemon_call(enum role role, struct msg *m, bool again,
    int64_t deadline, struct msg_in **answer) ATTR_NONNULL ATTR_MUST_USE;

/*
 * For qmgr: the link to p has ended. Without one p is of no use: if it has not
 * ended, master replaces it.
 */
void daemon_restart_peer(const struct peer *p) ATTR_NONNULL;

/* The keys that master gave this process; NULL but for qmgr. */
const struct control_secrets *daemon_secrets(void);

/*
 * How often the process died is master's business: a daemon that meets a
 * condition that it cannot go on with logs it as fatal and calls this.
 */
void daemon_fail(int exit_status) __attribute__((noreturn));

/* How often a configuration was taken into use: what was read is old then. */
uint64_t daemon_reloads(void);
