/*
 * notify - one request of qmgr's: who is told, and by which messages.
 */
#pragma once

#include "lib/ipc/link.h"

/* link_handler for MESSAGE_NOTIFY; on a fiber of its own. */
void notify_serve(struct request *r);
