#include "smtpd/explain_verified.h"

#include "lib/base/clock.h"
#include "lib/daemon/command.h"

#include <stdio.h>

enum { ANSWER_MS = 10 * 1000 };

/* The command's. */
static struct {
    struct link *link; /* NULL: the system does not run */
} running;

static void
on_gone(struct link *l, void *context)
{
    (void)l;
    (void)context;
    running.link = NULL;
}

void
explain_verified_begin(const struct config *config)
{
    static const struct link_handler none[] = {
        { MESSAGE_NONE, NULL, SERVE_INLINE },
    };
    static const struct link_options options = { .self = ROLE_COMMAND,
        .peer = ROLE_LOOKUP,
        .peer_name = "lookup",
        .handlers = none,
        .on_gone = on_gone };
    struct why why;
    int fd;

    if (command_connect(config, "verify", &fd, &why) == RESULT_OK)
        running.link = link_open(fd, &options);
}

void
explain_verified_end(void)
{
    link_close(running.link);
    running.link = NULL;
}

static void
tell(const struct session *s, const struct verify_question *q,
    const struct verify_answer *a)
{
    static const char *const words[] = {
        [VERIFIED_DELIVERABLE] = "deliverable",
        [VERIFIED_DEFERRED] = "not deliverable now",
        [VERIFIED_BOUNCED] = "undeliverable",
    };
    const struct config *config = s->config;

    printf("  <" SLICE_FMT ">: ", SLICE_ARG(q->address));
    if (running.link == NULL)
        printf("what is known cannot be asked: the mail system does not run\n");
    else if (a->verified != VERIFIED_PENDING)
        printf("%s: " SLICE_FMT "\n", words[a->verified], SLICE_ARG(a->text));
    else
        printf("nothing is known: a session would send a probe and wait for it "
               "up to %lld s. Without a result:\n",
            (long long)((config->address_verify_poll_count - 1) *
                config->address_verify_poll_delay / 1000));
}

bool
explain_verified(const struct session *s, const struct verify_question *q,
    struct buf *text, struct verify_answer *a)
{
    bool known = running.link != NULL &&
        verify_ask_link(running.link, q, clock_now_ms() + ANSWER_MS, text, a);

    if (!known)
        *a = (struct verify_answer){ .verified = VERIFIED_PENDING };
    if (a->text.len == 0)
        a->text = SLICE_LIT("Address verification in progress");
    tell(s, q, a);
    return true;
}
