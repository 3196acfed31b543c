#include "lib/table/hosts.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/random.h"

void
hosts_init(struct hosts *h, const char *text)
{
    struct slice rest = slice_of(text), word;

    *h = (struct hosts){ 0 };
    while (h->count < HOSTS_MAX && slice_word(&rest, " \t\r\n,", &word)) {
        h->host = mem_resize(h->host, (h->count + 1) * sizeof(struct host));
        h->host[h->count++] = (struct host){ .name = mem_text_of(word) };
    }
}

void
hosts_fini(struct hosts *h)
{
    for (size_t i = 0; i < h->count; i++)
        mem_free(h->host[i].name);
    mem_free(h->host);
    *h = (struct hosts){ 0 };
}

enum which { WORKING, ANY };

static struct host *
pick(struct hosts *h, enum which which, uint64_t *tried)
{
    int64_t now = clock_now_ms();
    struct host *chosen = NULL;
    unsigned seen = 0;

    for (size_t i = 0; i < h->count; i++) {
        struct host *host = &h->host[i];

        if ((*tried & (UINT64_C(1) << i)) != 0 ||
            (which == WORKING && host->retry_ms > now))
            continue;
        /* Each of them with the same chance. */
        if (random_below(++seen) == 0)
            chosen = host;
    }
    if (chosen != NULL)
        *tried |= UINT64_C(1) << (chosen - h->host);
    return chosen;
}

struct host *
hosts_next(struct hosts *h, uint64_t *tried)
{
    struct host *host = pick(h, WORKING, tried);

    return host != NULL ? host : pick(h, ANY, tried);
}

int64_t
hosts_deadline(const struct hosts *h, uint64_t tried, int64_t deadline_ms)
{
    int64_t now = clock_now_ms();
    int64_t untried = (int64_t)h->count - __builtin_popcountll(tried);

    return deadline_ms <= now ? deadline_ms
                              : now + (deadline_ms - now) / (untried + 1);
}

void
host_failed(struct host *host, const char *table, const char *problem)
{
    if (host->retry_ms == 0)
        log_warning("table %s: host %s failed: %s", table, host->name, problem);
    host->retry_ms = clock_now_ms() + HOST_RETRY_MS;
}

void
host_works(struct host *host, const char *table)
{
    if (host->retry_ms != 0)
        log_info("table %s: host %s works again", table, host->name);
    host->retry_ms = 0;
}
