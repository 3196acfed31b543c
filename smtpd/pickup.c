#include "smtpd/pickup.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/daemon/daemon.h"
#include "lib/io/fiber.h"
#include "lib/io/sock.h"
#include "lib/io/stream.h"
#include "lib/mail/drop.h"
#include "lib/mail/user_access.h"
#include "smtpd/local_message.h"
#include "smtpd/turns.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    READ_MS = 100 * 1000,  /* for all: postdrop has it before it connects */
    ANSWER_MS = 10 * 1000, /* for the last octets to go out */
    LOOK_AGAIN_MS = 60 * 1000,
    STALE_S = 24 * 3600, /* a file that postdrop did not finish */
};

/* The fiber that looks after maildrop/; in the first process only. */
static struct {
    struct fiber_cond asked;
    bool look, end, runs;
    bool looking, again; /* whichever fiber does it */
} keeper = { .asked = { LIST_INIT(keeper.asked.waiters) } };

static const struct config *
pickup_config(const struct config_set *set)
{
    return config_of_service(set, config_main(set)->pickup_service_name);
}

/* The socket */

static void
receive(struct stream *st, uid_t uid, struct config_set *set, int64_t deadline,
    struct drop_answer *a)
{
    struct drop_reader reader;
    struct envelope env = { 0 };
    struct arena arena;

    arena_init(&arena, LOCAL_MESSAGE_ARENA_MAX);
    a->result = user_access_check(config_main(set),
        config_main(set)->authorized_submit_users, uid, "submit mail", &a->why);
    if (a->result == RESULT_OK)
        a->result = drop_read_head(&reader, st, deadline, &arena, &env,
            &a->why);
    if (a->result == RESULT_OK)
        a->result = drop_sanitize(&env, &a->why);
    if (a->result == RESULT_OK && env.drop_file.len > 0 &&
        !drop_name_is_valid(env.drop_file, uid))
        a->result = why_perm(&a->why, "5.3.0", "malformed name of a message");
    if (a->result == RESULT_OK)
        a->result = local_message_submit(set, &reader, deadline, uid, &env,
            &arena, a->id, &a->why);
    arena_clear(&arena);
}

static void look(struct config_set *set);

/*
 * postdrop connects without a message when it has left a file: look, whichever
 * process of the pool we are.
 */
static bool
is_call(struct stream *st, int64_t deadline)
{
    struct slice octets;

    return stream_peek(st, deadline, &octets) == STREAM_EOF;
}

/* A message of his, on a turn of his. */
static void
take_message(struct stream *st, uid_t uid, struct config_set *set,
    int64_t deadline)
{
    struct drop_answer a = { .result = RESULT_TEMPFAIL };
    struct buf answer;

    buf_init(&answer, DROP_ANSWER_MAX + 4);
    if (turn_take(uid, deadline)) {
        receive(st, uid, set, deadline, &a);
        turn_give(uid);
    } else {
        a.result = why_temp(&a.why, "4.3.2",
            "too many messages of one user at a time");
    }
    drop_put_answer(&a, &answer);
    stream_write(st, buf_slice(&answer), clock_now_ms() + ANSWER_MS);
    if (stream_flush(st, clock_now_ms() + ANSWER_MS) != STREAM_OK)
        log_write(LOG_LEVEL_WARNING,
            config_tag_of_service(set, config_main(set)->pickup_service_name,
                "pickup"),
            "uid %ju left before his message was answered", (uintmax_t)uid);
    buf_fini(&answer);
}

void
pickup_serve(int fd, struct config_set *set)
{
    int64_t deadline = clock_now_ms() + READ_MS;
    struct stream *st = stream_new(fd);
    uid_t uid;
    gid_t gid;
    pid_t pid;

    if (sock_peer_cred(fd, &uid, &gid, &pid) && turns_enter(uid)) {
        if (is_call(st, deadline))
            look(set);
        else
            take_message(st, uid, set, deadline);
        turns_leave(uid);
    }
    stream_free(st);
}

/* The directory */

/*
 * Whoever the name says is the owner: postdrop runs as him. Links and devices
 * are no drop files.
 */
static bool
is_drop_file(int fd, const char *name, struct stat *st)
{
    return fstat(fd, st) == 0 && S_ISREG(st->st_mode) && st->st_nlink == 1 &&
        drop_name_is_valid(slice_of(name), st->st_uid);
}

static enum result
submit_file(struct stream *st, const char *name, uid_t uid,
    struct config_set *set, struct why *why)
{
    struct drop_reader reader;
    struct envelope env;
    struct arena arena;
    char id[QUEUE_ID_SIZE];
    enum result res;

