#include "lib/table/table.h"

#include "lib/base/clock.h"
#include "lib/base/random.h"
#include "lib/table/file_watch.h"
#include "lib/table/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

/* It wants what stands above. */
#include "tests/unit/open_tables.h"

#define DATA "tests/unit/data/"

static const struct {
    const char *spec, *key, *want;
} lookups[] = {
    { "static:yes", "anything", "yes" },
    { "static:{ two words }", "", "two words" },
    { "fail:it", "k", "!fail:it lookup error" },
    { "environ:", "postern_test_name", "value" },
    { "environ:", "postern_test_none", "-" },
    { "inline:{a=1,b=2}", "b", "2" },
    { "inline:{ a=1, { b = two words, comma } }", "b", "two words, comma" },
    { "inline:{a=1}", "A", "1" },
    { "inline:{A=1}", "a", "1" },
    { "inline:{a=1}", "c", "-" },
    { "proxy:inline:{a=1}", "a", "1" },
    { "unionmap:{inline:{a=1,b=2}, inline:{a=3}}", "A", "1,3" },
    { "unionmap:{inline:{a=1,b=2},inline:{a=3}}", "b", "2" },
    { "unionmap:{inline:{a=1},inline:{a=3}}", "c", "-" },
    { "unionmap:{inline:{a=1},fail:x}", "a", "!fail:x lookup error" },
    { "pipemap:{inline:{a=b},inline:{b=c}}", "A", "c" },
    { "pipemap:{inline:{a=b},inline:{q=c}}", "a", "-" },
    { "pipemap:{inline:{a=b},fail:x}", "z", "-" },
    { "pipemap:{inline:{a=b},fail:x}", "a", "!fail:x lookup error" },
    { "pipemap:{unionmap:{inline:{a=b},static:c},inline:{{b,c = d}}}", "a",
        "d" },
    { "randmap:{one,one}", "a", "one" },
    { "unix:passwd.byname", "no-such-user-here", "-" },
    { "unix:passwd.byname", "", "-" },
    { "unix:group.byname", "root", "root:x:0:" },
    { "texthash:" DATA "postfix_map", "ann@EXAMPLE.org", "ann" },
    { "texthash:" DATA "postfix_map", "\"with space\"@example.org", "quoted" },
    { "texthash:" DATA "postfix_map", "with space@example.org", "-" },
#ifdef HAVE_DB
    /* Made by Postfix 3.7's postmap and postalias. */
    { "hash:" DATA "postfix_hash", "Ann@example.org", "ann" },
    { "hash:" DATA "postfix_hash", "@example.net", "catch all" },
    { "hash:" DATA "postfix_hash", "example.net", "-" },
    { "btree:" DATA "postfix_btree", "ann@example.org", "ann" },
    { "btree:" DATA "postfix_btree", "nobody", "-" },
    { "hash:" DATA "postfix_bare", "ann@example.org", "ann" },
    { "hash:" DATA "postfix_bare", "nobody", "-" },
    { "hash:" DATA "postfix_aliases", "root", "ann, \"|/bin/prog arg\"" },
    { "hash:" DATA "postfix_aliases", "list", ":include:/etc/list" },
    { "hash:" DATA "postfix_aliases", "@", "@" },
    { DATA "postfix_hash", "ann@example.org", "ann" },
    { "btree:" DATA "postfix_hash", "a",
        "!btree:" DATA "postfix_hash is unavailable. open database " DATA
        "postfix_hash.db: Invalid argument" },
    { "hash:/nonexistent/x", "a",
        "!hash:/nonexistent/x is unavailable. open database "
        "/nonexistent/x.db: No such file or directory" },
#endif
#ifdef HAVE_LMDB
    { "lmdb:" DATA "postfix_lmdb", "Ann@example.org", "ann" },
    { "lmdb:" DATA "postfix_lmdb", "nobody", "-" },
    { "lmdb:/nonexistent/x", "a",
        "!lmdb:/nonexistent/x is unavailable. open database "
        "/nonexistent/x.lmdb: No such file or directory" },
#endif
    { "cdb:" DATA "postfix_cdb", "Ann@example.org", "ann" },
    { "cdb:" DATA "postfix_cdb", "@example.net", "catch all" },
    { "cdb:" DATA "postfix_cdb", "nobody", "-" },
    { "texthash:/nonexistent/x", "a",
        "!texthash:/nonexistent/x is unavailable. open /nonexistent/x: "
        "No such file or directory" },
};

static void
test_lookups(void **state)
{
    (void)state;
    (void)setenv("postern_test_name", "value", 1);
    for (size_t i = 0; i < sizeof(lookups) / sizeof(lookups[0]); i++) {
        struct table *t = tables_open(lookups[i].spec);

        print_message("  %s %s\n", lookups[i].spec, lookups[i].key);
        assert_string_equal(tables_ask(t, lookups[i].key), lookups[i].want);
        table_close(t);
    }
}

