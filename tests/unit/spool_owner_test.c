/*
 * The file "owner": whose spool it is, how often it was opened, where its open
 * segments end, and who adopts it; torn, missing, of another format.
 */
#include "lib/base/crc32c.h"
#include "lib/base/mem.h"
#include "qmgr/spool/format.h"
#include "tests/unit/spool_fixture.h"

#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { MESSAGES = 6, CONTENT = 3000 };

static void
later_owner(struct fixture *x)
{
    struct disk *disk = x->options.disk;
    char text[80];
    struct iovec iov = { text, 0 };
    int fd, n;

    assert_int_equal(disk->unlink(disk, x->options.dir, "owner"), 0);
    fd = disk->open(disk, x->options.dir, "owner", O_RDWR | O_CREAT, 0600);
    n = snprintf(text, sizeof(text), "postern-spool 9\nnew to you\n");
    n += snprintf(text + n, sizeof(text) - (size_t)n, "crc %08" PRIx32 "\n",
        crc32c(0, text, (size_t)n));
    iov.iov_len = (size_t)n;
    assert_int_equal(disk->write(disk, fd, &iov, 1, 0), 0);
    (void)disk->close(disk, fd);
}

static void
test_owner(void **state)
{
    struct fixture *x = *state;
    struct spool_identity before, after;
    struct why why;

    fixture_fill(x, MESSAGES, CONTENT);
    spool_identity(x->spool, &before);
    spool_close(x->spool);
    /* One of its slots, the other one; the other still says who it is. */
    for (unsigned slot = 0; slot < 2; slot++) {
        assert_true(disk_sim_rot(x->sim, "", "owner", slot * 4096 + 25, 1));
        fixture_start(x);
        spool_identity(x->spool, &after);
        assert_int_equal(x->damage_count, 0);
        assert_int_equal(x->found_count, MESSAGES);
        assert_string_equal(before.id, after.id);
        assert_true(after.epoch > before.epoch);
        spool_close(x->spool);
    }
    for (unsigned slot = 0; slot < 2; slot++)
        assert_true(disk_sim_rot(x->sim, "", "owner", slot * 4096 + 25, 1));
    fixture_start(x);
    spool_identity(x->spool, &after);
    assert_int_equal(x->damage_count, 1);
    assert_int_equal(x->found_count, MESSAGES);
    assert_string_equal(before.id, after.id);
    assert_true(after.epoch > before.epoch);
    spool_close(x->spool);
    /* Without any, too. */
    assert_int_equal(x->options.disk->unlink(x->options.disk, x->options.dir,
                         "owner"),
        0);
    fixture_start(x);
    spool_identity(x->spool, &after);
    assert_int_equal(x->damage_count, 1);
    assert_string_equal(before.id, after.id);
    assert_int_equal(x->found_count, MESSAGES);
    spool_close(x->spool);
    /* A later format is left alone. */
    later_owner(x);
    assert_int_equal(fixture_open(x, &why), RESULT_PERMFAIL);
    assert_non_null(strstr(why.text, "newer"));
}

/*
 * The newer slot is lost, and the older one says where an open segment ended:
 * that is not believed, for it has grown since.
 */
static void
test_owner_goes_back(void **state)
{
    struct fixture *x = *state;
    char text[512];
    struct why why;
    unsigned newer;

    fixture_fill(x, MESSAGES, CONTENT);
    spool_close(x->spool); /* with ends */
    fixture_start(x);      /* without */
    for (newer = 0; newer < 2; newer++) {
        assert_true(disk_sim_file_read(x->sim, "", "owner", newer * 4096, text,
                        sizeof(text)) == sizeof(text));
        text[sizeof(text) - 1] = '\0';
        if (strstr(text, "end ") == NULL)
            break;
    }
    assert_true(newer < 2);
    assert_int_equal(fixture_message(x, 5000, 100, NULL, &why), RESULT_OK);
    fixture_kill(x);
    assert_true(disk_sim_rot(x->sim, "", "owner", newer * 4096 + 25, 1));
    fixture_start(x);
    assert_int_equal(x->damage_count, 0);
    assert_int_equal(x->found_count, MESSAGES + 1);
}

