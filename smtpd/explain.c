#include "smtpd/explain.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/daemon/control.h"
#include "lib/daemon/daemon_private.h"
#include "lib/mail/rewrite.h"
#include "smtpd/access.h"
#include "smtpd/evaluation.h"
#include "smtpd/explain_verified.h"
#include "smtpd/path_argument.h"
#include "smtpd/peer.h"
#include "smtpd/session.h"

#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sysexits.h>
#include <unistd.h>

enum {
    CONFIGURE_MS = 30 * 1000,
    CHILD_FD = 3, /* where a daemon has its link to master */
    REFUSED = 1,
};

/* What is asked. */
struct question {
    const char *directory, *service;
    const char *client, *name, *helo, *from, *to, *sasl;
    struct config_set *set;
    const char *decider; /* the last restriction that permitted or refused */
    const char *decider_text;
    enum stage decider_stage;
    int status;
};

static struct question q;

bool
explain_is_asked(int argc, char **argv)
{
    return argc > 1 && strcmp(argv[1], "--explain") == 0;
}

/* Telling */

static const char *
list_name(enum stage stage)
{
    static const char *const names[STAGE_COUNT] = {
        [STAGE_CLIENT] = "smtpd_client_restrictions",
        [STAGE_HELO] = "smtpd_helo_restrictions",
        [STAGE_SENDER] = "smtpd_sender_restrictions",
        [STAGE_RELAY] = "smtpd_relay_restrictions",
        [STAGE_RECIPIENT] = "smtpd_recipient_restrictions",
        [STAGE_DATA] = "smtpd_data_restrictions",
        [STAGE_END_OF_DATA] = "smtpd_end_of_data_restrictions",
        [STAGE_ETRN] = "smtpd_etrn_restrictions",
        [STAGE_REWRITE] = "local_header_rewrite_clients",
    };

    return names[stage];
}

static void
tell(const struct evaluation *e, const struct check *c, enum verdict verdict)
{
    static const char *const words[] = {
        [VERDICT_NONE] = "no opinion",
        [VERDICT_PERMIT] = "permits: this list is done",
        [VERDICT_REFUSED] = "refuses",
    };
    const char *name = c->class != NULL ? c->class->name : c->what->name;

    printf("%s: %*s%s%s%s: %s\n", list_name(e->stage),
        (int)(e->depth > 0 ? e->depth - 1 : 0) * 2, "", name,
        c->text == NULL ? "" : " ", c->text == NULL ? "" : c->text,
        words[verdict]);
    if (verdict != VERDICT_REFUSED || q.decider != NULL)
        return;
    q.decider = name;
    q.decider_text = c->text;
    q.decider_stage = e->stage;
}

static void
tell_log(void *context, enum log_level level, const char *tag,
    struct slice line)
{
    (void)context;
    (void)level;
    (void)tag;
    printf("  log: " SLICE_FMT "\n", SLICE_ARG(line));
}

/* Both addresses, as MAIL and RCPT would have taken them. */
static bool
take_address(struct session *s, const char *text, struct slice *address,
    struct slice *rewritten)
{
    struct why why;

    if (path_address_parse(slice_of(text), false, &s->mail.arena, address) !=
        PATH_FOUND) {
        printf("bad address: %s\n", text);
        return false;
    }
    if (rewrite_address(s->profile->rewrite, REWRITE_LOCAL, *address,
            &s->mail.arena, rewritten, &why) == RESULT_OK)
        return true;
    printf("%s: %s\n", text, why.text);
    return false;
}

static void
tell_decision(const struct session *s, bool accepted, const struct refusal *no)
{
    if (accepted) {
        printf("accepted: RCPT TO:<%s> gets \"250 2.1.5 Ok\"\n", q.to);
        if (s->mail.actions.discard)
            printf("and the message is discarded\n");
        q.status = EX_OK;
        return;
    }
    printf("refused: RCPT TO:<%s> gets \"%d %s%s%s\"\n", q.to, no->code,
        no->status, no->status[0] == '\0' ? "" : " ", no->text);
    if (q.decider != NULL)
        printf("decided by: %s: %s%s%s\n", list_name(q.decider_stage),
            q.decider, q.decider_text == NULL ? "" : " ",
            q.decider_text == NULL ? "" : q.decider_text);
    else
        printf("decided by: what was put off until RCPT, or "
               "smtpd_reject_unlisted_recipient and _sender\n");
    q.status = REFUSED;
}

