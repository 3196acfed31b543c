#include "local/worker.h"

#include "lib/io/fiber.h"
#include "lib/io/offload.h"
#include "lib/ipc/link.h"
#include "local/mailbox.h"

#include <sysexits.h>
#include <unistd.h>

struct job {
    struct mailbox_store store;
    enum result res;
    struct why why;
};

static void
store(void *arg)
{
    struct job *job = arg;

    switch (job->store.kind) {
    case MAILBOX_MAILDIR:
        job->res = maildir_store(&job->store, &job->why);
        break;
    case MAILBOX_MBOX:
        job->res = mbox_store(&job->store, &job->why);
        break;
    }
}

/* On a fiber of its own; deliveries are flushed side by side by offload(). */
static void
serve_store(struct request *r)
{
    struct job job;
    struct msg m;

    job.res = mailbox_store_decode(r->in, &job.store, &job.why);
    if (job.res == RESULT_OK) {
        offload(store, &job);
        if (job.store.content.fd >= 0)
            close(job.store.content.fd);
    }
    mailbox_stored_encode(job.res, &job.why, &m);
    request_reply(r, &m);
}

static const struct link_handler handlers[] = {
    { MESSAGE_STORE, serve_store, SERVE_FIBER },
    { 0 },
};

/* Nobody is left to answer to: what is being stored is delivered again. */
static void
brain_gone(struct link *l, void *context)
{
    (void)l;
    (void)context;
    _exit(EX_OK);
}

int
worker_run(int fd)
{
    const struct link_options options = {
        .self = ROLE_WORKER,
        .peer = ROLE_LOCAL,
        .peer_name = "local",
        .handlers = handlers,
        .on_gone = brain_gone,
    };

    sched_open();
    if (link_open(fd, &options) == NULL)
        return EX_OSERR;
    sched_run();
    return EX_OK;
}
