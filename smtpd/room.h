/*
 * room - is there room in the queue's file system for one more message?
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/config/config.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * What qmgr says of it, for the handlers of smtpd/main.c; forgotten when it is
 * gone. Its own limits count as well as ours.
 */
struct request;
void room_told(struct request *r) ATTR_NONNULL;
void room_forget(void);

/*
 * in_flow_delay of that cleanup service, when mail comes faster than qmgr can
 * take it. Waits.
 */
void room_pause(const struct config_set *set, const char *cleanup) ATTR_NONNULL;

/*
 * queue_minfree, or one and a half times the largest message, must be free, and
 * size must fit. What is free is looked up at most once a second; what cannot
 * be looked up is qmgr's to say; and so it is when it has said that it is full.
 */
bool room_for_message(const struct config *config, uint64_t size) ATTR_NONNULL;
