/*
 * Mail of local users: at the socket, and from files in maildrop/.
 */
#include "smtpd/pickup.h"

#include "lib/mail/drop.h"
#include "tests/unit/smtpd_world.h"

#include <dirent.h>

static const struct recipient one = { .address = { "u1@v.test", 9 },
    .notify = NOTIFY_FAILURE };

static struct envelope
envelope_of(const char *drop_file)
{
    return (struct envelope){
        .sender = slice_of("joe"),
        .sender_name = slice_of("Joe"),
        .drop_file = slice_of(drop_file),
        .client_addr = slice_of("1.2.3.4"), /* nobody may say so */
        .flags = ENVELOPE_NO_MAPPING | ENVELOPE_8BIT,
        .recipients = (struct recipient *)(uintptr_t)&one,
        .recipient_count = 1,
    };
}

static void
make_drop(const char *drop_file, const char *content, struct buf *to)
{
    struct envelope env = envelope_of(drop_file);

    buf_init(to, 1 << 20);
    drop_put_head(&env, to);
    drop_put_content(slice_of(content), to);
    drop_put_end(to);
}

static void
own_name(char name[DROP_NAME_MAX])
{
    drop_name(getuid(), name);
    assert_true(drop_name_is_valid(slice_of(name), getuid()));
}

/* The socket */

static void
serve_main(void *arg)
{
    const int *fd = arg;

    pickup_serve(*fd, world.set);
}

static struct drop_answer
hand_over(struct slice octets)
{
    struct drop_answer answer = { .result = RESULT_PERMFAIL };
    struct stream *st;
    int fds[2];

    assert_int_equal(sock_pair(fds), 0);
    (void)spawn(serve_main, &fds[1]);
    settle();
    while (octets.len > 0) {
        ssize_t n = write(fds[0], octets.ptr, octets.len);

        settle();
        if (n < 0)
            break;
        octets = slice_skip(octets, (size_t)n);
    }
    (void)shutdown(fds[0], SHUT_WR);
    settle();
    st = stream_new(fds[0]);
    if (!drop_read_answer(st, clock_now_ms(), &answer))
        answer.id[0] = '?';
    stream_free(st);
    settle();
    return answer;
}

static void
test_socket(void **state)
{
    char name[DROP_NAME_MAX], *log;
    struct drop_answer answer;
    struct buf drop;

    (void)state;
    world_open("");
    own_name(name);
    make_drop(name, "Subject: x\n\n.\nhi\r\nyou\rthere", &drop);
    answer = hand_over(buf_slice(&drop));
    assert_int_equal(answer.result, RESULT_OK);
    assert_int_equal(world.submitted, 1);
    /* 2: 8BIT; 8: from this machine. What he may not say is gone. */
    assert_string_equal(buf_text(&world.envelope),
        "from=joe@mx.test flags=14 ret=0 envid= to=u1@v.test,4,");
    assert_string_equal(buf_text(&world.body), ".\r\nhi\r\nyou there\r\n");
    assert_non_null(strstr(buf_text(&world.header), "From: Joe <joe@mx.test>"));
    assert_non_null(strstr(buf_text(&world.header), ", from userid "));
    log = mem_format("*: uid=%u from=<joe>", getuid());
    world_expect_log(slice_of(log));
    mem_free(log);
    buf_fini(&drop);
    world_close();
}

/* Cut off anywhere it is no message; nothing is submitted. */
static void
test_truncated(void **state)
{
    char name[DROP_NAME_MAX];
    struct buf drop;

    (void)state;
    world_open("");
    own_name(name);
    make_drop(name, "Subject: x\n\nhi\n", &drop);
    for (size_t len = 1; len < drop.len; len++) {
        struct drop_answer answer = hand_over(
            slice_head(buf_slice(&drop), len));

        assert_int_equal(answer.result, RESULT_PERMFAIL);
    }
    assert_int_equal(world.submitted, 0);
    buf_fini(&drop);
    world_close();
}

static void
test_refused(void **state)
{
    char name[DROP_NAME_MAX];
    struct drop_answer answer;
    struct buf drop;

    (void)state;
    world_open("authorized_submit_users = !static:all\n"
               "message_size_limit = 100\n");
    /* The name of another user's file. */
    drop_name(getuid() + 1, name);
    make_drop(name, "x\n", &drop);
    answer = hand_over(buf_slice(&drop));
    assert_int_equal(answer.result, RESULT_PERMFAIL);
    buf_fini(&drop);
    /* Too large: clean-up's word. */
    if (getuid() == 0) { /* whom authorized_submit_users does not concern */
        own_name(name);
        make_drop(name,
            "0123456789012345678901234567890123456789012345678901234567890123\n"
            "0123456789012345678901234567890123456789012345678901234567890\n",
            &drop);
        answer = hand_over(buf_slice(&drop));
        assert_int_equal(answer.result, RESULT_PERMFAIL);
        assert_string_equal(answer.why.status, "5.3.4");
        buf_fini(&drop);
    }
    assert_int_equal(world.submitted, 0);
    world_close();
}