/* Format 1 had one text, replaced as a whole. */
static void
test_owner_of_format_1(void **state)
{
    struct fixture *x = *state;
    struct disk *disk = x->options.disk;
    struct spool_identity before, after;
    char text[200];
    struct iovec iov = { text, 0 };
    int fd, n;

    fixture_fill(x, MESSAGES, CONTENT);
    spool_identity(x->spool, &before);
    spool_close(x->spool);
    n = snprintf(text, sizeof(text),
        "postern-spool 1\nid %s\nepoch %" PRIu64 "\n", before.id, before.epoch);
    n += snprintf(text + n, sizeof(text) - (size_t)n, "crc %08" PRIx32 "\n",
        crc32c(0, text, (size_t)n));
    iov.iov_len = (size_t)n;
    assert_int_equal(disk->unlink(disk, x->options.dir, "owner"), 0);
    fd = disk->open(disk, x->options.dir, "owner", O_RDWR | O_CREAT, 0600);
    assert_int_equal(disk->write(disk, fd, &iov, 1, 0), 0);
    (void)disk->close(disk, fd);
    for (unsigned i = 1; i < 4; i++) {
        fixture_start(x);
        spool_identity(x->spool, &after);
        assert_int_equal(x->damage_count, 0);
        assert_int_equal(x->found_count, MESSAGES);
        assert_string_equal(before.id, after.id);
        assert_int_equal(after.epoch, before.epoch + i);
        assert_int_equal(disk_sim_file_length(x->sim, "", "owner"), 8192);
        spool_close(x->spool);
    }
    fixture_start(x);
}

/* What is taken over by another spool is nobody else's any more. */
static void
test_adopted(void **state)
{
    static const char other[] = "0123456789abcdef0123456789abcdef",
                      third[] = "0123456789abcdef0123456789abcde0";
    struct fixture *x = *state;
    struct why why;

    fixture_fill(x, MESSAGES, CONTENT);
    spool_close(x->spool);
    x->options.adopter = other;
    fixture_start(x);
    assert_int_equal(x->found_count, MESSAGES);
    assert_int_equal(spool_adoption(x->spool), SPOOL_ADOPTING);
    fixture_kill(x);
    for (unsigned i = 0; i < 3; i++) {
        x->options.adopter = i == 0 ? NULL : third;
        assert_int_equal(fixture_open(x, &why), RESULT_PERMFAIL);
        assert_non_null(strstr(why.text, other));
        /* Nor when one of the two slots is lost. */
        if (i == 1)
            assert_true(disk_sim_rot(x->sim, "", "owner", 25, 1));
    }
    x->options.adopter = other;
    fixture_start(x);
    assert_int_equal(x->found_count, MESSAGES);
    assert_int_equal(spool_mark_adopted(x->spool, &why), RESULT_OK);
    spool_close(x->spool);
    x->options.adopter = NULL;
    assert_int_equal(fixture_open(x, &why), RESULT_PERMFAIL);
    x->options.adopter = other;
    fixture_start(x);
    assert_int_equal(spool_adoption(x->spool), SPOOL_ADOPTED);
}

static void
test_adopt_nothing(void **state)
{
    struct fixture *x = *state;
    struct why why;

    spool_close(x->spool);
    assert_int_equal(x->options.disk->unlink(x->options.disk, x->options.dir,
                         "owner"),
        0);
    x->options.adopter = "0123456789abcdef0123456789abcdef";
    assert_int_equal(fixture_open(x, &why), RESULT_PERMFAIL);
    x->options.adopter = NULL;
    fixture_start(x);
}

int
main(void)
{
#define ON_SIM(test) \
    cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        ON_SIM(test_owner),
        ON_SIM(test_owner_goes_back),
        ON_SIM(test_owner_of_format_1),
        ON_SIM(test_adopted),
        ON_SIM(test_adopt_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
