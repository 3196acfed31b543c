/*
 * Binary parts into base64 (RFC 3030), however the message is cut: what is not
 * binary stays octet for octet, and what is can be read back as it was.
 */
#include "lib/mail/mime_convert.h"

#include "lib/base/buf.h"
#include "lib/mail/mime.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define BIN   "Content-Transfer-Encoding: binary\r\n"
#define B64   "Content-Transfer-Encoding: base64\r\n"
#define EIGHT "Content-Transfer-Encoding: 8bit\r\n"
#define MIXED "Content-Type: multipart/mixed; boundary="

/* out NULL: as it was. */
static const struct {
    const char *name, *in, *out;
} cases[] = {
    { "no mime", "Subject: x\r\n\r\nbody\r\n", NULL },
    { "empty", "", NULL },
    { "header alone", "Subject: x\r\n", NULL },
    { "header without its end", "Subject: x", NULL },
    { "leaf", "A: b\r\n" BIN "C: d\r\n\r\nabc",
        "A: b\r\nC: d\r\n" B64 "\r\nYWJj" },
    { "text keeps its line ends", BIN "\r\na\r\nb\r\n", B64 "\r\nYQ0KYg0K" },
    { "bare line ends are octets", BIN "\r\na\nb\rc\r\r\n\n",
        B64 "\r\nYQpiDWMNDQoK" },
    { "two lines",
        BIN "\r\n0123456789012345678901234567890123456789012345678901234567",
        B64 "\r\nMDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0"
            "NTY3ODkwMTIzNDU2\r\nNw==" },
    { "no body", BIN "\r\n", B64 "\r\n" },
    { "no empty line", BIN "no field\r\n", B64 "\r\nbm8gZmllbGQNCg==" },
    { "end in the field", "Content-Transfer-Encoding: binary", B64 "\r\n" },
    { "end behind another field", BIN "A: b", "A: b\r\n" B64 "\r\n" },
    { "case, comment, fold",
        "content-TRANSFER-encoding:\r\n (a (b)) BINARY (c)\r\n\r\nabc",
        B64 "\r\nYWJj" },
    { "quoted", "Content-Transfer-Encoding: \"binary\"\r\n\r\nabc",
        B64 "\r\nYWJj" },
    { "8bit", EIGHT "\r\n\xc3\xa4\r\n", NULL },
    { "another name", "Content-Transfer-Encoding: binary2\r\n\r\nabc\r\n",
        NULL },
    { "the last one counts", BIN EIGHT "\r\nabc", EIGHT "\r\nabc" },
    { "mailbox line", "From a\r\n" BIN "\r\nabc", "From a\r\n" B64 "\r\nYWJj" },
    { "mailbox line below", "A: b\r\nFrom a\r\n" BIN "\r\nabc", NULL },

    { "parts",
        MIXED "b\r\n" BIN "\r\npre\r\n--b\r\n" BIN "\r\nabc\r\n--b\r\n\r\n"
              "text\r\n--b--\r\npost\r\n",
        MIXED "b\r\n" EIGHT "\r\npre\r\n--b\r\n" B64 "\r\nYWJj\r\n--b\r\n\r\n"
              "text\r\n--b--\r\npost\r\n" },
    { "the line end in front is the delimiter's",
        MIXED "b\r\n\r\n--b\r\n" BIN "\r\nabc\r\n\r\n--b--\r\n",
        MIXED "b\r\n\r\n--b\r\n" B64 "\r\nYWJjDQo=\r\n--b--\r\n" },
    { "a part without a body",
        MIXED "b\r\n\r\n--b\r\n" BIN "\r\n--b\r\n" BIN "--b--\r\n",
        MIXED "b\r\n\r\n--b\r\n" B64 "\r\n--b\r\n" B64 "\r\n--b--\r\n" },
    { "a part without a header",
        MIXED "b\r\n\r\n--b\r\n\r\nabc\r\n--b\r\nno field\r\n--b--\r\n", NULL },
    { "nearly a delimiter",
        MIXED "b\r\n\r\n--b\r\n" BIN "\r\n-\r\n--\r\n--c\r\n-b\r--b\r\n--b--",
        MIXED "b\r\n\r\n--b\r\n" B64 "\r\nLQ0KLS0NCi0tYw0KLWINLS1i\r\n--b--" },
    { "in front of the last one nothing ends it",
        MIXED "b\r\n\r\n--b\r\n" BIN "\r\nabc\r\n--",
        MIXED "b\r\n\r\n--b\r\n" B64 "\r\nYWJjDQotLQ==" },
    { "no last delimiter", MIXED "b\r\n\r\n--b\r\n" BIN "\r\nabc\r\n",
        MIXED "b\r\n\r\n--b\r\n" B64 "\r\nYWJjDQo=" },
    { "bare line ends around parts", MIXED "b\n\n--b\n" BIN "\nabc\n--b--\n",
        MIXED "b\n\n--b\n" B64 "\nYWJj\n--b--\n" },
    { "blanks behind", MIXED "b\r\n\r\n--b \t\r\n" BIN "\r\nabc\r\n--b-- \r\n",
        MIXED "b\r\n\r\n--b \t\r\n" B64 "\r\nYWJj\r\n--b-- \r\n" },

    { "boundary in quotes",
        MIXED "\"a \\\"b;\"; x=y\r\n\r\n--a \"b;\r\n" BIN "\r\nabc\r\n"
              "--a \"b;--\r\n",
        MIXED "\"a \\\"b;\"; x=y\r\n\r\n--a \"b;\r\n" B64 "\r\nYWJj\r\n"
              "--a \"b;--\r\n" },
    { "boundary behind a comment",
        "Content-Type: multipart/a (x;boundary=c);\r\n\tBOUNDARY = b\r\n\r\n--b\r\n" BIN
        "\r\nabc\r\n--b--\r\n",
        "Content-Type: multipart/a (x;boundary=c);\r\n\tBOUNDARY = b\r\n\r\n--b\r\n" B64
        "\r\nYWJj\r\n--b--\r\n" },
    { "boundary behind another value",
        "Content-Type: multipart/a; y=\"boundary=d;\";boundary=b\r\n\r\n--b\r\n" BIN
        "\r\nabc\r\n--b--\r\n",
        "Content-Type: multipart/a; y=\"boundary=d;\";boundary=b\r\n\r\n--b\r\n" B64
        "\r\nYWJj\r\n--b--\r\n" },
    { "boundary with blanks at its end",
        MIXED "\"b  \"\r\n\r\n--b\r\n" BIN "\r\nabc\r\n--b--\r\n",
        MIXED "\"b  \"\r\n\r\n--b\r\n" B64 "\r\nYWJj\r\n--b--\r\n" },
    { "no boundary: cannot be looked into",
        "Content-Type: multipart/mixed\r\n" BIN "\r\nabc",
        "Content-Type: multipart/mixed\r\n" B64 "\r\nYWJj" },
    { "empty boundary", MIXED "\"\"\r\n" BIN "\r\nabc",
        MIXED "\"\"\r\n" B64 "\r\nYWJj" },
    { "boundary cut",
        MIXED "12345678tail\r\n\r\n--12345678other\r\n" BIN "\r\nabc\r\n"
              "--12345678--\r\n",
        MIXED "12345678tail\r\n\r\n--12345678other\r\n" B64 "\r\nYWJj\r\n"
              "--12345678--\r\n" },

    { "nested",
        MIXED "a\r\n\r\n--a\r\n" MIXED "b\r\n\r\n--b\r\n" BIN "\r\nx\r\n"
              "--b--\r\n\r\n--a\r\n" BIN "\r\ny\r\n--a--\r\n",
        MIXED "a\r\n\r\n--a\r\n" MIXED "b\r\n\r\n--b\r\n" B64 "\r\neA==\r\n"
              "--b--\r\n\r\n--a\r\n" B64 "\r\neQ==\r\n--a--\r\n" },
    { "the outer one ends the inner one",
        MIXED "a\r\n\r\n--a\r\n" MIXED "b\r\n\r\n--b\r\n" BIN "\r\nx\r\n"
              "--a\r\n" BIN "\r\ny\r\n--b\r\n--a--\r\n",
        MIXED "a\r\n\r\n--a\r\n" MIXED "b\r\n\r\n--b\r\n" B64 "\r\neA==\r\n"
              "--a\r\n" B64 "\r\neQ0KLS1i\r\n--a--\r\n" },
    { "the longer one counts",
        MIXED "ab\r\n\r\n--ab\r\n" MIXED "a\r\n\r\n--a\r\n" BIN "\r\nx\r\n"
              "--ab\r\n" BIN "\r\ny\r\n--ab--\r\n",
        MIXED "ab\r\n\r\n--ab\r\n" MIXED "a\r\n\r\n--a\r\n" B64 "\r\neA==\r\n"
              "--ab\r\n" B64 "\r\neQ==\r\n--ab--\r\n" },
    { "message",
        "Content-Type: message/rfc822\r\n" BIN "\r\nSubject: in\r\n" BIN
        "\r\nabc",
        "Content-Type: message/rfc822\r\n" EIGHT "\r\nSubject: in\r\n" B64
        "\r\nYWJj" },
    { "message in a part",
        MIXED "a\r\n\r\n--a\r\nContent-Type: message/rfc822\r\n" BIN "\r\n" BIN
              "\r\nabc\r\n--a--\r\n",
        MIXED "a\r\n\r\n--a\r\nContent-Type: message/rfc822\r\n" EIGHT
              "\r\n" B64 "\r\nYWJj\r\n--a--\r\n" },
    { "parts of a message",
        "Content-Type: message/rfc822\r\n\r\n" MIXED "b\r\n\r\n--b\r\n" BIN
        "\r\nabc\r\n--b--\r\n",
        "Content-Type: message/rfc822\r\n\r\n" MIXED "b\r\n\r\n--b\r\n" B64
        "\r\nYWJj\r\n--b--\r\n" },
    { "an encoded message is not looked into",
        "Content-Type: message/rfc822\r\n" B64 "\r\n" BIN "\r\nabc", NULL },
    { "digest",
        "Content-Type: multipart/digest; boundary=a\r\n\r\n--a\r\n\r\n" BIN
        "\r\nabc\r\n--a--\r\n",
        "Content-Type: multipart/digest; boundary=a\r\n\r\n--a\r\n\r\n" B64
        "\r\nYWJj\r\n--a--\r\n" },
    { "the end is in the header of a message",
        "Content-Type: multipart/digest; boundary=a\r\n\r\n--a\r\nno field",
        NULL },
    { "other messages are leaves",
        "Content-Type: message/partial\r\n" BIN "\r\nabc",
        "Content-Type: message/partial\r\n" B64 "\r\nYWJj" },
    { "three deep",
        MIXED "a\r\n\r\n--a\r\n" MIXED "b\r\n\r\n--b\r\n" MIXED
              "c\r\n\r\n--c\r\n\r\nx\r\n",
        NULL },
    { "a field that is too long",
        "A: 0123456789012345678901234567890123456789012345678901234567890123456"
        "789\r\n folded\r\n" BIN "\r\nabc",
        "A: 0123456789012345678901234567890123456789012345678901234567890123456"
        "789\r\n folded\r\n" B64 "\r\nYWJj" },
    { "a value that is too long",
        "Content-Transfer-Encoding: binary (901234567890123456789012345678901234"
        "56789)\r\n folded\r\nA: b\r\n\r\nabc",
        "A: b\r\n" B64 "\r\nYWJj" },
    { "folds that are too long",
        "A: 01234567890123456789\r\n 01234567890123456789\r\n 0123456789012345"
        "\r\n folded\r\n" BIN "\r\nabc",
        "A: 01234567890123456789\r\n 01234567890123456789\r\n 0123456789012345"
        "\r\n folded\r\n" B64 "\r\nYWJj" },
    { "a line that is no field and too long",
        "0123456789012345678901234567890123456789012345678901234567890123456789",
        NULL },
};

