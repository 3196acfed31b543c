#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/io/fiber.h"
#include "lib/table/expression.h"
#include "lib/table/file_watch.h"
#include "lib/table/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

/* It wants what stands above. */
#include "tests/unit/open_tables.h"

/* Every warning of the present case, one per line. */
static struct buf warnings;

static void
keep_warning(void *context, enum log_level level, const char *tag,
    struct slice line)
{
    (void)context;
    (void)level;
    (void)tag;
    buf_add(&warnings, line);
    buf_add_octet(&warnings, '\n');
}

struct question {
    const char *key, *want;
};

/*
 * What Postfix 3.7 finds in the same files; tests/system/test_tables.py asks it
 * itself where it is at hand.
 */
static const struct {
    const char *name, *types, *file;
    struct question asked[6];
    const char *warned; /* part of what was said; NULL: nothing */
} cases[] = {
    { "groups", "pcre regexp", "/(a)|(b)/ [$1][${2}]$$\n",
        { { "a", "[a][]$" }, { "xB", "[][B]$" }, { "c", "-" } } },
    { "parentheses", "pcre regexp", "/^(.*)-out@(.*)/ Use $(1)@${2} now\n",
        { { "l-out@d", "Use l@d now" } } },
    { "case", "pcre regexp", "/abc/ fold\n/Xyz/i exact\n",
        { { "ABC", "fold" }, { "Xyz", "exact" }, { "xyz", "-" } } },
    { "lines", "pcre regexp", "/^b$/m line\n/^c$/ whole\n",
        { { "a\nb", "line" }, { "a\nc", "-" }, { "c", "whole" } } },
    { "not", "pcre regexp", "!/x/ no x\n! !/x/ twice not\n",
        { { "a", "no x" }, { "x", "twice not" } } },
    { "delimiters", "pcre regexp", "/a\\/b/ 1\n|c\\|d| 2\n-e- 3\n\"f\" 4\n",
        { { "a/b", "1" }, { "c|d", "2" }, { "e", "3" }, { "f", "4" } } },
    { "nested", "pcre regexp",
        "if !/a/\nIf /b/\n/./ b\nendIF\n/./ neither\nendif\n/./ rest\n",
        { { "a", "rest" }, { "b", "b" }, { "c", "neither" } } },
    { "tight if", "pcre regexp", "if/a/\n/b/ x\nendif\n",
        { { "ab", "x" }, { "b", "-" } } },
    { "continued", "pcre regexp", "# all\n/a/ one\n\n  # of\n  two\n",
        { { "a", "one  two" } } },
    { "first", "pcre regexp", "/a/ first\n/a/ second\n", { { "a", "first" } } },
    { "unset group", "pcre regexp", "/(x)?y/ <$1>\n",
        { { "y", "<>" }, { "xy", "<x>" } } },
    { "negated dollar", "pcre regexp", "!/x/ a$$1\n", { { "y", "a$1" } } },
    { "whole subject", "pcre regexp", "/^user@example\\.com$/ u\n",
        { { "user@example.com", "u" }, { "example.com", "-" } } },
    { "no text", "pcre regexp", "/a/\n", { { "a", "" } },
        "line 1: no replacement text: using empty string" },
    { "bad option", "pcre regexp", "/a/q x\n/a/ y\n", { { "a", "y" } },
        "line 1: unknown regexp option \"q\": skipping this rule" },
    { "bad pattern", "pcre", "/a(/ x\n/a/ y\n", { { "a", "y" } },
        "line 1: error in regex at offset 2: missing closing parenthesis" },
    { "bad pattern", "regexp", "/a(/ x\n/a/ y\n", { { "a", "y" } },
        "line 1: Unmatched ( or \\(" },
    { "open pattern", "pcre", "/a x\n/a/ y\n", { { "a", "y" } },
        "line 1: no closing regexp delimiter \"/\": ignoring this rule" },
    { "open pattern", "regexp", "/a x\n/a/ y\n", { { "a", "y" } },
        "line 1: no closing regexp delimiter \"/\": skipping this rule" },
    { "escaped end", "pcre regexp", "/a\\/\n/a/ y\n", { { "a", "y" } },
        "no closing regexp delimiter" },
    { "index 0", "pcre regexp", "/a/ $0\n/a/ y\n", { { "a", "y" } },
        "out of range replacement index \"0\"" },
    { "index too large", "pcre regexp", "/(a)/ $2\n/a/ y\n", { { "a", "y" } },
        "out of range replacement index \"2\": skipping this rule" },
    { "index of nothing", "pcre regexp", "/(a)/ ${100}\n/a/ y\n",
        { { "a", "y" } }, "out of range replacement index \"100\"" },
    { "name", "pcre regexp", "/(a)/ $x\n/a/ y\n", { { "a", "y" } },
        "non-numeric replacement index \"x\": bad replacement syntax" },
    { "open brace", "pcre regexp", "/(a)/ ${1\n/a/ y\n", { { "a", "y" } },
        "truncated macro reference: \"${1\"" },
    { "lone dollar", "pcre regexp", "/(a)/ 5$\n/a/ y\n", { { "a", "y" } },
        "empty macro name: \"$\"" },
    { "dollar of not", "pcre regexp", "!/(b)/ $1\n/a/ y\n", { { "a", "y" } },
        "$number found in negative match replacement text" },
    { "stray endif", "pcre regexp", "endif\n/a/ y\n", { { "a", "y" } },
        "line 1: ignoring ENDIF without matching IF" },
    { "open if", "pcre regexp", "/a/ y\nif /b/\n/./ z\n",
        { { "a", "y" }, { "b", "z" }, { "c", "-" } },
        "line 2: IF has no matching ENDIF" },
    { "if without", "pcre regexp", "if\nendif\n/a/ y\n", { { "a", "y" } },
        "line 1: no regexp: skipping this rule" },
    { "more than if", "pcre regexp", "if /a/ x\n/./ y\nendif z\n",
        { { "a", "y" }, { "b", "-" } },
        "extra text after IF statement: \"x\"" },
    { "word", "pcre regexp", "ifx /a/ x\nfoo\n/a/ y\n", { { "a", "y" } },
        "line 2: ignoring unrecognized request" },
    { "stray blank", "pcre regexp", " /a/ x\n/a/ y\n", { { "a", "y" } },
        "logical line must not start with whitespace" },
    { "basic syntax", "regexp", "/a\\{2\\}/x basic\n/b{2}/ extended\n",
        { { "aa", "basic" }, { "bb", "extended" }, { "a", "-" } } },
    { "pcre options", "pcre",
        "/a.b/s line\n/A b/x tight\n/^c/mA anchored\n/d$/E end\n",
        { { "a\nb", "-" }, { "axb", "line" }, { "AB", "tight" },
            { "x\nc", "-" }, { "d\n", "-" }, { "d", "end" } } },
    { "ungreedy", "pcre", "/a(.*)b/U $1|\n", { { "a1b2b", "1|" } } },
    { "look around", "pcre", "/^(?!owner-)(.*)-out$/ $1\n",
        { { "x-out", "x" }, { "owner-x-out", "-" } } },
    { "old option", "pcre", "/a/X y\n", { { "a", "y" } },
        "ignoring obsolete regexp option \"X\"" },
    { "nets", "cidr", "10.0.0.0/8 ten\n!192.168.0.0/16 far\n::/0 six\n",
        { { "10.1.2.3", "ten" }, { "192.168.1.1", "-" }, { "1.2.3.4", "far" },
            { "::1", "six" }, { "::ffff:10.1.1.1", "six" },
            { "x.org", "-" } } },
    { "brackets", "cidr",
        "[10.0.0.0]/8 a\n[11.0.0.0/8] b\n[2001:db8::]/32 c\n[::1] d\n",
        { { "10.0.0.1", "a" }, { "11.1.1.1", "b" }, { "2001:DB8:0::9", "c" },
            { "::1", "d" }, { "[::1]", "-" }, { "IPv6:::1", "-" } } },
    { "cidr if", "cidr",
        "if 10.0.0.0/8\n10.1.0.0/16 a $1\n!10.2.0.0/16 b\nendif\n"
        "if !10.0.0.0/8\n0.0.0.0/0 out\nendif\n",
        { { "10.1.0.1", "a $1" }, { "10.2.0.1", "-" }, { "10.3.0.1", "b" },
            { "9.9.9.9", "out" }, { "::1", "-" } } },
    { "host bits", "cidr", "10.0.0.1/8 x\n10.0.0.0/8 y\n",
        { { "10.0.0.1", "y" } },
        "line 1: non-null host address bits in \"10.0.0.1/8\", perhaps you "
        "should use \"10.0.0.0/8\" instead: skipping this rule" },
    { "length", "cidr", "10.0.0.0/33 x\n0.0.0.0/0 y\n", { { "10.0.0.1", "y" } },
        "bad mask length in \"10.0.0.0/33\": skipping this rule" },
    { "no address", "cidr", "example.org x\n0.0.0.0/0 y\n",
        { { "10.0.0.1", "y" } },
        "bad address pattern: \"example.org\": skipping this rule" },
    { "no result", "cidr", "10.0.0.0/8\n0.0.0.0/0 y\n", { { "10.0.0.1", "y" } },
        "no lookup result: skipping this rule" },
    { "cidr stray endif", "cidr", "endif\nif\n0.0.0.0/0 y\n",
        { { "10.0.0.1", "y" } }, "line 1: ENDIF without IF" },
    { "cidr open if", "cidr", "if 10.0.0.0/8\n0.0.0.0/0 y\nendif x\n",
        { { "10.0.0.1", "y" }, { "9.9.9.9", "-" } },
        "line 1: IF has no matching ENDIF" },
};

