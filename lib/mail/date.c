#include "lib/mail/date.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

const char *
date_text(int64_t seconds, char text[DATE_SIZE])
{
    static const char *const days[] = { "Sun", "Mon", "Tue", "Wed", "Thu",
        "Fri", "Sat" };
    static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May",
        "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
    time_t when = (time_t)seconds;
    struct tm tm = { 0 };
    long offset;

    if (localtime_r(&when, &tm) == NULL)
        tm = (struct tm){ .tm_year = 70, .tm_mday = 1, .tm_zone = "UTC" };
    offset = tm.tm_gmtoff / 60;
    /* Not strftime(): names of days must not follow a locale. */
    (void)snprintf(text, DATE_SIZE,
        "%s, %d %s %d %02d:%02d:%02d %c%02ld%02ld (%.8s)", days[tm.tm_wday],
        tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
        tm.tm_sec, offset < 0 ? '-' : '+', labs(offset) / 60, labs(offset) % 60,
        tm.tm_zone);
    return text;
}
