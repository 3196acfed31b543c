#include "lib/config/config.h"
#include "lib/config/set.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Each service that comes out can be used, and travels. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config_set *set = set_new("/etc/postern"), *copy = NULL;
    struct report report = { 0 };
    struct buf octets;
    struct why why;

    main_parse(set, SLICE_LIT("myhostname = a.b\nmynetworks = 10.0.0.0/8\n"),
        &report);
    scope_evaluate(&set->main, &report);
    master_parse((struct slice){ (const char *)data, size }, &set->arena,
        &report, &set->entries);
    services_build(set, &report);
    services_make_tags(set);
    state_check(set, &report, &report);
    for (size_t i = 0; i < config_service_count(set); i++) {
        const struct service *s = config_service(set, i);

        assert(s->name[0] != '\0' && s->program != NULL && s->argv[0] != NULL);
        assert(s->maxproc >= 0 && s->wakeup >= 0 && s->log_tag != NULL);
        assert(s->config->smtpd_banner != NULL);
    }
    buf_init(&octets, 64 << 20);
    config_encode(set, &octets);
    if (report.errors == 0 && memchr(data, '\0', size) == NULL) {
        assert(config_decode(buf_slice(&octets), &copy, &why) == RESULT_OK);
        assert(config_service_count(copy) == config_service_count(set));
    }
    buf_fini(&octets);
    config_drop(copy);
    config_drop(set);
    return 0;
}