static void
run_case(size_t i, const char *type)
{
    char *path = tables_path("rules");
    char *spec = mem_format("%s:%s", type, path);
    struct table *t;

    print_message("  %s: %s\n", type, cases[i].name);
    tables_write(path, cases[i].file);
    buf_clear(&warnings);
    t = tables_open(spec);
    for (const struct question *q = cases[i].asked; q->key != NULL; q++)
        assert_string_equal(tables_ask(t, q->key), q->want);
    if (cases[i].warned == NULL)
        assert_string_equal(buf_text(&warnings), "");
    else if (strstr(buf_text(&warnings), cases[i].warned) == NULL)
        fail_msg("said: %s", buf_text(&warnings));
    table_close(t);
    mem_free(spec);
    mem_free(path);
}

static void
test_cases(void **state)
{
    static const char *const types[] = { "cidr", "regexp", "pcre" };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (size_t k = 0; k < 3; k++)
            if (strstr(cases[i].types, types[k]) != NULL &&
                tables_built(types[k]))
                run_case(i, types[k]);
}

static const struct {
    const char *spec, *key, *want;
} literals[] = {
    { "regexp:{{if /a/}, {/a(.)/ z $1}, {endif}}", "ax", "z x" },
    { "regexp:{ { /a/ {x} } }", "a", "{x}" },
    { "cidr:{{1.2.3.4 foo}, {0.0.0.0/0 bar}}", "1.2.3.4", "foo" },
    { "cidr:{}", "1.2.3.4", "-" },
    { "unionmap:{regexp:{{/a/ x}},static:y}", "a", "x,y" },
    { "debug:regexp:{{/A/ x}}", "a", "x" },
    { "debug:{inline:{a=x}}", "A", "x" },
    { "internal:x", "a", "-" },
};

