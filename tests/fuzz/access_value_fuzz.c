/*
 * The right-hand side of an access table, where it is a list of restrictions:
 * what a database hands out at run time.
 */
#include "lib/config/config.h"
#include "smtpd/restriction.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct config_set *set;
    static const struct restriction_classes none;
    struct slice text = { (const char *)data, size }, unknown = { NULL, 0 };
    struct restriction_scope scope = { .classes = &none };
    struct check_list list;
    struct why why;

    if (set == NULL && config_from_text("", "", &set, &why) != RESULT_OK)
        return 0;
    /* Tables in files are another target's. */
    if (slice_find(text, '/') < size)
        return 0;
    scope.config = config_main(set);
    if (check_list_parse(&scope, STAGE_RECIPIENT, text, &list, &unknown,
            &why) == RESULT_OK) {
        for (size_t i = 0; i < list.count; i++)
            assert(list.checks[i].what != NULL);
        (void)check_list_guards_relay(&list);
    } else {
        assert(why.text[0] != '\0');
    }
    check_list_free(&list);
    return 0;
}
