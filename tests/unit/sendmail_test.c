/*
 * sendmail's command line, its standard input, and whom a message goes to.
 */
#include "cmd/sendmail/input.h"
#include "cmd/sendmail/options.h"
#include "cmd/sendmail/recipients.h"
#include "lib/base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

enum { ARENA_MAX = 1 << 20, WORDS_MAX = 16 };

static void
no_log(void *context, enum log_level level, const char *tag, struct slice line)
{
    (void)context;
    (void)level;
    (void)tag;
    (void)line;
}

static enum result
parse(char *line, struct sendmail_options *o, char **words)
{
    struct why why;
    size_t n = 0;

    for (char *w = strtok(line, " "); w != NULL; w = strtok(NULL, " "))
        words[n++] = w;
    words[n] = NULL;
    return sendmail_options_parse(words, o, &why);
}

static void
test_options(void **state)
{
    static const struct {
        const char *line;
        enum result want;
        enum sendmail_mode mode;
        const char *sender, *first;
    } cases[] = {
        { "sendmail a@b", RESULT_OK, MODE_SUBMIT, NULL, "a@b" },
        { "/usr/bin/mailq", RESULT_OK, MODE_LIST, NULL, NULL },
        { "newaliases", RESULT_OK, MODE_ALIASES, NULL, NULL },
        { "sendmail -bp", RESULT_OK, MODE_LIST, NULL, NULL },
        { "sendmail -bi", RESULT_OK, MODE_ALIASES, NULL, NULL },
        { "sendmail -I", RESULT_OK, MODE_ALIASES, NULL, NULL },
        { "sendmail -bs", RESULT_OK, MODE_SMTP, NULL, NULL },
        { "sendmail -b v x", RESULT_OK, MODE_VERIFY, NULL, "x" },
        { "sendmail -bd -q15m", RESULT_OK, MODE_DAEMON, NULL, NULL },
        { "sendmail -q", RESULT_OK, MODE_FLUSH, NULL, NULL },
        { "sendmail -qIabc", RESULT_OK, MODE_FLUSH, NULL, NULL },
        { "sendmail -qRs.test", RESULT_OK, MODE_FLUSH, NULL, NULL },
        { "sendmail -qRs.test -qIabc", RESULT_OK, MODE_FLUSH, NULL, NULL },
        { "sendmail -q15m", RESULT_OK, MODE_IGNORED, NULL, NULL },
        { "sendmail -q15m x", RESULT_OK, MODE_SUBMIT, NULL, "x" },
        { "sendmail -q15m -t", RESULT_OK, MODE_SUBMIT, NULL, NULL },
        { "sendmail -q15m -q", RESULT_OK, MODE_FLUSH, NULL, NULL },
        { "sendmail -fjoe x", RESULT_OK, MODE_SUBMIT, "joe", "x" },
        { "sendmail -r joe -oi -odb -o7 -oem -m -n -U -G -h 3 -L l -O a=b -X "
          "/x x",
            RESULT_OK, MODE_SUBMIT, "joe", "x" },
        { "sendmail -ti -f joe x", RESULT_OK, MODE_SUBMIT, "joe", "x" },
        { "sendmail -- -f", RESULT_OK, MODE_SUBMIT, NULL, "-f" },
        { "sendmail - x", RESULT_OK, MODE_SUBMIT, NULL, "-" },
        { "sendmail x -f y", RESULT_OK, MODE_SUBMIT, NULL, "x" },
        { "sendmail -N foo x", RESULT_OK, MODE_SUBMIT, NULL, "x" },
        { "sendmail -bx", RESULT_PERMFAIL },
        { "sendmail -B foo", RESULT_PERMFAIL },
        { "sendmail -qx", RESULT_PERMFAIL },
        { "sendmail -qSx", RESULT_PERMFAIL },
        { "sendmail -qI", RESULT_PERMFAIL },
        { "sendmail -qR", RESULT_PERMFAIL },
        { "sendmail -q -qRx", RESULT_PERMFAIL },
        { "sendmail -qRx -bp", RESULT_PERMFAIL },
        { "sendmail -t -qIx", RESULT_PERMFAIL },
        { "sendmail -XV", RESULT_PERMFAIL },
        { "sendmail -Z", RESULT_PERMFAIL },
        { "sendmail -f", RESULT_PERMFAIL },
    };

    (void)state;
    log_set_sink(no_log, NULL, NULL);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char line[256], *words[64];
        struct sendmail_options o;

        print_message("  %s\n", cases[i].line);
        (void)snprintf(line, sizeof(line), "%s", cases[i].line);
        assert_int_equal(parse(line, &o, words), cases[i].want);
        if (cases[i].want != RESULT_OK)
            continue;
        assert_int_equal(o.mode, cases[i].mode);
        if (cases[i].sender != NULL)
            assert_string_equal(o.sender, cases[i].sender);
        else
            assert_null(o.sender);
        if (cases[i].first != NULL)
            assert_string_equal(o.recipients[0], cases[i].first);
        else
            assert_null(o.recipients[0]);
    }
    log_set_sink(NULL, NULL, NULL);
}