static void
test_literals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(literals) / sizeof(literals[0]); i++) {
        struct table *t = tables_open(literals[i].spec);

        print_message("  %s\n", literals[i].spec);
        assert_string_equal(tables_ask(t, literals[i].key), literals[i].want);
        table_close(t);
    }
}

static void
refuse(const char *spec, unsigned flags, const char *want)
{
    struct table *t;
    struct why why;

    assert_int_equal(table_open_with(slice_of(spec), flags, tables_main(), &t,
                         &why),
        RESULT_PERMFAIL);
    assert_string_equal(why.text, want);
}

static void
test_refused(void **state)
{
    (void)state;
    refuse("cidr:{1.2.3.4 x", 0, "cidr map: missing '}' in \"{1.2.3.4 x\"");
    refuse("regexp:{ /a/ x }", 0,
        "regexp map: no '{' at start of text in \"/a/\"");
    refuse("regexp:", 0, "regexp:: no file name");
    if (!tables_built("pcre"))
        refuse("pcre:x", 0, "unsupported dictionary type: pcre");
    if (!tables_built("lmdb"))
        refuse("lmdb:x", 0, "unsupported dictionary type: lmdb");
}

/* Where answers give rights, no part of the key gets into them. */
static void
test_no_substitution(void **state)
{
    const char *spec = "regexp:{{/(a)x/ $$$1}, {/a/ plain $$}}";
    struct table *safe, *open;

    (void)state;
    buf_clear(&warnings);
    safe = tables_open_with(spec, TABLE_NO_SUBSTITUTION);
    assert_non_null(strstr(buf_text(&warnings),
        "line 1: regular expression substitution is not allowed: "
        "skipping this rule"));
    open = tables_open(spec);
    assert_ptr_not_equal(safe, open);
    assert_string_equal(tables_ask(safe, "ax"), "plain $");
    assert_string_equal(tables_ask(open, "ax"), "$a");
    table_close(safe);
    table_close(open);
    /* In tables of tables too. */
    safe = tables_open_with("unionmap:{regexp:{{/(a)x/ $1}}}",
        TABLE_NO_SUBSTITUTION);
    assert_string_equal(tables_ask(safe, "ax"), "-");
    table_close(safe);
}

