#include "lib/mail/address_lookup.h"

#include "lib/mail/recipient_check.h"
#include "tests/unit/tables.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#define MAIN_CF                                    \
    "recipient_delimiter = +\n"                    \
    "mydestination = $myhostname, local.example\n" \
    "myorigin = origin.example\n"                  \
    "append_dot_mydomain = yes\n"

static struct config_set *set;
static struct address_classes *classes;

/* Which of several entries an address finds, and what is left of it. */
static const struct {
    const char *name, *table, *address;
    unsigned forms;
    const char *value, *extension; /* value NULL: not found */
} finds[] = {
    { "full", "inline:{a+e@x.y=1,a@x.y=2,@x.y=3}", "a+e@x.y", ADDRESS_MAP, "1",
        "" },
    { "no extension", "inline:{a@x.y=2,@x.y=3}", "a+e@x.y", ADDRESS_MAP, "2",
        "+e" },
    { "@domain", "inline:{@x.y=3}", "a+e@x.y", ADDRESS_MAP, "3", "" },
    { "user+ext of ours", "inline:{a+e=1,a=2,@local.example=3}",
        "a+e@local.example", ADDRESS_MAP, "1", "" },
    { "user of ours", "inline:{a=2,@local.example=3}", "a+e@local.example",
        ADDRESS_MAP, "2", "+e" },
    { "user at origin", "inline:{a=2}", "a@origin.example", ADDRESS_MAP, "2",
        "" },
    { "user at our address", "inline:{a=2}", "a@[127.0.0.1]", ADDRESS_MAP, "2",
        "" },
    { "user elsewhere", "inline:{a=2}", "a@x.y", ADDRESS_MAP, NULL, "" },
    { "user@domain before user", "inline:{a=2,a@local.example=1}",
        "a+e@local.example", ADDRESS_MAP, "1", "+e" },
    { "domain is not asked", "inline:{x.y=1}", "a@x.y", ADDRESS_MAP, NULL, "" },
    { "case", "inline:{a@x.y=1}", "A@X.Y", ADDRESS_MAP, "1", "" },
    { "quoted", "inline:{{ \"a b\"@x.y = 1 }}", "a b@x.y", ADDRESS_MAP, "1",
        "" },
    { "unquoted", "inline:{{a b@x.y = 1}}", "a b@x.y", ADDRESS_MAP, "1", "" },
    { "quoted first", "inline:{{a b@x.y = 1}, {\"a b\"@x.y = 2}}", "a b@x.y",
        ADDRESS_MAP, "2", "" },
    { "at sign in it", "inline:{{\"a@b\"@x.y = 1}}", "a@b@x.y", ADDRESS_MAP,
        "1", "" },
    { "no domain", "inline:{a=1}", "a", ADDRESS_MAP, "1", "" },
    { "nothing", "", "a@x.y", ADDRESS_MAP, NULL, "" },
    { "null address", "inline:{@x.y=1}", "", ADDRESS_MAP, NULL, "" },

    { "transport by domain", "inline:{x.y=1,.y=2}", "a+e@x.y",
        ADDRESS_TRANSPORT, "1", "" },
    { "transport by user", "inline:{x.y=1,a@x.y=2}", "a+e@x.y",
        ADDRESS_TRANSPORT, "2", "+e" },
    { "transport, no parent", "inline:{y=1,.y=2}", "a@x.y", ADDRESS_TRANSPORT,
        NULL, "" },
    { "parents", "inline:{y=1,.y=2}", "a@b.x.y",
        ADDRESS_TRANSPORT | ADDRESS_PARENTS, "1", "" },
    { "parents with dot", "inline:{y=1,.y=2,.x.y=3}", "a@b.x.y",
        ADDRESS_TRANSPORT | ADDRESS_PARENTS_DOT, "3", "" },
    { "literal has no parents", "inline:{0.2.1]=1}", "a@[192.0.2.1]",
        ADDRESS_TRANSPORT | ADDRESS_PARENTS, NULL, "" },
    { "user@", "inline:{a@=1}", "a+e@local.example", ADDRESS_USER_AT, "1",
        "+e" },
    { "user anywhere", "inline:{a=1}", "a@x.y", ADDRESS_USER_ANYWHERE, "1",
        "" },
};

