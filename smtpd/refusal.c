#include "smtpd/refusal.h"

#include "lib/base/printable.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#undef refusal_set /* what the header has for the analyzer */

bool
refusal_set(struct refusal *no, int code, const char *status, const char *fmt,
    ...)
{
    va_list ap;

    no->code = code;
    (void)snprintf(no->status, sizeof(no->status), "%s", status);
    va_start(ap, fmt);
    (void)vsnprintf(no->text, sizeof(no->text), fmt, ap);
    va_end(ap);
    printable_make(no->text, strlen(no->text));
    return false;
}