static const struct {
    const char *spec, *want;
} refused[] = {
    { "nosuch:x", "unsupported dictionary type: nosuch" },
    { "", "empty table name" },
    { "proxy:", "empty table name" },
    { "inline:", "inline:: need '{name=value...}' after inline:" },
    { "inline:{}", "inline:{}: empty inline table" },
    { "inline:{a}", "inline:{a}: need name=value in \"a\"" },
    { "inline:{a=1,a=2}", "inline:{a=1,a=2}: duplicate entry: \"a\"" },
    { "unionmap:inline:{a=b}",
        "bad syntax: \"unionmap:inline:{a=b}\"; need "
        "\"unionmap:{type:name...}\"" },
    { "pipemap:{}",
        "bad syntax: \"pipemap:{}\"; need \"pipemap:{type:name...}\"" },
    { "randmap:{,}",
        "bad syntax: \"randmap:{,}\"; need \"randmap:{type:name...}\"" },
    { "pipemap:{static:x nosuch:y}", "unsupported dictionary type: nosuch" },
    { "unix:shadow.byname", "unknown table: unix:shadow.byname" },
    { "texthash:", "texthash:: no file name" },
};

static void
test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        struct table *t;
        struct why why;

        assert_int_equal(table_open(slice_of(refused[i].spec), tables_main(),
                             &t, &why),
            RESULT_PERMFAIL);
        assert_string_equal(why.text, refused[i].want);
    }
}

/* Every word comes up, and nothing else. */
static void
test_randmap(void **state)
{
    struct table *t = tables_open("randmap:{a, b c}");
    unsigned seen[3] = { 0 };

    (void)state;
    random_set_seed(1);
    for (unsigned i = 0; i < 100; i++) {
        const char *word = tables_ask(t, "x");

        assert_int_equal(strlen(word), 1);
        assert_in_range(word[0], 'a', 'c');
        seen[word[0] - 'a']++;
    }
    assert_true(seen[0] > 0 && seen[1] > 0 && seen[2] > 0);
    table_close(t);
}

static void
test_shared(void **state)
{
    struct table *a = tables_open("inline:{a=1}");
    struct table *b = tables_open("proxy:inline:{a=1}");

    (void)state;
    assert_ptr_equal(a, b);
    table_close(a);
    assert_string_equal(tables_ask(b, "a"), "1");
    table_close(b);
}

/* After a reload the same name is another table. */
static void
test_forgotten(void **state)
{
    struct table *old = tables_open("inline:{a=1}"), *new;

    (void)state;
    table_forget_open();
    new = tables_open("inline:{a=1}");
    assert_ptr_not_equal(old, new);
    table_close(old);
    assert_ptr_equal(tables_open("inline:{a=1}"), new);
    table_close(new);
    assert_string_equal(tables_ask(new, "a"), "1");
    table_close(new);
}

/* Half of a list of recipients, or nothing of a REJECT, is no answer. */
static void
test_long_value(void **state)
{
    static const char *const specs[] = { "inline:{a=12345678}",
        "pipemap:{inline:{a=b}, inline:{b=12345678}}", "static:12345678",
        "unionmap:{inline:{a=1234}, inline:{a=567}}" };
    struct buf value;
    struct why why;

    (void)state;
    for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
        struct table *t = tables_open(specs[i]);

        print_message("  %s\n", specs[i]);
        buf_init(&value, 8);
        assert_int_equal(table_find(t, SLICE_LIT("a"), &value, &why),
            TABLE_FOUND);
        buf_fini(&value);
        buf_init(&value, 7);
        assert_int_equal(table_find(t, SLICE_LIT("a"), &value, &why),
            TABLE_ERROR);
        assert_non_null(strstr(why.text, "too long"));
        buf_fini(&value);
        table_close(t);
    }
}

static void
test_long_key(void **state)
{
    char key[TABLE_KEY_MAX + 2];
    struct table *t = tables_open("inline:{a=1}");

    (void)state;
    memset(key, 'K', sizeof(key) - 1);
    key[sizeof(key) - 1] = '\0';
    assert_string_equal(tables_ask(t, key), "-");
    table_close(t);
}

