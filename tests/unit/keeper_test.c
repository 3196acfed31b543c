/* Whom the keeper makes, and whom it does not. */
#include "local/keeper.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "local/mailbox.h"

#include <dirent.h>
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { MINIMUM = 100, OWNER = 4321, NAMED_GID = 8, WAIT_MS = 20000 };

#define NO_UID ((uid_t)-1)
#define NO_GID ((gid_t)-1)

static char base[64];

static int
setup(void **state)
{
    (void)state;
    (void)snprintf(base, sizeof(base), "/tmp/keeper-XXXXXX");
    return mkdtemp(base) == NULL || chmod(base, 01777) < 0 ? -1 : 0;
}

static int
teardown(void **state)
{
    char *command = mem_format("rm -rf %s", base);
    int res = system(command); /* NOLINT: a name that we made */

    (void)state;
    mem_free(command);
    return res;
}

static int
start(void)
{
    const struct keeper_limits limits = { .minimum = MINIMUM,
        .queue_owner = OWNER,
        .spool_group = NO_GID,
        .gids = { NAMED_GID },
        .gid_count = 1 };
    int keeper = keeper_start();

    assert_true(keeper >= 0);
    keeper_limit(keeper, &limits);
    return keeper;
}

/* Has the worker at fd store a message; false: there is none. */
static bool
store(int fd, const char *path)
{
    struct mailbox_store s = { .kind = MAILBOX_MBOX,
        .path = slice_of(path),
        .content = { .header = SLICE_LIT("Subject: x\r\n"), .fd = -1 } };
    int64_t deadline = clock_now_ms() + WAIT_MS;
    struct msg_in *answer;
    enum result res;
    struct why why;
    struct msg m;

    mailbox_store_encode(&s, &m);
    if (wire_send(fd, &m, 1, deadline, &why) != RESULT_OK ||
        wire_recv(fd, deadline, &answer, &why) != RESULT_OK)
        return false;
    res = mailbox_stored_decode(answer->body, &why);
    msg_in_free(answer);
    return res == RESULT_OK;
}

/* The uid under which a worker for user writes; NO_UID: none was made. */
static uid_t
act_as(int keeper, const struct keeper_user *user)
{
    static unsigned serial;
    char *path = mem_format("%s/box%u", base, serial++);
    uid_t uid = NO_UID;
    struct stat st;
    struct why why;
    int fd;

    assert_int_equal(keeper_worker(keeper, user, &fd, &why), RESULT_OK);
    if (store(fd, path) && lstat(path, &st) == 0)
        uid = st.st_uid;
    close(fd);
    mem_free(path);
    return uid;
}

static const struct {
    const char *name;
    struct keeper_user user;
    uid_t want;
} cases[] = {
    { "an ordinary user", { "", 5000, 5000 }, 5000 },
    { "a group that main.cf names", { "", 5000, NAMED_GID }, 5000 },
    { "root", { "", 0, 5000 }, NO_UID },
    { "root's group", { "", 5000, 0 }, NO_UID },
    { "below the minimum", { "", MINIMUM - 1, 5000 }, NO_UID },
    { "a group of the system", { "", 5000, 6 }, NO_UID },
    { "the owner of the queue", { "", OWNER, 5000 }, NO_UID },
    { "root stays root", { "", NO_UID, 5000 }, NO_UID },
    { "root's group stays", { "", 5000, NO_GID }, NO_UID },
    { "both stay", { "", NO_UID, NO_GID }, NO_UID },
    { "root by name", { "root", 5000, 5000 }, NO_UID },
    { "no such name", { "no-such-user-here", 5000, 5000 }, NO_UID },
};

static void
test_identities(void **state)
{
    int keeper;

    (void)state;
    if (geteuid() != 0)
        skip();
    keeper = start();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uid_t got = act_as(keeper, &cases[i].user);

        if (got != cases[i].want)
            fail_msg("%s: acts as %ld, not %ld", cases[i].name, (long)got,
                (long)cases[i].want);
    }
    close(keeper);
}

static void
test_by_name(void **state)
{
    struct keeper_user user = { .name = "nobody" };
    struct passwd *pw = getpwnam(user.name);
    int keeper;

    (void)state;
    if (geteuid() != 0 || pw == NULL) {
        skip();
        return;
    }
    keeper = start();
    assert_int_equal(act_as(keeper, &user), pw->pw_uid);
    close(keeper);
}

/* Mail has been read since: the brain may not be what it was. */
static void
test_limits_stay(void **state)
{
    const struct keeper_limits none = { .queue_owner = NO_UID };
    const struct keeper_user low = { .uid = MINIMUM - 1, .gid = 5000 };
    const struct keeper_user owner = { .uid = OWNER, .gid = 5000 };
    int keeper;

    (void)state;
    if (geteuid() != 0)
        skip();
    keeper = start();
    keeper_limit(keeper, &none);
    assert_int_equal(act_as(keeper, &low), NO_UID);
    assert_int_equal(act_as(keeper, &owner), NO_UID);
    close(keeper);
}

static void
test_no_limits_no_worker(void **state)
{
    const struct keeper_user user = { .uid = 5000, .gid = 5000 };
    int keeper = keeper_start();

    (void)state;
    assert_true(keeper >= 0);
    assert_int_equal(act_as(keeper, &user), NO_UID);
    close(keeper);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identities),
        cmocka_unit_test(test_by_name),
        cmocka_unit_test(test_limits_stay),
        cmocka_unit_test(test_no_limits_no_worker),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
