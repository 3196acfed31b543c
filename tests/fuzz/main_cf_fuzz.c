#include "lib/config/config.h"
#include "lib/config/set.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/*
 * Any text is a main.cf or is refused with a reason; facts are given, so that
 * nothing of this host, no name server above all, comes into it.
 */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config_set *set = set_new("/etc/postern");
    struct report report = { 0 };

    fact_put(set, "hostname", SLICE_LIT("mx"));
    fact_put(set, "interfaces", SLICE_LIT("127.0.0.1/8 ::1/128 x/ 1/9"));
    main_parse(set, (struct slice){ (const char *)data, size }, &report);
    scope_evaluate(&set->main, &report);
    services_make_tags(set);
    state_check(set, &report, NULL);
    assert((report.errors > 0) == (report.first[0] != '\0'));
    for (size_t i = 0; i < parameter_count() && report.errors == 0; i++)
        assert(config_get(config_main(set), parameter_at(i)->name) != NULL);
    config_drop(set);
    return 0;
}