static void
test_octets(void **state)
{
    struct table *t = tables_open("regexp:{{/^a/ a}, {/c$/ c}}");
    const struct slice with_nul = { "b\0c", 3 };
    char *large = mem_alloc(EXPRESSION_SUBJECT_MAX + 2);

    (void)state;
    assert_string_equal(tables_ask(t, ""), "-");
    assert_string_equal(tables_ask_for(t, with_nul), "c");
    memset(large, 'x', EXPRESSION_SUBJECT_MAX + 1);
    assert_int_equal(tables_ask(t, large)[0], '!');
    large[EXPRESSION_SUBJECT_MAX] = '\0';
    assert_string_equal(tables_ask(t, large), "-");
    mem_free(large);
    table_close(t);
}

/* A subject that makes matching endless is an error, and soon. */
static void
test_backtracking(void **state)
{
    char subject[4001];
    int64_t before = clock_now_ms();
    struct table *t;

    (void)state;
    if (!tables_built("pcre"))
        skip();
    t = tables_open("pcre:{{/^(a+)+$/ x}}");
    memset(subject, 'a', sizeof(subject) - 1);
    subject[sizeof(subject) - 2] = 'b';
    subject[sizeof(subject) - 1] = '\0';
    assert_non_null(strstr(tables_ask(t, subject),
        "!pcre map {{/^(a+)+$/ x}}, line 1: backtracking limit exceeded"));
    assert_in_range(clock_now_ms() - before, 0, 5000);
    table_close(t);
}

/* On a fiber's small stack, with what recurses deeply. */
static void
match_deep(void *arg)
{
    struct table *t = arg;
    char *subject = mem_alloc(100001);

    memset(subject, 'a', 100000);
    (void)tables_ask(t, subject); /* keeps what it found */
    mem_free(subject);
}

static void
test_fiber(void **state)
{
    struct table *t = tables_open("regexp:{{/^((a|b)(a|b))*$/ x}}");

    (void)state;
    sched_open();
    assert_non_null(fiber_spawn("match", match_deep, t));
    sched_run();
    sched_close();
    assert_string_equal(tables_said, "x");
    table_close(t);
}

