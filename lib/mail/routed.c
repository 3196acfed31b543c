#include "lib/mail/routed.h"

#include "lib/mail/address.h"
#include "lib/mail/rewrite.h"

enum { ROUNDS_MAX = 20 }; /* a%b%c@ours */

static bool
has(struct slice local, char c)
{
    return slice_find(local, c) < local.len;
}

/* In a form that we follow ourselves? */
static bool
leads_on(const struct config *config, struct slice local)
{
    return has(local, '@') || (config->allow_percent_hack && has(local, '%')) ||
        (config->swap_bangpath && has(local, '!'));
}

enum result
routed_find(struct address_classes *classes, const struct config *config,
    struct slice address, struct arena *arena, struct routed *to,
    struct why *why)
{
    struct slice local;

    *to = (struct routed){ .address = address };
    for (unsigned round = 0; round < ROUNDS_MAX; round++) {
        enum result res;

        to->class = CLASS_LOCAL; /* without a domain it is for this machine */
        if (address_split(to->address, &local, &to->domain)) {
            res = address_class_find(classes, to->domain, &to->class, why);
            if (res != RESULT_OK)
                return res;
        }
        to->asks_for_more = has(local, '@') || has(local, '%') ||
            has(local, '!');
        if (to->class != CLASS_LOCAL || !leads_on(config, local))
            return RESULT_OK;
        res = rewrite_address(config, REWRITE_LOCAL, local, arena, &to->address,
            why);
        if (res != RESULT_OK)
            return res;
    }
    to->class = CLASS_DEFAULT;
    return RESULT_OK;
}
