#include "lib/config/report.h"

#include "lib/base/mem.h"

#include <stdarg.h>
#include <stdio.h>

ATTR_PRINTF(4, 0)
static void
tell(struct report *r, enum config_severity severity, unsigned line,
    const char *fmt, va_list ap)
{
    char text[2048];
    size_t used = 0;

    if (line > 0 && r->file != NULL)
        used = (size_t)snprintf(text, sizeof(text),
            "%.1000s, line %u: ", r->file, line);
    vsnprintf(text + used, sizeof(text) - used, fmt, ap);
    if (severity == CONFIG_ERROR && r->errors++ == 0)
        snprintf(r->first, sizeof(r->first), "%.399s", text);
    if (r->tell != NULL)
        r->tell(r->context, severity, text);
}

void
report_warning(struct report *r, unsigned line, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    tell(r, CONFIG_WARNING, line, fmt, ap);
    va_end(ap);
}

void
report_error(struct report *r, unsigned line, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    tell(r, CONFIG_ERROR, line, fmt, ap);
    va_end(ap);
}