static void
test_option_values(void **state)
{
    char line[] = "sendmail -ti -v -N success,delay -R hdrs -V xyz -F Joe "
                  "-B8BITMIME -C /etc/x a b";
    char *words[64];
    struct sendmail_options o;

    (void)state;
    assert_int_equal(parse(line, &o, words), RESULT_OK);
    assert_true(o.extract_recipients);
    assert_true(o.ignore_dots);
    assert_true(o.trace);
    assert_true(o.eight_bit);
    assert_int_equal(o.notify, NOTIFY_SUCCESS | NOTIFY_DELAY);
    assert_int_equal(o.ret, RET_HDRS);
    assert_string_equal(o.envid, "xyz");
    assert_string_equal(o.full_name, "Joe");
    assert_string_equal(o.config_dir, "/etc/x");
    assert_string_equal(o.recipients[1], "b");
    assert_null(o.recipients[2]);
}

static void
read_all(struct slice in, bool ignore_dots, struct buf *out)
{
    int fd = memfd_create("input", MFD_CLOEXEC);
    struct slice lines = { "", 1 };
    struct input input;
    struct why why;

    assert_int_equal(write(fd, in.ptr, in.len), in.len);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    input_init(&input, fd, ignore_dots);
    while (lines.len > 0) {
        assert_int_equal(input_next(&input, &lines, &why), RESULT_OK);
        buf_add(out, lines);
    }
    input_fini(&input);
    close(fd);
}

static void
test_input(void **state)
{
    static const struct {
        const char *in, *want, *with_dots;
    } cases[] = {
        { "", "", "" },
        { "a\n", "a\n", "a\n" },
        { "a", "a", "a" },
        { "a\n.\nb\n", "a\n", "a\n.\nb\n" },
        { "a\n.\r\nb\n", "a\n", "a\n.\r\nb\n" },
        { "a\n.", "a\n", "a\n." },
        { ".\nb\n", "", ".\nb\n" },
        { "a\n..\n.b\n. \n", "a\n..\n.b\n. \n", "a\n..\n.b\n. \n" },
        { "From joe Mon\nSubject: x\n\nFrom y\n", "Subject: x\n\nFrom y\n",
            "Subject: x\n\nFrom y\n" },
        { ">From joe Mon\nx\n", "x\n", "x\n" },
        { "From joe", "", "" },
    };
    struct buf out;

    (void)state;
    buf_init(&out, ARENA_MAX);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        print_message("  case %zu\n", i);
        buf_clear(&out);
        read_all(slice_of(cases[i].in), false, &out);
        assert_string_equal(buf_text(&out), cases[i].want);
        buf_clear(&out);
        read_all(slice_of(cases[i].in), true, &out);
        assert_string_equal(buf_text(&out), cases[i].with_dots);
    }
    buf_fini(&out);
}

