/*
 * spool_fixture - a spool for a test, on a simulated or a real disk, and a note
 * of what each start found.
 */
#pragma once

#include "qmgr/spool/spool.h"
#include "tests/crash/disk_sim.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FOUND_MAX = 8192 };

struct found {
    enum record_type type;
    uint64_t id, blob;
    char head[64]; /* or the brief */
    struct spool_place place;
    bool parted;
};

struct fixture {
    struct disk_sim *sim; /* NULL: the machine's */
    char path[64];
    struct spool_options options;
    struct spool *spool;
    struct found *found;
    size_t found_count;
    size_t damage_count;
    char damage[4][300];
};

/* cmocka set-up and tear-down; *state is the fixture, its spool open. */
int fixture_setup(void **state);      /* simulated disk, 128 KiB segments */
int fixture_setup_real(void **state); /* a directory below /tmp */
int fixture_teardown(void **state);

/* Open what options say; the result, without failing the test. */
enum result fixture_open(struct fixture *x, struct why *why);
void fixture_start(struct fixture *x);
void fixture_restart(struct fixture *x);
/* Without a word to it, as kill -9 does (simulated disk only). */
void fixture_kill(struct fixture *x);

const struct found *fixture_find(const struct fixture *x, enum record_type type,
    uint64_t id);

enum result fixture_commit(struct fixture *x, struct spool_record *records,
    size_t count, bool settling, struct why *why);

/* One record in a transaction that has to succeed. */
struct spool_place fixture_put(struct fixture *x, enum record_type type,
    uint64_t id, const char *head, const char *content);
/* A message with so many octets of content, made of its id. */
enum result fixture_message(struct fixture *x, uint64_t id, size_t len,
    struct spool_place *place, struct why *why);
/* Messages 1 to count, each in a batch of its own. */
void fixture_fill(struct fixture *x, uint64_t count, size_t len);
void fixture_remove(struct fixture *x, uint64_t id,
    const struct spool_place *place);

/* Is this what fixture_message() wrote? */
void fixture_check_content(struct fixture *x, uint64_t id, size_t len,
    const struct spool_place *place);
