/*
 * worker - one user's process: stores what local's brain sends it.
 *
 * It was made by the keeper and already is that user. It ends when the brain
 * closes its link.
 */
#pragma once

/* Serve the brain on fd until it closes. Returns the exit status. */
int worker_run(int fd);