static void
ask(struct session *s)
{
    struct refusal no;

    printf("client %s, helo %s, from <%s>, to <%s>%s%s\n", s->peer.text,
        s->helo == NULL ? "(none)" : s->helo, q.from, q.to,
        q.sasl == NULL ? "" : ", logged in as ", q.sasl == NULL ? "" : q.sasl);
    s->where = "RCPT";
    s->trace = tell;
    s->ask_verified = explain_verified;
    s->mail.open = true;
    if (!take_address(s, q.from, &s->mail.envelope.sender,
            &s->mail.sender_rewritten) ||
        !take_address(s, q.to, &s->recipient, &s->recipient_rewritten))
        q.status = EX_DATAERR;
    else
        tell_decision(s, access_for_rcpt(s, &no), &no);
}

static void
session_for(const struct profile *p)
{
    struct session s = { .profile = p,
        .config = p->config,
        .set = q.set,
        .esmtp = true };

    session_reset(&s);
    if (peer_pretend(&s, q.client, q.name)) {
        if (q.helo != NULL)
            s.helo = helo_clean(&s, slice_of(q.helo));
        if (q.sasl != NULL)
            s.login.user = mem_text(q.sasl);
        ask(&s);
    } else {
        printf("bad client address: %s\n", q.client);
        q.status = EX_DATAERR;
    }
    session_forget(&s);
}

static const struct service *
find_service(void)
{
    for (size_t i = 0; i < config_service_count(q.set); i++) {
        const struct service *service = config_service(q.set, i);

        if (strcmp(service->program, "smtpd") == 0 &&
            (q.service == NULL || strcmp(service->name, q.service) == 0))
            return service;
    }
    return NULL;
}

/* A lookup of our own, whose master we are */

static int
snapshot(const struct config_set *set, uint32_t *length)
{
    struct buf octets;
    int fd = memfd_create("postern configuration",
        MFD_CLOEXEC | MFD_ALLOW_SEALING);

    buf_init(&octets, CONTROL_SNAPSHOT_MAX);
    config_encode(set, &octets);
    *length = (uint32_t)octets.len;
    if (fd >= 0 &&
        (write(fd, octets.ptr, octets.len) != (ssize_t)octets.len ||
            fcntl(fd, F_ADD_SEALS,
                F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) <
                0)) {
        close(fd);
        fd = -1;
    }
    buf_fini(&octets);
    return fd;
}

