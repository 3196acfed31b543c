/*
 * signals - what the master is told by kill(1) and by the kernel, as calls on a
 * fiber.
 */
#pragma once

#include <stdbool.h>

enum signal_event {
    SIGNAL_CHILD,  /* SIGCHLD */
    SIGNAL_RELOAD, /* SIGHUP */
    SIGNAL_STOP,   /* SIGTERM, SIGINT */
    SIGNAL_REOPEN, /* SIGUSR1 */
};

typedef void (*signal_fn)(void *context, enum signal_event event);

/* Blocks these signals and has fn called for each; fn may wait. */
bool signals_open(signal_fn fn, void *context);