static void
test_find(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(finds) / sizeof(finds[0]); i++) {
        struct table_list *list;
        struct slice extension;
        struct buf value;
        struct why why;
        enum table_status status;

        print_message("  %s\n", finds[i].name);
        buf_init(&value, 1024);
        assert_int_equal(table_list_open(finds[i].table, config_main(set),
                             &list, &why),
            RESULT_OK);
        status = address_find(classes, list, finds[i].forms,
            slice_of(finds[i].address), &value, &extension, &why);
        assert_int_equal(status,
            finds[i].value == NULL ? TABLE_NOT_FOUND : TABLE_FOUND);
        if (finds[i].value != NULL) {
            assert_string_equal(buf_text(&value), finds[i].value);
            assert_true(slice_eq_text(extension, finds[i].extension));
        }
        table_list_close(list);
        buf_fini(&value);
    }
}

/* Each form is asked of all tables before the next form. */
static void
test_forms_before_tables(void **state)
{
    struct table_list *list;
    struct slice extension;
    struct buf value;
    struct why why;

    (void)state;
    buf_init(&value, 1024);
    assert_int_equal(
        table_list_open("inline:{@x.y=first}, inline:{a@x.y=second}",
            config_main(set), &list, &why),
        RESULT_OK);
    assert_int_equal(address_find(classes, list, ADDRESS_MAP,
                         SLICE_LIT("a@x.y"), &value, &extension, &why),
        TABLE_FOUND);
    assert_string_equal(buf_text(&value), "second");
    table_list_close(list);
    buf_fini(&value);
}

static const struct {
    const char *table, *address;
    bool propagate;
    const char *want; /* joined by blanks */
} maps[] = {
    { "inline:{a@x.y=b}", "a@x.y", true, "b@origin.example " },
    { "inline:{{a@x.y=b, c@host d@e.f}}", "a@x.y", true,
        "b@origin.example c@host.example.com d@e.f " },
    { "inline:{{a@x.y=\"b c\"@x.y}}", "a@x.y", true, "b c@x.y " },
    { "inline:{a@x.y=b@z.z}", "a+e@x.y", true, "b+e@z.z " },
    { "inline:{a@x.y=b@z.z}", "a+e@x.y", false, "b@z.z " },
    { "inline:{{a@x.y=@z.z, @q.q}}", "a+e@x.y", true, "a+e@z.z +e@q.q " },
    { "inline:{{a@x.y=@z.z}}", "a+e@x.y", false, "a@z.z " },
};

static void
test_map(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++) {
        struct address_results results;
        struct table_list *list;
        struct arena arena;
        struct buf got;
        struct why why;

        print_message("  %s\n", maps[i].table);
        arena_init(&arena, 1 << 20);
        buf_init(&got, 1024);
        assert_int_equal(table_list_open(maps[i].table, config_main(set), &list,
                             &why),
            RESULT_OK);
        assert_int_equal(address_map(classes, list, maps[i].propagate,
                             slice_of(maps[i].address), 10, &arena, &results,
                             &why),
            TABLE_FOUND);
        for (size_t k = 0; k < results.count; k++)
            buf_add_format(&got, SLICE_FMT " ", SLICE_ARG(results.list[k]));
        assert_string_equal(buf_text(&got), maps[i].want);
        assert_int_equal(address_map(classes, list, true,
                             slice_of(maps[i].address), 0, &arena, &results,
                             &why),
            TABLE_ERROR);
        table_list_close(list);
        arena_clear(&arena);
        buf_fini(&got);
    }
}

