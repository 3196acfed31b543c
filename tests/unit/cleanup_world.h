/*
 * cleanup_world - a queue that keeps what clean-up submits, and messages to be
 * cleaned into it.
 */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/config/config.h"
#include "lib/mail/cleanup.h"
#include "tests/unit/tables.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    ARENA_MAX = 8 << 20,
    TEXT_MAX = 1 << 20,
    RECIPIENT_MAX = 16,
};

/* 2026-11-21 20:05:11 UTC */
#define NOW_US INT64_C(1795291511000000)

/* What was submitted last, as text. */
static struct {
    unsigned count;
    struct buf header, body, recipients;
    struct envelope envelope;
    char sender[256], message_id[256];
    uint32_t crc;
    bool blob;
    enum result result; /* what to answer */
} queue;

static unsigned blobs_lent, blobs_returned;
static struct buf logged;

static inline enum result
fake_submit(struct submission *s, int64_t deadline, struct why *why)
{
    (void)deadline;
    queue.count++;
    buf_clear(&queue.header);
    buf_clear(&queue.body);
    buf_clear(&queue.recipients);
    queue.envelope = s->envelope;
    (void)snprintf(queue.sender, sizeof(queue.sender), SLICE_FMT,
        SLICE_ARG(s->envelope.sender));
    (void)snprintf(queue.message_id, sizeof(queue.message_id), SLICE_FMT,
        SLICE_ARG(s->envelope.message_id));
    buf_add(&queue.header, s->header);
    buf_add(&queue.body, s->body);
    queue.blob = s->blob.fd >= 0;
    if (queue.blob) {
        char *room = buf_reserve(&queue.body, s->blob.length);

        if (room == NULL ||
            pread(s->blob.fd, room, s->blob.length, 0) !=
                (ssize_t)s->blob.length)
            abort();
        buf_advance(&queue.body, s->blob.length);
        queue.crc = s->blob.crc;
        close(s->blob.fd);
    }
    for (size_t i = 0; i < s->envelope.recipient_count; i++) {
        const struct recipient *r = &s->envelope.recipients[i];

        buf_add_format(&queue.recipients, SLICE_FMT "(" SLICE_FMT ")%s ",
            SLICE_ARG(r->address), SLICE_ARG(r->original),
            r->notify == NOTIFY_NEVER ? "!" : "");
    }
    if (queue.result != RESULT_OK)
        return why_temp(why, "4.3.1", "Insufficient system storage");
    return RESULT_OK;
}

static inline enum result
fake_borrow(uint64_t id, int64_t deadline, struct blob *blob, struct why *why)
{
    FILE *f = tmpfile();

    (void)id;
    (void)deadline;
    if (f == NULL)
        return why_errno(why, "tmpfile");
    blobs_lent++;
    *blob = (struct blob){ .number = 7, .fd = dup(fileno(f)) };
    (void)fclose(f);
    return RESULT_OK;
}

static inline void
fake_return(struct blob *blob)
{
    blobs_returned++;
    close(blob->fd);
}

static const struct cleanup_queue fake_queue = { fake_submit, fake_borrow,
    fake_return };

static inline void
keep_log(void *context, enum log_level level, const char *tag,
    struct slice line)
{
    (void)context;
    (void)level;
    buf_add_format(&logged, "%s: " SLICE_FMT "\n", tag, SLICE_ARG(line));
}

/* A message to be cleaned. */
struct mail {
    const char *main_cf;
    bool own_client;
    uint32_t flags;
    const char *sender, *sender_name;
    const char *recipients[RECIPIENT_MAX];
    const char *prepend;
    struct slice content;
    size_t piece; /* octets handed over at a time; 0: all */
};

static inline void
add_recipients(const struct mail *m, struct envelope *env,
    struct recipient *list)
{
    static const char *const usual[] = { "ann@example.org", NULL };
    const char *const *r = m->recipients[0] == NULL ? usual : m->recipients;

    env->recipients = list;
    for (; r[env->recipient_count] != NULL; env->recipient_count++)
        list[env->recipient_count].address = slice_of(r[env->recipient_count]);
}

static inline void
feed(struct cleanup *c, const struct mail *m)
{
    struct slice rest = m->content;

    if (m->prepend != NULL)
        cleanup_prepend(c, slice_of(m->prepend));
    while (rest.len > 0) {
        size_t n = m->piece == 0 ? rest.len : m->piece;

        cleanup_content(c, slice_head(rest, n));
        rest = slice_skip(rest, n);
    }
}

static inline enum result
run(const struct mail *m, struct why *why)
{
    struct config_set *set = tables_config(
        m->main_cf == NULL ? "" : m->main_cf);
    struct cleanup_options options = {
        .set = set,
        .service = "cleanup",
        .own_client = m->own_client,
        .queue = &fake_queue,
    };
    struct recipient list[RECIPIENT_MAX] = { 0 };
    struct envelope env = {
        .id = UINT64_C(0x1234),
        .arrival_us = NOW_US,
        .flags = m->flags,
        .sender = slice_of(m->sender == NULL ? "bob@example.net" : m->sender),
        .sender_name = slice_of(m->sender_name),
    };
    struct arena arena;
    struct cleanup *c;
    enum result res;

    buf_clear(&logged);
    add_recipients(m, &env, list);
    arena_init(&arena, ARENA_MAX);
    res = cleanup_begin(&options, &env, &arena, &c, why);
    if (res == RESULT_OK) {
        feed(c, m);
        res = cleanup_end(c, CLOCK_NEVER, why);
    }
    arena_clear(&arena);
    config_drop(set);
    cleanup_close_tables();
    return res;
}

static inline void
run_ok(const struct mail *m)
{
    struct why why;

    if (run(m, &why) != RESULT_OK)
        fail_msg("%s", why.text);
}

static inline int
set_up(void **state)
{
    (void)state;
    (void)setenv("TZ", "UTC", 1);
    buf_init(&queue.header, TEXT_MAX);
    buf_init(&queue.body, TEXT_MAX);
    buf_init(&queue.recipients, TEXT_MAX);
    buf_init(&logged, TEXT_MAX);
    log_set_sink(keep_log, NULL, NULL);
    return 0;
}

static inline int
tear_down(void **state)
{
    (void)state;
    buf_fini(&queue.header);
    buf_fini(&queue.body);
    buf_fini(&queue.recipients);
    log_set_sink(NULL, NULL, NULL);
    buf_fini(&logged);
    return 0;
}
