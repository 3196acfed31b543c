#include "smtpd/room.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/io/fiber.h"
#include "lib/ipc/link.h"
#include "lib/mail/pressure.h"

#include <sys/statvfs.h>

enum { LOOK_AGAIN_MS = 1000 };

/* What was free in the process's queue when it was looked up last. */
static struct {
    int64_t until_ms;
    uint64_t octets;
} seen;

/* What qmgr said last. */
static enum pressure pressure;

void
room_told(struct request *r)
{
    if (!pressure_decode(r->in->body, &pressure))
        pressure = PRESSURE_NONE;
    request_drop(r);
}

void
room_forget(void)
{
    pressure = PRESSURE_NONE;
}

void
room_pause(const struct config_set *set, const char *cleanup)
{
    const struct config *config = config_of_service(set, cleanup);

    if (pressure == PRESSURE_SLOW && config->in_flow_delay > 0)
        (void)fiber_sleep_until(clock_now_ms() + config->in_flow_delay);
}

static uint64_t
free_octets(const char *directory)
{
    int64_t now = clock_now_ms();
    struct statvfs st;

    if (now < seen.until_ms)
        return seen.octets;
    seen.until_ms = now + LOOK_AGAIN_MS;
    if (statvfs(directory, &st) < 0 ||
        __builtin_mul_overflow((uint64_t)st.f_bavail, (uint64_t)st.f_frsize,
            &seen.octets))
        seen.octets = UINT64_MAX;
    return seen.octets;
}

bool
room_for_message(const struct config *config, uint64_t size)
{
    uint64_t there = free_octets(config->queue_directory);
    uint64_t minimum = (uint64_t)config->queue_minfree;
    uint64_t largest = (uint64_t)config->message_size_limit;

    if (pressure == PRESSURE_FULL)
        return false;
    if (minimum == 0 && largest / 2 <= UINT64_MAX - largest)
        minimum = largest + largest / 2;
    if (there < minimum) {
        log_warning("not enough free space in mail queue: %ju bytes < %ju "
                    "(queue_minfree, or 1.5*message size limit)",
            (uintmax_t)there, (uintmax_t)minimum);
        return false;
    }
    return there - minimum / 2 >= size;
}