static const struct {
    const char *main_cf;
    enum address_class class;
    const char *address;
    enum result want;
    int code;
    const char *text;
} checks[] = {
    { "local_recipient_maps = inline:{ann=x}\n", CLASS_LOCAL,
        "Ann+e@local.example", RESULT_OK, 0, "" },
    { "local_recipient_maps = inline:{ann=x}\n", CLASS_LOCAL,
        "bob@local.example", RESULT_PERMFAIL, 550,
        "User unknown in local recipient table" },
    { "local_recipient_maps =\n", CLASS_LOCAL, "bob@local.example", RESULT_OK,
        0, "" },
    { "local_recipient_maps = inline:{ann=x}\n"
      "show_user_unknown_table_name = no\n"
      "unknown_local_recipient_reject_code = 450\n",
        CLASS_LOCAL, "bob@local.example", RESULT_PERMFAIL, 450,
        "User unknown" },
    { "local_recipient_maps = fail:x\n", CLASS_LOCAL, "bob@local.example",
        RESULT_TEMPFAIL, 451, "fail:x lookup error" },
    { "local_recipient_maps = inline:{ann=x}\n"
      "virtual_alias_maps = inline:{bob=ann}\n",
        CLASS_LOCAL, "bob@local.example", RESULT_OK, 0, "" },
    { "local_recipient_maps = inline:{ann=x}\n", CLASS_LOCAL,
        "double-bounce@origin.example", RESULT_OK, 0, "" },
    { "virtual_alias_maps = inline:{a@v.example=b}\n", CLASS_VIRTUAL_ALIAS,
        "a@v.example", RESULT_OK, 0, "" },
    { "virtual_alias_maps = inline:{a@v.example=b}\n", CLASS_VIRTUAL_ALIAS,
        "c@v.example", RESULT_PERMFAIL, 550,
        "User unknown in virtual alias table" },
    { "virtual_mailbox_maps = inline:{a@v.example=a/}\n", CLASS_VIRTUAL_MAILBOX,
        "a+x@v.example", RESULT_OK, 0, "" },
    { "virtual_mailbox_maps = inline:{@v.example=a/}\n", CLASS_VIRTUAL_MAILBOX,
        "any@v.example", RESULT_OK, 0, "" },
    { "virtual_mailbox_maps = inline:{a@v.example=a/}\n", CLASS_VIRTUAL_MAILBOX,
        "b@v.example", RESULT_PERMFAIL, 550,
        "User unknown in virtual mailbox table" },
    { "", CLASS_VIRTUAL_MAILBOX, "b@v.example", RESULT_OK, 0, "" },
    { "relay_recipient_maps = inline:{a@r.example=x}\n", CLASS_RELAY,
        "a@r.example", RESULT_OK, 0, "" },
    { "relay_recipient_maps = inline:{a@r.example=x}\n", CLASS_RELAY,
        "b@r.example", RESULT_PERMFAIL, 550,
        "User unknown in relay recipient table" },
    { "", CLASS_RELAY, "b@r.example", RESULT_OK, 0, "" },
    { "virtual_alias_maps = fail:x\n", CLASS_DEFAULT, "b@d.example", RESULT_OK,
        0, "" },
};

static void
test_recipients(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        char *text = mem_format("%s%s", MAIN_CF, checks[i].main_cf);
        struct config_set *own = tables_config(text);
        struct address_classes *own_classes;
        struct recipient_tables *tables;
        struct why why;
        enum result res;
        int code = 0;

        print_message("  %s %s\n", checks[i].main_cf, checks[i].address);
        assert_int_equal(address_classes_open(config_main(own), &own_classes,
                             &why),
            RESULT_OK);
        assert_int_equal(recipient_tables_open(own_classes, &tables, &why),
            RESULT_OK);
        res = recipient_check(tables, checks[i].class,
            slice_of(checks[i].address), &code, &why);
        assert_int_equal(res, checks[i].want);
        if (res != RESULT_OK) {
            assert_string_equal(why.text, checks[i].text);
            assert_int_equal(code, checks[i].code);
        }
        if (res == RESULT_PERMFAIL)
            assert_string_equal(why.status, "5.1.1");
        recipient_tables_close(tables);
        address_classes_close(own_classes);
        config_drop(own);
        mem_free(text);
    }
}

static int
set_up(void **state)
{
    struct why why;

    (void)state;
    set = tables_config(MAIN_CF);
    return address_classes_open(config_main(set), &classes, &why) == RESULT_OK
        ? 0
        : -1;
}

static int
tear_down(void **state)
{
    (void)state;
    address_classes_close(classes);
    config_drop(set);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_forms_before_tables),
        cmocka_unit_test(test_map),
        cmocka_unit_test(test_recipients),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