static void
add(void *context, struct slice octets)
{
    buf_add(context, octets);
}

static enum result
convert(struct slice in, size_t step, int64_t nesting, struct buf *to,
    struct why *why)
{
    static struct config config = {
        .mime_boundary_length_limit = 8,
        .header_size_limit = 60,
    };
    struct mime_convert *c;
    enum result res;

    config.mime_nesting_limit = nesting;
    c = mime_convert_new(MIME_CONVERT_BINARY, &config, add, to);
    while (in.len > 0) {
        mime_convert_take(c, slice_head(in, step));
        in = slice_skip(in, step);
    }
    res = mime_convert_end(c, why);
    mime_convert_free(c);
    return res;
}

static void
test_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *want = cases[i].out == NULL ? cases[i].in : cases[i].out;

        for (size_t step = 1; step < 200; step += step < 8 ? 1 : 19) {
            struct buf got;
            struct why why;

            buf_init(&got, 1 << 16);
            if (convert(slice_of(cases[i].in), step, 3, &got, &why) !=
                    RESULT_OK ||
                strcmp(buf_text(&got), want) != 0)
                fail_msg("%s, step %zu: %s", cases[i].name, step,
                    buf_text(&got));
            buf_fini(&got);
        }
    }
}

static void
test_too_deep(void **state)
{
    static const char in[] = MIXED "a\r\n\r\n--a\r\n" MIXED
                                   "b\r\n\r\n--b\r\n" BIN "\r\nx\r\n";
    struct why why = { .text = "" };
    struct buf got;

    (void)state;
    for (size_t step = 1; step < sizeof(in); step++) {
        buf_init(&got, 1 << 16);
        assert_int_equal(convert(slice_of(in), step, 1, &got, &why),
            RESULT_PERMFAIL);
        assert_string_equal(why.status, "5.6.0");
        assert_string_equal(why.text, "MIME nesting exceeds safety limit");
        buf_fini(&got);
    }
}

/* Octets of all values, in pieces of odd sizes, come through and back. */
static void
test_all_octets(void **state)
{
    enum { OCTETS = 200000 };
    const struct slice header = SLICE_LIT(BIN "\r\n");
    struct buf in, out;
    struct why why;
    uint32_t x = 1;

    (void)state;
    buf_init(&in, OCTETS + header.len);
    buf_init(&out, 2 * OCTETS);
    buf_add(&in, header);
    for (size_t i = 0; i < OCTETS; i++) {
        x = x * 1103515245 + 12345;
        buf_add_octet(&in, (unsigned char)(x >> 16));
    }
    assert_int_equal(convert(buf_slice(&in), 4093, 3, &out, &why), RESULT_OK);
    /* 4 digits for 3 octets, a line end for 76 digits. */
    assert_int_equal(out.len,
        sizeof(B64 "\r\n") - 1 + (OCTETS + 2) / 3 * 4 + (OCTETS - 1) / 57 * 2);
    for (struct slice rest = buf_slice(&out), line; slice_line(&rest, &line);)
        assert_true(line.len <= 76);
    buf_fini(&in);
    buf_fini(&out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_too_deep),
        cmocka_unit_test(test_all_octets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