static void
test_garbage(void **state)
{
    struct drop_answer answer;

    (void)state;
    world_open("");
    answer = hand_over(SLICE_LIT("GET / HTTP/1.0\r\n\r\n"));
    assert_int_equal(answer.result, RESULT_PERMFAIL);
    answer = hand_over(SLICE_LIT("PSTNDRP1\xff\xff\xff\xff"));
    assert_int_equal(answer.result, RESULT_PERMFAIL);
    world_close();
}

/* Nobody waits for ever for one who does not go on. */
static void
test_slow_user(void **state)
{
    struct drop_answer answer;
    struct stream *st;
    int fds[2];

    (void)state;
    world_open("");
    assert_int_equal(sock_pair(fds), 0);
    (void)spawn(serve_main, &fds[1]);
    settle();
    assert_int_equal(write(fds[0], "PSTN", 4), 4);
    settle();
    advance(200 * 1000);
    st = stream_new(fds[0]);
    assert_true(drop_read_answer(st, clock_now_ms(), &answer));
    assert_int_equal(answer.result, RESULT_TEMPFAIL);
    stream_free(st);
    world_close();
}

/* The directory */

static char *maildrop;

static void
open_maildrop(const char *config)
{
    char *all;

    tables_init();
    maildrop = tables_path("maildrop");
    assert_int_equal(mkdir(maildrop, 0700), 0);
    all = mem_format("queue_directory = %s\n%s", tables_dir, config);
    world_open(all);
    mem_free(all);
}

static void
close_maildrop(void)
{
    world_close();
    mem_free(maildrop);
    tables_fini();
}

static void
put_file(const char *name, struct slice octets)
{
    char *path = mem_format("%s/%s", maildrop, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);

    assert_int_equal(write(fd, octets.ptr, octets.len), octets.len);
    close(fd);
    mem_free(path);
}

/* Names in maildrop/ that begin with prefix. */
static unsigned
count_files(const char *prefix)
{
    DIR *dir = opendir(maildrop);
    struct dirent *e;
    unsigned n = 0;

    while ((e = readdir(dir)) != NULL)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            slice_starts(slice_of(e->d_name), slice_of(prefix));
    closedir(dir);
    return n;
}

/* A connection without a message: look. */
static void
call(void)
{
    int fds[2];

    assert_int_equal(sock_pair(fds), 0);
    close(fds[0]);
    (void)spawn(serve_main, &fds[1]);
    settle();
}

static void
test_files(void **state)
{
    char name[DROP_NAME_MAX], other[DROP_NAME_MAX];
    struct buf drop;

    (void)state;
    open_maildrop("");
    own_name(name);
    make_drop("1-forged", "Subject: x\n\nhi\n", &drop);
    put_file(name, buf_slice(&drop));
    put_file(".tmp-0-1", buf_slice(&drop));
    put_file("not-ours", buf_slice(&drop));
    call();
    assert_int_equal(world.submitted, 1);
    assert_string_equal(buf_text(&world.body), "hi\r\n");
    assert_int_equal(count_files(name), 0);
    assert_int_equal(count_files(".tmp-0-1"), 1); /* may still be written */
    assert_int_equal(count_files("not-ours"), 1);

    /* What is no message is kept, but not looked at again. */
    own_name(other);
    put_file(other, slice_head(buf_slice(&drop), drop.len - 1));
    call();
    assert_int_equal(count_files(other), 0);
    assert_int_equal(count_files(".refused-"), 1);
    call();
    assert_int_equal(world.submitted, 1);
    assert_int_equal(count_files(".refused-"), 1);
    buf_fini(&drop);
    close_maildrop();
}

/* The disk is full: the file waits. */
static void
test_file_waits(void **state)
{
    char name[DROP_NAME_MAX];
    struct buf drop;

    (void)state;
    open_maildrop("");
    own_name(name);
    make_drop("", "Subject: x\n\nhi\n", &drop);
    put_file(name, buf_slice(&drop));
    world.answer = RESULT_TEMPFAIL;
    world.status = "4.3.1";
    call();
    assert_int_equal(world.submitted, 1);
    assert_int_equal(count_files(name), 1);
    world.answer = RESULT_OK;
    call();
    assert_int_equal(world.submitted, 2);
    assert_int_equal(count_files(name), 0);
    buf_fini(&drop);
    close_maildrop();
}

static void
test_names(void **state)
{
    static const struct {
        const char *name;
        uid_t uid;
        bool valid;
    } cases[] = {
        { "7-abc", 7, true },
        { "7-660d-12", 7, true },
        { "8-abc", 7, false },
        { "7-", 7, false },
        { "7", 7, false },
        { "-abc", 7, false },
        { "7-ab/c", 7, false },
        { "7-..", 7, false },
        { ".7-abc", 7, false },
        { "", 7, false },
        { "7-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
          "aaaaaaaaaaaaaaaaaaaa",
            7, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(drop_name_is_valid(slice_of(cases[i].name),
                             cases[i].uid),
            cases[i].valid);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_socket),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_slow_user),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_file_waits),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
