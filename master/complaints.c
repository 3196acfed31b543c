#include "master/complaints.h"

#include "lib/base/log.h"

enum { COMPLAINTS_MAX = 48 * 1024 };

void
complaints_init(struct complaints *c)
{
    *c = (struct complaints){ .errors = 0 };
    buf_init(&c->text, COMPLAINTS_MAX);
}

void
complaints_fini(struct complaints *c)
{
    buf_fini(&c->text);
}

void
complaints_add(void *context, enum config_severity severity, const char *text)
{
    struct complaints *c = context;

    if (severity == CONFIG_ERROR)
        c->errors++;
    buf_add_format(&c->text, "%c%s\n", severity == CONFIG_ERROR ? 'e' : 'w',
        text);
}

void
complaints_log(const struct complaints *c)
{
    struct slice rest = buf_slice(&c->text), line;

    while (slice_line(&rest, &line)) {
        enum log_level level = line.ptr[0] == 'e' ? LOG_LEVEL_ERROR
                                                  : LOG_LEVEL_WARNING;

        line = slice_skip(line, 1);
        log_write(level, NULL, SLICE_FMT, SLICE_ARG(line));
    }
}
