/*
 * offline - qmgr --offline DIRECTORY: the queue for one command while the mail
 * system is down.
 *
 * The command that starts it is at descriptor 3. It takes the spool as a
 * running queue manager would, so that there are never two; delivers nothing;
 * and ends with its command.
 */
#pragma once

/* Returns an exit status. */
int offline_main(const char *config_directory);
