#include "lib/table/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

/* It wants what stands above. */
#include "tests/unit/open_tables.h"

enum style { EXACT, PARENT };
enum want { NO, YES, BAD };

static const struct {
    const char *list;
    enum match_kind kind;
    enum style style;
    const char *name, *address;
    enum want want;
} cases[] = {
    { "", MATCH_STRING, EXACT, "a", "", NO },
    { "example.com", MATCH_STRING, EXACT, "EXAMPLE.com", "", YES },
    { "example.com", MATCH_STRING, EXACT, "sub.example.com", "", NO },
    { "a, b c", MATCH_STRING, EXACT, "c", "", YES },
    { "!a, a", MATCH_STRING, EXACT, "a", "", NO },
    { "a, !a", MATCH_STRING, EXACT, "a", "", YES },
    { "!!a", MATCH_STRING, EXACT, "a", "", YES },
    { "!b, static:all", MATCH_STRING, EXACT, "b", "", NO },
    { "!b, static:all", MATCH_STRING, EXACT, "c", "", YES },
    { "!", MATCH_STRING, EXACT, "c", "", BAD },
    { "inline:{a=1}", MATCH_STRING, EXACT, "A", "", YES },
    { "inline:{a=1}", MATCH_STRING, EXACT, "b", "", NO },
    { "a, nosuch:x", MATCH_STRING, EXACT, "a", "", YES },
    { "a, nosuch:x", MATCH_STRING, EXACT, "b", "", BAD },
    { "fail:x, b", MATCH_STRING, EXACT, "b", "", BAD },
    { "/nonexistent/file", MATCH_STRING, EXACT, "b", "", BAD },

    { "example.com", MATCH_DOMAIN, PARENT, "a.b.example.com", "", YES },
    { "example.com", MATCH_DOMAIN, PARENT, "example.com", "", YES },
    { "example.com", MATCH_DOMAIN, PARENT, "notexample.com", "", NO },
    { "example.com", MATCH_DOMAIN, EXACT, "a.example.com", "", NO },
    { ".example.com", MATCH_DOMAIN, EXACT, "a.example.com", "", YES },
    { ".example.com", MATCH_DOMAIN, EXACT, "example.com", "", NO },
    { "inline:{example.com=1}", MATCH_DOMAIN, PARENT, "a.b.example.com", "",
        YES },
    { "inline:{example.com=1}", MATCH_DOMAIN, EXACT, "a.example.com", "", NO },
    { "inline:{.example.com=1}", MATCH_DOMAIN, EXACT, "a.b.example.com", "",
        YES },
    { "inline:{.example.com=1}", MATCH_DOMAIN, PARENT, "a.example.com", "",
        NO },
    { "!x.example.com, example.com", MATCH_DOMAIN, PARENT, "x.example.com", "",
        NO },
    { "example.com", MATCH_DOMAIN, PARENT, "", "", NO },

    { "192.0.2.1", MATCH_ADDRESS, EXACT, "192.0.2.1", "", YES },
    { "192.0.2.0/24", MATCH_ADDRESS, EXACT, "192.0.2.255", "", YES },
    { "192.0.2.0/24", MATCH_ADDRESS, EXACT, "192.0.3.0", "", NO },
    { "192.0.2.128/25", MATCH_ADDRESS, EXACT, "192.0.2.127", "", NO },
    { "0.0.0.0/0", MATCH_ADDRESS, EXACT, "203.0.113.9", "", YES },
    { "0.0.0.0/0", MATCH_ADDRESS, EXACT, "2001:db8::1", "", NO },
    { "[::1]", MATCH_ADDRESS, EXACT, "::1", "", YES },
    { "[::1]/128", MATCH_ADDRESS, EXACT, "0:0:0:0:0:0:0:1", "", YES },
    { "[2001:db8::]/32", MATCH_ADDRESS, EXACT, "2001:db8:ffff::1", "", YES },
    { "[2001:db8::]/32", MATCH_ADDRESS, EXACT, "2001:db9::1", "", NO },
    { "[2001:db8::]/33", MATCH_ADDRESS, EXACT, "2001:db8:8000::1", "", NO },
    { "192.0.2.1", MATCH_ADDRESS, EXACT, "::ffff:192.0.2.1", "", YES },
    { "192.0.2.1/24", MATCH_ADDRESS, EXACT, "192.0.2.1", "", BAD },
    { "192.0.2.0/33", MATCH_ADDRESS, EXACT, "192.0.2.1", "", BAD },
    { "192.0.2.0/x", MATCH_ADDRESS, EXACT, "192.0.2.1", "", BAD },
    { "2001:db8::1", MATCH_ADDRESS, EXACT, "2001:db8::1", "", BAD },
    { "!192.0.2.1, 192.0.2.0/24", MATCH_ADDRESS, EXACT, "192.0.2.1", "", NO },
    { "inline:{192.0.2.1=x}", MATCH_ADDRESS, EXACT, "192.0.2.1", "", YES },
    { "192.0.2.1", MATCH_ADDRESS, EXACT, "not an address", "", NO },

    { "example.com, 192.0.2.0/24", MATCH_HOST, EXACT, "example.com",
        "203.0.113.1", YES },
    { "example.com, 192.0.2.0/24", MATCH_HOST, EXACT, "unknown", "192.0.2.7",
        YES },
    { "example.com, 192.0.2.0/24", MATCH_HOST, EXACT, "a.example.com",
        "203.0.113.1", NO },
    { "example.com", MATCH_HOST, PARENT, "a.example.com", "203.0.113.1", YES },
    { "inline:{192.0.2.7=x}", MATCH_HOST, EXACT, "a", "192.0.2.7", YES },
};

