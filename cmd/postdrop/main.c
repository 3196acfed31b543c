/*
 * postdrop - a message from sendmail(1) into the mail system: to smtpd while it
 * runs, else into maildrop/.
 *
 * Set-gid: whoever calls may not otherwise write there. So the caller's word is
 * not trusted: neither his configuration, nor his environment, nor a length.
 */
#include "cmd/postdrop/outbound.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/config/config.h"
#include "lib/daemon/command.h"
#include "lib/mail/drop.h"
#include "lib/mail/login_sender.h"
#include "lib/mail/user_access.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

enum {
    READ_MS = 24 * 3600 * 1000, /* sendmail waits for its user, we for it */
    OUT_MAX = DROP_HEAD_MAX + 2 * DROP_CHUNK_MAX,
};

static void
usage(void)
{
    (void)fprintf(stderr, "usage: postdrop [-rv] [-c config_dir]\n");
    exit(EX_USAGE);
}

static void
fail(int status, const struct why *why)
{
    log_fatal("uid=%ju: %s", (uintmax_t)getuid(), why->text);
    exit(status);
}

/* RFC 3463 to sysexits. */
static int
exit_status(enum result res, const struct why *why)
{
    if (res == RESULT_TEMPFAIL)
        return EX_TEMPFAIL;
    if (strcmp(why->status, "5.7.1") == 0)
        return EX_NOPERM;
    if (strcmp(why->status, "5.3.4") == 0)
        return EX_DATAERR;
    return EX_UNAVAILABLE;
}

static void
check(enum result res, const struct why *why)
{
    if (res != RESULT_OK)
        fail(exit_status(res, why), why);
}

/* Who calls */

static bool
is_privileged(void)
{
    return geteuid() != getuid() || getegid() != getgid();
}

/* Nothing in it means anything to us, but much of it to libraries. */
static void
clear_environment(const char *config_dir)
{
    char *dir = config_dir == NULL ? NULL : mem_text(config_dir);
    char *zone = getenv("TZ") == NULL ? NULL : mem_text(getenv("TZ"));

    if (clearenv() != 0)
        exit(EX_OSERR);
    if (zone != NULL && !is_privileged())
        (void)setenv("TZ", zone, 1);
    if (dir != NULL)
        (void)setenv("MAIL_CONFIG", dir, 1);
    mem_free(dir);
    mem_free(zone);
}

static struct config_set *
load(const char *dir)
{
    struct config_set *set;
    struct why why;

    check(command_load(dir, &set, &why), &why);
    return set;
}

/*
 * With our group anybody could have us read and write files of his choice, if
 * only main.cf said so: it has to be one that the real one names.
 */
static bool
may_use(const struct config *standard, const char *dir)
{
    const char *const lists[] = { standard->alternate_config_directories,
        standard->multi_instance_directories };
    struct slice word;

    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        struct slice rest = slice_of(lists[i]);

        while (config_list_next(&rest, &word))
            if (slice_eq_text(word, dir))
                return true;
    }
    return false;
}

static struct config_set *
read_configuration(const char *dir)
{
    struct config_set *set;

    if (dir == NULL || getuid() == 0 || !is_privileged())
        return load(dir);
    set = load(NULL);
    if (strcmp(config_directory(set), dir) == 0)
        return set;
    if (!may_use(config_main(set), dir)) {
        log_fatal(
            "uid=%ju: directory %s is not in alternate_config_directories",
            (uintmax_t)getuid(), dir);
        exit(EX_NOPERM);
    }
    config_drop(set);
    return load(dir);
}

/* The message */

static enum result
check_size(const struct config *config, uint64_t size, struct why *why)
{
    int64_t limit = config->message_size_limit;

    return limit > 0 && size > (uint64_t)limit
        ? why_perm(why, "5.3.4", "message file too big")
        : RESULT_OK;
}

/* Standard input, checked, to the file. */
static enum result
take_in(struct outbound *o, const struct config *config, struct arena *arena,
    struct why *why)
{
    int64_t deadline = clock_now_ms() + READ_MS;
    struct stream *in = stream_new(STDIN_FILENO);
    struct drop_reader reader;
    struct envelope env;
    uint64_t size = 0;
    struct slice octets = { "", 1 };
    struct buf out;
    enum result res;

    buf_init(&out, OUT_MAX);
    res = drop_read_head(&reader, in, deadline, arena, &env, why);
    if (res == RESULT_OK)
        res = drop_sanitize(&env, why);
    if (res == RESULT_OK)
        res = login_sender_check(config, getuid(), env.sender, why);
    if (res == RESULT_OK) {
        env.drop_file = slice_of(o->name);
        drop_put_head(&env, &out);
    }
    while (res == RESULT_OK && octets.len > 0) {
        res = drop_read_content(&reader, deadline, &octets, why);
        size += octets.len;
        if (res == RESULT_OK)
            res = check_size(config, size, why);
        if (res == RESULT_OK) {
            drop_put_content(octets, &out);
            res = outbound_write(o, &out, why);
        }
    }
    drop_put_end(&out);
    if (res == RESULT_OK)
        res = buf_failed(&out) ? why_temp(why, "4.3.1", "no memory")
                               : outbound_write(o, &out, why);
    buf_fini(&out);
    stream_free(in);
    return res;
}

static enum result
pass_on(struct outbound *o, const struct config *config, struct why *why)
{
    struct drop_answer answer;

    switch (outbound_hand_over(o, config, &answer)) {
    case OUTBOUND_TAKEN:
        break;
    case OUTBOUND_REFUSED:
        *why = answer.why;
        outbound_remove(o);
        return RESULT_PERMFAIL;
    case OUTBOUND_UNKNOWN:
        return outbound_keep(o, config, why);
    }
    outbound_remove(o);
    return RESULT_OK;
}

static enum result
drop(const struct config *config, struct why *why)
{
    struct outbound o;
    struct arena arena;
    enum result res;

    res = user_access_check(config, config->authorized_submit_users, getuid(),
        "submit mail", why);
    if (res != RESULT_OK)
        return res;
    res = outbound_create(config, &o, why);
    if (res != RESULT_OK)
        return res;
    arena_init(&arena, DROP_ARENA_MAX);
    res = take_in(&o, config, &arena, why);
    arena_clear(&arena);
    if (res == RESULT_OK)
        res = pass_on(&o, config, why);
    if (res != RESULT_OK)
        outbound_remove(&o);
    return res;
}

int
main(int argc, char **argv)
{
    const char *config_dir = getenv("MAIL_CONFIG");
    struct config_set *set;
    struct why why;
    int option;

    command_hold_descriptors();
    log_set_tag("postdrop");
    while ((option = getopt(argc, argv, "c:rv")) >= 0) {
        if (option == 'c')
            config_dir = optarg;
        else if (option != 'r' && option != 'v')
            usage();
    }
    if (argv[optind] != NULL)
        usage();
    (void)umask(022);
    clear_environment(config_dir);
    set = read_configuration(config_dir == NULL ? NULL : getenv("MAIL_CONFIG"));
    check(drop(config_main(set), &why), &why);
    config_drop(set);
    return EX_OK;
}
