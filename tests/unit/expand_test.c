#include "lib/config/expand.h"

#include "lib/config/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

/* What the cases refer to. */
static const char *const values[][2] = {
    { "b", "" },
    { "bb", "$b" },
    { "c", "see" },
    { "d", "10" },
    { "e", "9" },
    { "sp", "two words" },
    { "level", "3.6" },
    { "loop", "a $loop" },
    { "dollar", "$$c" },
    { "empties", "$b$b$b$b$b$b$b$b$b$b" },
};

static const char *
lookup(void *context, struct slice name)
{
    (void)context;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        if (slice_eq_text(name, values[i][0]))
            return values[i][1];
    }
    return NULL;
}

/* Answers of Postfix 3.7's "postconf -x"; NULL: it says "macro processing error". */
static const struct {
    const char *in, *want;
} cases[] = {
    { "", "" },
    { "text", "text" },
    { "$c", "see" },
    { "${c}", "see" },
    { "$(c)", "see" },
    { "$$c", "$c" },
    { "$${c}", "${c}" },
    { "$dollar", "$c" },
    { "$c-d", "see-d" },
    { "$c.d", "see.d" },
    { "${ c }", "see" },
    { "${undefined}", "" },
    { "$undefined", "" },
    { "$bb", "" },

    { "${c?yes}", "yes" },
    { "${b?yes}", "" },
    { "${bb?yes}", "yes" }, /* set, though to what is empty */
    { "${bb:empty}", "" },
    { "${c? yes }", " yes " },
    { "${c ? yes }", " yes " },
    { "${c?$d}", "10" },
    { "${c?}", "" },
    { "${b:}", "" },
    { "${c?a}b}", "ab}" },

    { "${c?{yes}:{no}}", "yes" },
    { "${b?{yes}:{no}}", "no" },
    { "${c ?{yes}:{no}}", "yes" },
    { "${c? {yes} : {no} }", "yes" },
    { "${c?{ yes }:{ no }}", " yes " },
    { "${c?{yes}:no}", "yes" },
    { "${b?{yes}: no}", " no" },
    { "${b:{no}}", "no" },
    { "${b: {no} }", "no" },
    { "${c?{}:{x}}", "" },
    { "${c?{$d${e}}}", "109" },
    { "${c?{a{b}c}:{x}}", "a{b}c" },
    { "${sp?{$sp}}", "two words" },

    { "${{1} == {1}}", "true" },
    { "${{1} == {2}}", "" },
    { "${{1}=={1}?{a}:{b}}", "a" },
    { "${{$d} > {$e} ? {num} : {lex}}", "num" },
    { "${{10x} > {9x} ? {num} : {lex}}", "lex" },
    { "${{$c} == {see} ? yes}", " yes" },
    { "${{$c} == {see} ? {yes}}", "yes" },
    { "${{$c} != {see} ? {yes} : {no}}", "no" },
    { "${{a} == {a} : {x}}", "" },
    { "${{a} == {b} : {x}}", "x" },
    { "${{a} < {b} ? {$c}:{$d}}", "see" },
    { "${{a} <= {a} ? {$c}:{$d}}", "see" },
    { "${{a} >= {b} ? {$c}:{$d}}", "10" },
    { "${{} == {} ? {e}:{n}}", "e" },
    { "${{ a } == {a} ? {e}:{n}}", "n" },
    { "${{a b} == {a b} ? {e}:{n}}", "e" },
    { "${{010} == {10} ? {e}:{n}}", "e" },
    { "${{-1} < {1} ? {e}:{n}}", "e" },

    { "${{$level} <level {3.7} ? {lt} : {ge}}", "lt" },
    { "${{$level} >=level {3.6} ? {ge} : {lt}}", "ge" },
    { "${{$level} ==level {3.6.0} ? {eq} : {ne}}", "eq" },
    { "${{3.10} >level {3.9} ? {ge} : {lt}}", "ge" },
    { "${{3.10} > {3.9} ? {ge} : {lt}}", "lt" },
    { "${domain_to_ascii{$c.example}}", "see.example" },

    { "${b:{no}x}", NULL },
    { "${b:{no}?{yes}}", NULL },
    { "${c?{yes}x}", NULL },
    { "${c?{yes}:{no}x}", NULL },
    { "${{$c} =! {see} ? {yes} : {no}}", NULL },
    { "${{$c} == see}", NULL },
    { "${{$c}}", NULL },
    { "${{a} <level {3} ? {x}}", NULL },
    { "$", NULL },
    { "a$ b", NULL },
    { "${}", NULL },
    { "${c", NULL },
    { "$(c}", NULL },
    { "${$c}", NULL },
    { "${c-d}", NULL },
    { "$loop", NULL },
    { "${other{a}}", NULL },
};