static bool
spawn_lookup(int fd)
{
    char *path = mem_format("%s/lookup", config_main(q.set)->daemon_directory);
    char name[] = "lookup";
    char *argv[] = { name, NULL };
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int err;

    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_adddup2(&actions, fd, CHILD_FD);
    err = posix_spawn(&pid, path, &actions, NULL, argv, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    mem_free(path);
    return err == 0;
}

static bool
configure(struct link *child, int link_fd)
{
    struct control_configure c = { .pool = 0, /* not one of the system's */
        .expected = 1,
        .log = LOGSINK_STDOUT };
    const struct control us = { .role = ROLE_SMTPD, .elder = true };
    struct msg_in *in;
    struct msg m;
    int fd = snapshot(q.set, &c.length);

    if (fd < 0)
        return false;
    msg_init(&m, MESSAGE_CONFIGURE);
    control_configure_encode(&c, &m);
    msg_put_fd(&m, fd);
    if (link_call(child, &m, clock_now_ms() + CONFIGURE_MS, &in) != LINK_OK)
        return false;
    msg_in_free(in);
    msg_init(&m, MESSAGE_LINK);
    control_encode(&us, &m);
    msg_put_fd(&m, link_fd);
    link_send(child, &m);
    return true;
}

static void
serve_ready(struct request *r)
{
    request_drop(r);
}

static struct link *
begin_lookup(void)
{
    static const struct link_handler handlers[] = {
        { MESSAGE_READY, serve_ready, SERVE_INLINE },
        { MESSAGE_NONE, NULL, SERVE_INLINE },
    };
    static const struct link_handler none[] = {
        { MESSAGE_NONE, NULL, SERVE_INLINE },
    };
    static const struct daemon_options us = { .role = ROLE_SMTPD,
        .handlers = none };
    const struct link_options child = { .self = ROLE_MASTER,
        .peer = ROLE_LOOKUP,
        .peer_name = "lookup",
        .handlers = handlers };
    const struct control lookup = { .role = ROLE_LOOKUP };
    struct link *l;
    int control[2], peer[2];

    if (sock_pair(control) != 0 || sock_pair(peer) != 0 ||
        !spawn_lookup(control[1]))
        return NULL;
    close(control[1]);
    peers_init(&us);
    l = link_open(control[0], &child);
    if (l == NULL || !configure(l, peer[1]))
        return NULL;
    peers_add(&lookup, peer[0]);
    peers_release();
    return l;
}

static void
run(void *arg)
{
    const struct service *service = find_service();
    struct link *lookup = begin_lookup();
    const struct profile *p;
    struct why why;

    (void)arg;
    if (lookup == NULL) {
        printf("cannot start lookup\n");
        q.status = EX_OSERR;
    } else if (service == NULL) {
        printf("no such smtpd service in master.cf\n");
        q.status = EX_USAGE;
    } else if (profiles_compile(q.set, &why) != RESULT_OK ||
        (p = profile_use(q.set, service, false, false)) == NULL) {
        printf("%s\n", why.text);
        q.status = EX_CONFIG;
    } else {
        explain_verified_begin(config_main(q.set));
        session_for(p);
        explain_verified_end();
        profile_leave(p);
    }
    profiles_forget();
    link_close(lookup); /* its lifeline */
    sched_stop();
}

/* As the daemon is: tables that it may not read fail here, too. */
static bool
become_daemon_user(void)
{
    const struct passwd *pw = getpwnam(config_main(q.set)->mail_owner);

    return geteuid() != 0 ||
        (pw != NULL && setgroups(0, NULL) == 0 && setgid(pw->pw_gid) == 0 &&
            setuid(pw->pw_uid) == 0);
}

static bool
parse(int argc, char **argv)
{
    static const char **const places[] = { &q.directory, &q.client, &q.name,
        &q.helo, &q.from, &q.to, &q.sasl, &q.service };
    static const struct option options[] = {
        { "config", required_argument, NULL, 0 },
        { "client", required_argument, NULL, 0 },
        { "name", required_argument, NULL, 0 },
        { "helo", required_argument, NULL, 0 },
        { "from", required_argument, NULL, 0 },
        { "to", required_argument, NULL, 0 },
        { "sasl", required_argument, NULL, 0 },
        { "service", required_argument, NULL, 0 },
        { NULL, 0, NULL, 0 },
    };
    int option, which = 0;

    while ((option = getopt_long(argc, argv, "", options, &which)) != -1) {
        if (option != 0)
            return false;
        *places[which] = optarg;
    }
    return optind == argc && q.client != NULL && q.from != NULL && q.to != NULL;
}

int
explain_main(int argc, char **argv)
{
    struct why why;

    if (!parse(argc - 1, argv + 1)) {
        fprintf(stderr,
            "usage: postern explain session --client address [--name host] "
            "[--helo name] --from address --to address [--sasl user] "
            "[--service name]\n");
        return EX_USAGE;
    }
    log_set_sink(tell_log, NULL, NULL);
    if (config_load(q.directory, NULL, NULL, &q.set, &why) != RESULT_OK) {
        fprintf(stderr, "postern: fatal: %s\n", why.text);
        return EX_CONFIG;
    }
    if (!become_daemon_user() ||
        chdir(config_main(q.set)->queue_directory) < 0) {
        perror("postern");
        return EX_NOPERM;
    }
    sched_open();
    if (fiber_spawn("explain", run, NULL) == NULL)
        return EX_OSERR;
    sched_run();
    sched_close();
    config_drop(q.set);
    return q.status;
}
