/*
 * console - tells commands what is known here: at public/verify of an address
 * ("postern explain session"; nothing is probed for it), at public/lookup what
 * tables over the network have cost ("postern tables").
 */
#pragma once

/*
 * Serve one connection to its end; owns fd. For root and the user that we are
 * alone: which addresses and tables there are is nobody else's business. Waits.
 */
void console_serve(int fd);

/* It is time to leave. */
void console_end(void);
