/*
 * verify_console - tells commands what is known of an address, at public/verify:
 * "postern explain session". Nothing is probed for it.
 */
#pragma once

/*
 * Serve one connection to its end; owns fd. For root and the user that we are
 * alone: which addresses there are is nobody else's business. Waits.
 */
void verify_console_serve(int fd);

/* It is time to leave. */
void verify_console_end(void);