static void
test_expand(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf to;
        struct why why = { 0 };
        enum result res;

        print_message("  %s\n", cases[i].in);
        buf_init(&to, EXPAND_OCTETS_MAX);
        res = config_expand(slice_of(cases[i].in), lookup, NULL, &to, &why);
        if (cases[i].want == NULL) {
            assert_int_equal(res, RESULT_PERMFAIL);
            assert_true(why.text[0] != '\0');
        } else {
            assert_int_equal(res, RESULT_OK);
            assert_string_equal(buf_text(&to), cases[i].want);
        }
        buf_fini(&to);
    }
}

/* Values from mail are not looked into. */
static void
test_once(void **state)
{
    struct buf to;
    struct why why;

    (void)state;
    buf_init(&to, EXPAND_OCTETS_MAX);
    assert_int_equal(config_expand_once(SLICE_LIT(
                                            "$bb ${c?{$loop}} ${b:{$dollar}}"),
                         lookup, NULL, &to, &why),
        RESULT_OK);
    assert_string_equal(buf_text(&to), "$b a $loop $$c");
    buf_fini(&to);
}

/* 10 references a level would be 10^99 without the limit on steps. */
static const char *
lookup_wide(void *context, struct slice name)
{
    (void)context;
    (void)name;
    return "$x$x$x$x$x$x$x$x$x$x${x?}";
}

static const char *
lookup_long(void *context, struct slice name)
{
    (void)context;
    return slice_eq_text(name, "long") ? "$ten$ten$ten$ten$ten$ten$ten$ten"
        : slice_eq_text(name, "ten")
        ? "$one$one$one$one$one$one$one$one$one$one"
        : "0123456789012345678901234567890123456789";
}

static void
test_limits(void **state)
{
    char deep[1201] = "";
    struct buf to;
    struct why why;

    (void)state;
    buf_init(&to, EXPAND_OCTETS_MAX);
    assert_int_equal(config_expand(SLICE_LIT("$x"), lookup_wide, NULL, &to,
                         &why),
        RESULT_PERMFAIL);
    buf_fini(&to);

    buf_init(&to, 1000);
    assert_int_equal(config_expand(SLICE_LIT("$long"), lookup_long, NULL, &to,
                         &why),
        RESULT_PERMFAIL);
    assert_non_null(strstr(why.text, "too long"));
    buf_fini(&to);

    for (size_t i = 0; i < 200; i++)
        memcpy(deep + 5 * i, "${c?{", 5);
    memset(deep + 1000, '}', 200);
    buf_init(&to, EXPAND_OCTETS_MAX);
    assert_int_equal(config_expand(slice_of(deep), lookup, NULL, &to, &why),
        RESULT_PERMFAIL);
    buf_fini(&to);
}

static void
collect(void *context, struct slice name)
{
    buf_add(context, name);
    buf_add_octet(context, ' ');
}

static void
test_names(void **state)
{
    struct buf to;
    struct why why;

    (void)state;
    buf_init(&to, 1000);
    assert_int_equal(
        expand_names(SLICE_LIT("$a ${b?{$c}:{$d}} $$no ${{$e} == {$(f)} ? "
                               "$g : x} ${domain_to_ascii{$h}}"),
            collect, &to, &why),
        RESULT_OK);
    assert_string_equal(buf_text(&to), "a b c d e f g h ");
    buf_fini(&to);
}

static void
test_levels(void **state)
{
    int order;

    (void)state;
    assert_true(
        expand_compare_levels(SLICE_LIT("3.6"), SLICE_LIT("3.6.0"), &order));
    assert_int_equal(order, 0);
    assert_true(
        expand_compare_levels(SLICE_LIT("2"), SLICE_LIT("3.6"), &order));
    assert_true(order < 0);
    assert_true(
        expand_compare_levels(SLICE_LIT("3.10"), SLICE_LIT("3.9"), &order));
    assert_true(order > 0);
    assert_false(
        expand_compare_levels(SLICE_LIT("3."), SLICE_LIT("3"), &order));
    assert_false(expand_compare_levels(SLICE_LIT(""), SLICE_LIT("3"), &order));
    assert_false(
        expand_compare_levels(SLICE_LIT("1.2.3.4"), SLICE_LIT("3"), &order));
    assert_false(expand_compare_levels(SLICE_LIT("x"), SLICE_LIT("3"), &order));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expand),
        cmocka_unit_test(test_once),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_levels),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