/* A file that is replaced is noticed a second later, never missed meanwhile. */
static void
test_replaced(void **state)
{
    char *path = tables_path("map"), *spec = mem_format("texthash:%s", path);
    struct table *t = tables_open(spec);

    (void)state;
    clock_set(1000, 1000000);
    assert_int_equal(tables_ask(t, "k")[0], '!');
    tables_write(path, "k one\n");
    assert_string_equal(tables_ask(t, "k"), "one");
    tables_write(path, "k twenty\n");
    assert_string_equal(tables_ask(t, "k"), "one");
    clock_advance_ms(FILE_WATCH_MS);
    assert_string_equal(tables_ask(t, "k"), "twenty");
    assert_int_equal(unlink(path), 0);
    clock_advance_ms(FILE_WATCH_MS);
    assert_string_equal(tables_ask(t, "k"), "twenty");
    tables_write(path, "k back\n");
    clock_advance_ms(FILE_WATCH_MS);
    assert_string_equal(tables_ask(t, "k"), "back");
    clock_unset();
    table_close(t);
    mem_free(spec);
    mem_free(path);
}

/* A file that somebody writes into is not read before he has rested. */
static void
test_written_into(void **state)
{
    char *path = tables_path("slow"), *spec = mem_format("texthash:%s", path);
    struct table *t = tables_open(spec);
    struct stat st;
    FILE *f;

    (void)state;
    tables_write(path, "a 1\n");
    assert_string_equal(tables_ask(t, "a"), "1");
    f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs("a 2\n", f) >= 0 && fflush(f) == 0);
    assert_int_equal(stat(path, &st), 0);
    clock_set(clock_now_ms() + FILE_WATCH_MS,
        (int64_t)st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000 +
            FILE_WATCH_MS * 500);
    assert_string_equal(tables_ask(t, "a"), "1");
    assert_true(fputs("b 2\n", f) >= 0 && fclose(f) == 0);
    clock_advance_ms(2 * FILE_WATCH_MS);
    assert_string_equal(tables_ask(t, "a"), "2");
    assert_string_equal(tables_ask(t, "b"), "2");
    clock_unset();
    table_close(t);
    mem_free(spec);
    mem_free(path);
}

static void
damage(struct buf *file)
{
    for (uint64_t n = 1 + random_below(30); n > 0; n--) {
        size_t at = random_below(file->len);

        /* Most of what matters stands at the beginning of a page. */
        if (random_below(2) == 0)
            at = at / 4096 * 4096 + random_below(64);
        if (at < file->len)
            file->ptr[at] = (char)(random_below(3) == 0 ? random_below(256)
                                                        : random_below(3) - 1);
    }
    if (random_below(4) == 0)
        buf_truncate(file, random_below(file->len));
}

static bool
see_any(void *context, struct slice key, struct slice value)
{
    size_t *octets = context;

    *octets += key.len + value.len;
    return *octets < 1 << 20;
}

/* Whatever is in the file, it is an answer or an error. */
static void
test_damaged_lmdb(void **state)
{
    char *path = tables_path("bad.lmdb"), *spec;
    struct buf file;
    struct stat st;
    struct why why;

    (void)state;
    if (!tables_built("lmdb"))
        skip();
    spec = mem_format("lmdb:%s/bad", tables_dir);
    buf_init(&file, 1 << 20);
    for (unsigned i = 0; i < 500; i++) {
        struct table *t = tables_open(spec);
        size_t octets = 0;
        FILE *f = fopen(path, "w");

        buf_clear(&file);
        assert_int_equal(text_read_file(DATA "postfix_lmdb.lmdb", &file, &st,
                             &why),
            RESULT_OK);
        damage(&file);
        assert_non_null(f);
        (void)fwrite(file.ptr, 1, file.len, f);
        assert_int_equal(fclose(f), 0);
        (void)tables_ask(t, "ann@example.org");
        (void)tables_ask(t, "@example.net");
        assert_true(table_walk(t, see_any, &octets, &why) <= TABLE_ERROR);
        table_close(t);
    }
    buf_fini(&file);
    mem_free(spec);
    mem_free(path);
}

/* The first of two entries counts, and broken lines are left out. */
static void
test_texthash_lines(void **state)
{
    char *path = tables_path("lines"), *spec = mem_format("texthash:%s", path);
    struct table *t = tables_open(spec);

    (void)state;
    tables_write(path,
        " stray line\n# comment\nk one\n  more\n\n   # in between\n"
        "\t and more\nk two\nnovalue\n\"open quote\nlast v");
    assert_string_equal(tables_ask(t, "k"), "one  more\t and more");
    assert_string_equal(tables_ask(t, "stray"), "-");
    assert_string_equal(tables_ask(t, "novalue"), "-");
    assert_string_equal(tables_ask(t, "last"), "v");
    table_close(t);
    mem_free(spec);
    mem_free(path);
}

static enum table_status
list_asked(const char *text, const char *key, bool partial, struct buf *value,
    struct why *why)
{
    struct table_list *list;
    enum table_status status;

    assert_int_equal(table_list_open(text, tables_main(), &list, why),
        RESULT_OK);
    if (partial)
        status = table_list_find_partial(list, slice_of(key), value, why);
    else
        status = table_list_find(list, slice_of(key), value, why);
    table_list_close(list);
    return status;
}