static enum table_status
matched(const char *text, enum match_kind kind, enum style style,
    const char *name, const char *address, struct why *why)
{
    struct match_list *list;
    enum table_status status;

    assert_int_equal(match_list_open(text, kind, style == PARENT, tables_main(),
                         &list, why),
        RESULT_OK);
    if (kind == MATCH_HOST)
        status = match_list_find_host(list, slice_of(name), slice_of(address),
            why);
    else
        status = match_list_find(list, slice_of(name), why);
    match_list_close(list);
    return status;
}

static void
test_match(void **state)
{
    static const enum table_status wanted[] = {
        [NO] = TABLE_NOT_FOUND,
        [YES] = TABLE_FOUND,
        [BAD] = TABLE_ERROR,
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct why why = { 0 };

        print_message("  %s: %s %s\n", cases[i].list, cases[i].name,
            cases[i].address);
        assert_int_equal(matched(cases[i].list, cases[i].kind, cases[i].style,
                             cases[i].name, cases[i].address, &why),
            wanted[cases[i].want]);
        if (cases[i].want == BAD)
            assert_true(why.text[0] != '\0');
    }
}

static void
test_file(void **state)
{
    char *path = tables_path("list");
    struct why why;

    (void)state;
    tables_write(path, "# not this one\nexample.com, !b.example\n!c.example\n");
    assert_int_equal(matched(path, MATCH_STRING, EXACT, "example.com", "",
                         &why),
        TABLE_FOUND);
    assert_int_equal(matched(path, MATCH_STRING, EXACT, "not", "", &why),
        TABLE_NOT_FOUND);
    /* "!/file" turns the patterns in it around. */
    mem_free(path);
    path = mem_format("!%s/list, static:all", tables_dir);
    assert_int_equal(matched(path, MATCH_STRING, EXACT, "example.com", "",
                         &why),
        TABLE_NOT_FOUND);
    assert_int_equal(matched(path, MATCH_STRING, EXACT, "c.example", "", &why),
        TABLE_FOUND);
    mem_free(path);
}

/* A file that names itself is a mistake and not an endless loop. */
static void
test_file_in_itself(void **state)
{
    char *path = tables_path("loop");
    struct why why;

    (void)state;
    tables_write(path, path);
    assert_int_equal(matched(path, MATCH_STRING, EXACT, "x", "", &why),
        TABLE_ERROR);
    assert_non_null(strstr(why.text, "nested too deeply"));
    mem_free(path);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_match),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_file_in_itself),
    };

    return cmocka_run_group_tests(tests, tables_set_up, tables_tear_down);
}