    arena_init(&arena, LOCAL_MESSAGE_ARENA_MAX);
    res = drop_read_head(&reader, st, CLOCK_NEVER, &arena, &env, why);
    if (res == RESULT_OK)
        res = drop_sanitize(&env, why);
    if (res == RESULT_OK) {
        env.drop_file = slice_of(name);
        res = local_message_submit(set, &reader, CLOCK_NEVER, uid, &env, &arena,
            id, why);
    }
    arena_clear(&arena);
    return res;
}

/*
 * What is refused for good is kept beside, under a name that is not looked at:
 * somebody believes that it was sent.
 */
static void
set_aside(int dir, const char *name, const char *tag, const struct why *why)
{
    char *kept = mem_format(".refused-%s", name);

    log_write(LOG_LEVEL_WARNING, tag, "maildrop/%s: %s: kept as maildrop/%s",
        name, why->text, kept);
    if (renameat(dir, name, dir, kept) < 0)
        log_write(LOG_LEVEL_WARNING, tag, "maildrop/%s: rename: %m", name);
    mem_free(kept);
}

static void
take_file(int dir, const char *name, struct config_set *set, const char *tag)
{
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stream *st;
    struct stat attributes;
    struct why why;

    if (fd < 0)
        return; /* gone meanwhile */
    if (!is_drop_file(fd, name, &attributes)) {
        log_write(LOG_LEVEL_WARNING, tag,
            "maildrop/%s is no message of "
            "postdrop's, ignored",
            name);
        close(fd);
        return;
    }
    /* postdrop may be handing over the very same message. */
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        close(fd);
        return;
    }
    st = stream_new(fd);
    switch (submit_file(st, name, attributes.st_uid, set, &why)) {
    case RESULT_OK:
        if (unlinkat(dir, name, 0) < 0)
            log_write(LOG_LEVEL_WARNING, tag, "maildrop/%s: remove: %m", name);
        break;
    case RESULT_TEMPFAIL:
        log_write(LOG_LEVEL_WARNING, tag, "maildrop/%s: %s", name, why.text);
        break;
    case RESULT_PERMFAIL:
        set_aside(dir, name, tag, &why);
        break;
    }
    stream_free(st);
}

static void
remove_stale(int dir, const char *name)
{
    struct stat st;

    if (slice_starts(slice_of(name), SLICE_LIT(".tmp-")) &&
        fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        st.st_mtime < clock_wall_s() - STALE_S)
        (void)unlinkat(dir, name, 0);
}

static void
look_once(struct config_set *set)
{
    const struct config *config = pickup_config(set);
    const char *tag = config_tag_of_service(set,
        config_main(set)->pickup_service_name, "pickup");
    char *path = mem_format("%s/maildrop", config->queue_directory);
    DIR *dir = opendir(path);
    struct dirent *entry;

    if (dir == NULL)
        log_write(LOG_LEVEL_WARNING, tag, "open %s: %m", path);
    while (dir != NULL && !keeper.end && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.')
            remove_stale(dirfd(dir), entry->d_name);
        else
            take_file(dirfd(dir), entry->d_name, set, tag);
        fiber_yield();
    }
    if (dir != NULL)
        closedir(dir);
    mem_free(path);
}

/* Anybody may call, and often: one looks for all who call meanwhile. */
static void
look(struct config_set *set)
{
    keeper.again = true;
    if (keeper.looking)
        return;
    keeper.looking = true;
    while (keeper.again && !keeper.end) {
        keeper.again = false;
        look_once(set);
    }
    keeper.looking = false;
}

static void
keeper_main(void *arg)
{
    (void)arg;
    while (!keeper.end) {
        struct config_set *set = config_hold(daemon_config());

        keeper.look = false;
        look(set);
        config_drop(set);
        if (!keeper.look && !keeper.end)
            (void)fiber_cond_wait(&keeper.asked,
                clock_now_ms() + LOOK_AGAIN_MS);
    }
    keeper.runs = false;
}

enum result
pickup_begin(struct why *why)
{
    if (daemon_index() != 0 || keeper.runs)
        return RESULT_OK;
    if (fiber_spawn("pickup", keeper_main, NULL) == NULL)
        return why_temp(why, "4.3.0", "no memory to look after maildrop");
    keeper.runs = true;
    return RESULT_OK;
}

void
pickup_wake(void)
{
    keeper.look = true;
    fiber_cond_signal(&keeper.asked);
}

void
pickup_end(void)
{
    keeper.end = true;
    fiber_cond_signal(&keeper.asked);
    turns_end();
}