static void
test_lists(void **state)
{
    struct buf value;
    struct why why;

    (void)state;
    buf_init(&value, 1024);
    assert_int_equal(list_asked("inline:{a=1}, inline:{a=2,b=3}", "a", false,
                         &value, &why),
        TABLE_FOUND);
    assert_string_equal(buf_text(&value), "1");
    assert_int_equal(list_asked("inline:{a=1} inline:{a=2,b=3}", "b", true,
                         &value, &why),
        TABLE_FOUND);
    assert_string_equal(buf_text(&value), "3");
    assert_int_equal(list_asked("", "b", false, &value, &why), TABLE_NOT_FOUND);
    /* An error is not "not found", and ends the search. */
    assert_int_equal(list_asked("fail:x, inline:{a=2}", "a", false, &value,
                         &why),
        TABLE_ERROR);
    assert_int_equal(list_asked("inline:{{a = }}", "a", false, &value, &why),
        TABLE_ERROR);
    assert_string_equal(why.text,
        "inline:{{a = }}: lookup of \"a\" returns an empty result");
    buf_fini(&value);
}

static const struct {
    const char *in, *key, *value; /* key NULL: refused */
} aliases[] = {
    { "root: ann, bob", "root", "ann, bob" },
    { "root :ann", "root", "ann" },
    { "\"two words\": x", "two words", "x" },
    { "list: :include:/x", "list", ":include:/x" },
    { "a.b: c", "a.b", "c" },
    { "back\\slash: c", "backslash", "c" },
    { "a b: c", NULL, NULL },
    { "a@b: c", NULL, NULL },
    { "a, b: c", NULL, NULL },
    { "empty:", NULL, NULL },
    { ": x", NULL, NULL },
    { "nothing", NULL, NULL },
};

static void
test_alias_text(void **state)
{
    struct buf key;

    (void)state;
    buf_init(&key, 1024);
    for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++) {
        struct slice value;
        const char *problem = NULL;
        bool ok = text_split_alias(slice_of(aliases[i].in), &key, &value,
            &problem);

        print_message("  %s\n", aliases[i].in);
        assert_int_equal(ok, aliases[i].key != NULL);
        if (!ok) {
            assert_non_null(problem);
            continue;
        }
        assert_string_equal(buf_text(&key), aliases[i].key);
        assert_true(slice_eq_text(value, aliases[i].value));
    }
    buf_fini(&key);
}

static const struct {
    const char *in, *out;
} alias_values[] = {
    { "ann", "ann" },
    { "ann,bob", "ann, bob" },
    { "ann ,\tbob  carl", "ann, bob carl" },
    { "\"|cmd  a,b\" , x", "\"|cmd  a,b\", x" },
    { "a\\\"  b", "a\\\" b" },
    { "ann,", "ann," },
    { ",", "," },
};

static void
test_alias_values(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, 1024);
    for (size_t i = 0; i < sizeof(alias_values) / sizeof(alias_values[0]);
         i++) {
        buf_clear(&out);
        text_add_alias_value(slice_of(alias_values[i].in), &out);
        assert_string_equal(buf_text(&out), alias_values[i].out);
    }
    buf_fini(&out);
}

/* Nobody waits for who might write into it. */
static void
test_fifo(void **state)
{
    static const struct {
        const char *type, *end;
    } files[] = {
        { "hash", ".db" },
        { "btree", ".db" },
        { "lmdb", ".lmdb" },
        { "cdb", ".cdb" },
        { "texthash", "" },
        { "cidr", "" },
        { "regexp", "" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        char *name = mem_format("%s/fifo%zu", tables_dir, i);
        char *path = mem_format("%s%s", name, files[i].end);
        char *spec = mem_format("%s:%s", files[i].type, name);
        struct table *t;

        if (tables_built(files[i].type)) {
            assert_int_equal(mkfifo(path, 0600), 0);
            t = tables_open(spec);
            assert_non_null(strstr(tables_ask(t, "key"), "it is a FIFO"));
            table_close(t);
        }
        mem_free(spec);
        mem_free(path);
        mem_free(name);
    }
}

static int
set_up(void **state)
{
    (void)state;
    return tables_begin("default_database_type = hash\n");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lookups),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_randmap),
        cmocka_unit_test(test_shared),
        cmocka_unit_test(test_forgotten),
        cmocka_unit_test(test_long_value),
        cmocka_unit_test(test_long_key),
        cmocka_unit_test(test_replaced),
        cmocka_unit_test(test_written_into),
        cmocka_unit_test(test_damaged_lmdb),
        cmocka_unit_test(test_fifo),
        cmocka_unit_test(test_texthash_lines),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_alias_text),
        cmocka_unit_test(test_alias_values),
    };

    return cmocka_run_group_tests(tests, set_up, tables_tear_down);
}