/* Read again when it changes; what was read stays when it goes. */
static void
test_changed(void **state)
{
    char *path = tables_path("changing"), *spec = mem_format("regexp:%s", path);
    struct table *t = tables_open(spec);

    (void)state;
    clock_set(1000, 1000000);
    assert_non_null(strstr(tables_ask(t, "a"), " is unavailable. open "));
    tables_write(path, "/a/ one\n");
    assert_string_equal(tables_ask(t, "a"), "one");
    tables_write(path, "/a/ twenty\n");
    assert_string_equal(tables_ask(t, "a"), "one");
    clock_advance_ms(FILE_WATCH_MS);
    assert_string_equal(tables_ask(t, "a"), "twenty");
    assert_int_equal(unlink(path), 0);
    clock_advance_ms(FILE_WATCH_MS);
    assert_string_equal(tables_ask(t, "a"), "twenty");
    clock_unset();
    table_close(t);
    mem_free(spec);
    mem_free(path);
}

/* What the second fiber found while the first one had the file read. */
static char found_first[100], found_meanwhile[100];
static bool first_is_done;

static void
ask_first(void *table)
{
    (void)snprintf(found_first, sizeof(found_first), "%s",
        tables_ask(table, "user1"));
    first_is_done = true;
}

static void
ask_last(void *table)
{
    (void)snprintf(found_first, sizeof(found_first), "%s",
        tables_ask(table, "user1999"));
    first_is_done = true;
}

static void
ask_meanwhile(void *table)
{
    if (first_is_done)
        return;
    (void)snprintf(found_meanwhile, sizeof(found_meanwhile), "%s",
        tables_ask(table, "user1"));
}

static void
write_many(const char *path, const char *value)
{
    struct buf text;

    buf_init(&text, 1 << 20);
    for (unsigned i = 0; i < 2000; i++)
        buf_add_format(&text, "/^user%u$/ %s\n", i, value);
    tables_write(path, buf_text(&text));
    buf_fini(&text);
}

static void
ask_both(struct table *t, const char *first, const char *meanwhile)
{
    first_is_done = false;
    found_meanwhile[0] = '\0';
    sched_open();
    assert_non_null(fiber_spawn("first", ask_first, t));
    assert_non_null(fiber_spawn("meanwhile", ask_meanwhile, t));
    sched_run();
    sched_close();
    assert_true(first_is_done);
    assert_string_equal(found_first, first);
    assert_string_equal(found_meanwhile, meanwhile);
}

/* A search through many patterns lets others have their turn. */
static void
test_searching_delays_nobody(void **state)
{
    char *path = tables_path("long"), *spec = mem_format("regexp:%s", path);
    struct table *t = tables_open(spec);

    (void)state;
    write_many(path, "new");
    assert_string_equal(tables_ask(t, "user1999"), "new");
    first_is_done = false;
    found_meanwhile[0] = '\0';
    sched_open();
    assert_non_null(fiber_spawn("long", ask_last, t));
    assert_non_null(fiber_spawn("meanwhile", ask_meanwhile, t));
    sched_run();
    sched_close();
    assert_string_equal(found_first, "new");
    assert_string_equal(found_meanwhile, "new");
    table_close(t);
    mem_free(spec);
    mem_free(path);
}

/* Others wait for the first reading; later they go on with what they have. */
static void
test_reading_delays_nobody(void **state)
{
    char *path = tables_path("many"), *spec = mem_format("regexp:%s", path);
    struct table *t = tables_open(spec);

    (void)state;
    clock_set(1000, 1000000);
    write_many(path, "new");
    ask_both(t, "new", "new");
    write_many(path, "newer");
    clock_advance_ms(FILE_WATCH_MS);
    ask_both(t, "newer", "new");
    clock_unset();
    table_close(t);
    mem_free(spec);
    mem_free(path);
}

static int
set_up(void **state)
{
    (void)state;
    (void)tables_begin("");
    buf_init(&warnings, 65536);
    log_set_sink(keep_warning, NULL, NULL);
    return 0;
}

static int
tear_down(void **state)
{
    log_set_sink(NULL, NULL, NULL);
    buf_fini(&warnings);
    return tables_tear_down(state);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_literals),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_no_substitution),
        cmocka_unit_test(test_octets),
        cmocka_unit_test(test_backtracking),
        cmocka_unit_test(test_fiber),
        cmocka_unit_test(test_changed),
        cmocka_unit_test(test_reading_delays_nobody),
        cmocka_unit_test(test_searching_delays_nobody),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
