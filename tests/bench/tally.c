#include "tests/bench/tally.h"

#include "lib/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

int64_t
tally_now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

double
tally_cpu_s(void)
{
    struct rusage ru;

    (void)getrusage(RUSAGE_SELF, &ru);
    return (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
        (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6;
}

void
samples_add(struct samples *s, int64_t ns)
{
    if (s->count == s->room) {
        s->room = s->room * 2 + 1024;
        s->values = mem_resize(s->values, s->room * sizeof(*s->values));
    }
    s->values[s->count++] = ns;
}

void
samples_clear(struct samples *s)
{
    s->count = 0;
}

static int
compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static void
print_one(const struct samples *s, const char *name, unsigned percent)
{
    size_t at = (s->count - 1) * percent / 100;

    (void)printf(", \"%s_p%u_ms\": %.3f", name, percent,
        (double)s->values[at] / 1e6);
}

void
samples_print(struct samples *s, const char *name)
{
    if (s->count == 0)
        return;
    qsort(s->values, s->count, sizeof(*s->values), compare);
    print_one(s, name, 50);
    print_one(s, name, 99);
    print_one(s, name, 100);
}
