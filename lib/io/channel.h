/*
 * channel - messages from one thread to another, the only code with locks.
 *
 * A bounded queue of pointers. The sender reserves room first, so that a
 * completion never blocks: channel_reserve() may say no, channel_send() of what
 * was reserved cannot fail. The receiving end is either a thread that blocks in
 * channel_receive_wait() or a scheduler, whose loop is woken through an eventfd
 * and where one fiber waits in channel_receive().
 */
#pragma once

#include "lib/base/attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct channel;

/* capacity is at least 1. */
struct channel *channel_new(size_t capacity) ATTR_MUST_USE;

/*
 * No thread uses it any more; what is in it is not freed. Where it was attached
 * this is called on that thread, or after its scheduler was closed.
 */
void channel_free(struct channel *ch);

/* True when room for n messages is now set aside. Any thread. */
bool channel_reserve(struct channel *ch, size_t n) ATTR_NONNULL ATTR_MUST_USE;
void channel_unreserve(struct channel *ch, size_t n) ATTR_NONNULL;

/* Uses up one reserved place; not after channel_close(). Any thread. */
void channel_send(struct channel *ch, void *message) ATTR_NONNULL;

/*
 * The receiving thread: up to max messages in the order in which they were
 * sent. Blocks until there is one; 0 when the channel was closed and is empty.
 */
size_t channel_receive_wait(struct channel *ch, void **messages, size_t max)
    ATTR_NONNULL;

/*
 * The receiving fiber: the same, but waits as a fiber; 0 also when that fiber
 * is cancelled. channel_attach() was called once on its thread before the first
 * message was sent; -1 when that thread has no scheduler.
 */
int channel_attach(struct channel *ch) ATTR_NONNULL ATTR_MUST_USE;
size_t channel_receive(struct channel *ch, void **messages, size_t max)
    ATTR_NONNULL;

/* No more sends; receivers get what is left and then 0. Any thread. */
void channel_close(struct channel *ch) ATTR_NONNULL;