/* A dot at the place where a line longer than the buffer is cut ends nothing. */
static void
test_long_lines(void **state)
{
    enum { LONG = 300000 };
    char *text = malloc(LONG + 8);
    struct buf out;

    (void)state;
    buf_init(&out, 2 * LONG);
    for (size_t dot = LONG - 200000; dot < LONG; dot += 32768) {
        memset(text, 'x', LONG);
        memcpy(text + LONG, "\n.\ny\n", 6);
        text[dot] = '.';
        text[65536] = text[131072] = '.';
        buf_clear(&out);
        read_all((struct slice){ text, LONG + 5 }, false, &out);
        assert_int_equal(out.len, LONG + 1);
        assert_memory_equal(out.ptr, text, out.len);
    }
    buf_fini(&out);
    free(text);
}

static void
show(const struct envelope *env, struct buf *out)
{
    buf_clear(out);
    for (size_t i = 0; i < env->recipient_count; i++)
        buf_add_format(out, SLICE_FMT ";",
            SLICE_ARG(env->recipients[i].address));
}

static void
test_header_recipients(void **state)
{
    static const struct {
        const char *in;
        size_t header;
        const char *want;
    } cases[] = {
        { "To: a@b, \"c d\" <e@f>\nSubject: x\n\nTo: no@no\n", 32, "a@b;e@f;" },
        { "to: a\nCC: b\nbcc: c\n\n", 19, "a;b;c;" },
        { "To: a\nResent-To: b,\n c\nBcc: d\n\n", 30, "b;c;" },
        { "Subject: x\n\n", 11, "" },
        { "To: a\nno header\nTo: b\n", 6, "a;" },
        { "To: a@b", 7, NULL }, /* the line is not yet there */
        { "To: undisclosed-recipients:;\n\n", 29, "" },
    };
    struct buf out;

    (void)state;
    buf_init(&out, ARENA_MAX);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct slice in = slice_of(cases[i].in);
        struct envelope env = { .id = 0 };
        struct arena arena;
        struct why why;

        print_message("  case %zu\n", i);
        arena_init(&arena, ARENA_MAX);
        assert_int_equal(recipients_header_length(in), cases[i].header);
        if (cases[i].want != NULL) {
            assert_int_equal(recipients_add_header(slice_head(in,
                                                       cases[i].header),
                                 0, 1000, &arena, &env, &why),
                RESULT_OK);
            show(&env, &out);
            assert_string_equal(buf_text(&out), cases[i].want);
        }
        arena_clear(&arena);
    }
    buf_fini(&out);
}

static void
test_argument_recipients(void **state)
{
    struct envelope env = { .id = 0 };
    struct slice one;
    struct arena arena;
    struct buf out;
    struct why why;

    (void)state;
    arena_init(&arena, ARENA_MAX);
    buf_init(&out, ARENA_MAX);
    assert_int_equal(recipients_add(SLICE_LIT("<a@b>"), NOTIFY_NEVER, 1000,
                         &arena, &env, &why),
        RESULT_OK);
    assert_int_equal(recipients_add(SLICE_LIT("c, Foo <d@e>"), 0, 1000, &arena,
                         &env, &why),
        RESULT_OK);
    show(&env, &out);
    assert_string_equal(buf_text(&out), "a@b;c;d@e;");
    assert_int_equal(env.recipients[0].notify, NOTIFY_NEVER);
    assert_int_equal(recipients_parse_one(SLICE_LIT("Foo Bar <x@y>"), &arena,
                         &one, &why),
        RESULT_OK);
    assert_true(slice_eq_text(one, "x@y"));
    assert_int_equal(recipients_parse_one(SLICE_LIT("<>"), &arena, &one, &why),
        RESULT_OK);
    assert_int_equal(one.len, 0);
    buf_fini(&out);
    arena_clear(&arena);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_option_values),
        cmocka_unit_test(test_input),
        cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_header_recipients),
        cmocka_unit_test(test_argument_recipients),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
