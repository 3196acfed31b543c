/*
 * smtpd_dialogues - tables of what clients say to smtpd, what they hear, and what
 * stands in the log afterwards.
 */
#pragma once

#include "tests/unit/smtpd_world.h"

#define OWN      "127.0.0.1"
#define FOREIGN  "192.0.2.7"
#define GREETING "< 220 mx.test ESMTP Postern\n"
#define EHLO_WITH(more)                               \
    "> EHLO foo\n"                                    \
    "< 250-mx.test\n"                                 \
    "< 250-PIPELINING\n"                              \
    "< 250-SIZE 10240000\n"                           \
    "< 250-VRFY\n"                                    \
    "< 250-ETRN\n" more "< 250-ENHANCEDSTATUSCODES\n" \
    "< 250-8BITMIME\n"                                \
    "< 250-DSN\n"                                     \
    "< 250-SMTPUTF8\n"                                \
    "< 250-CHUNKING\n"                                \
    "< 250-BINARYMIME\n"                              \
    "< 250 LIMITS RCPTMAX=1000\n"
#define EHLO GREETING EHLO_WITH("")
#define HELO       \
    GREETING       \
    "> HELO foo\n" \
    "< 250 mx.test\n"

struct dialogue {
    const char *name, *config, *client, *script;
};

/* How much of a script is said; the rest are lines of the log. */
static inline size_t
dialogue_length(const char *script)
{
    struct slice rest = slice_of(script), line;
    size_t said = 0;

    while (slice_line(&rest, &line))
        if (!slice_starts(line, SLICE_LIT("L ")))
            said = (size_t)(rest.ptr - script);
    return said;
}

/* On a server of its own. What the log says comes after the client has left. */
static inline void
test_dialogue(const struct dialogue *d)
{
    char *talk = mem_text_of(
        slice_head(slice_of(d->script), dialogue_length(d->script)));
    struct visitor v;

    print_message("  %s\n", d->name);
    world_open(d->config);
    if (world.compiled != RESULT_OK)
        fail_msg("%s", world.why.text);
    visitor_come(&v, d->client);
    visitor_play(&v, talk);
    visitor_go(&v);
    visitor_play(&v, d->script + strlen(talk));
    mem_free(talk);
    world_close();
}
