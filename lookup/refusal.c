#include "lookup/refusal.h"

#include "lib/base/seldom.h"

enum { LOG_MS = 60 * 1000 };

static struct seldom refused[ROLE_COUNT];

bool
refusal_due(const struct link *from)
{
    return seldom_due(&refused[link_peer(from)], LOG_MS);
}
