/*
 * verifier - address verification for all processes (lib/mail/verification):
 * answers from the book of verified addresses (lookup/verify_book), and lets
 * those wait whose address is being probed.
 */
#pragma once

#include "lib/config/config.h"
#include "lib/ipc/link.h"

void verifier_configure(const struct config_set *set) ATTR_NONNULL;

/* Serve VERIFY_ASK (waits), VERIFY_FOUND and VERIFY_LOST. */
void verifier_ask(struct request *r) ATTR_NONNULL;
/* The same for who only wants to know: no probe is due, nobody waits. */
void verifier_look(struct request *r) ATTR_NONNULL;
void verifier_found(struct request *r) ATTR_NONNULL;
void verifier_lost(struct request *r) ATTR_NONNULL;
