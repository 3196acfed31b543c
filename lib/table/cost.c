#include "lib/table/cost.h"

#include "lib/base/tlv.h"

enum { TAG_TABLE = ATTR_PRIVATE, TAG_FIRST, GROUP_MAX = 64 * 1024 };

/* In the order of their tags, from TAG_FIRST on. */
static const size_t numbers[] = {
    offsetof(struct cost_told, asked),
    offsetof(struct cost_told, found),
    offsetof(struct cost_told, errors),
    offsetof(struct cost_told, under_way),
    offsetof(struct cost_told, ms),
    offsetof(struct cost_told, ms_half),
    offsetof(struct cost_told, ms_p99),
    offsetof(struct cost_told, ms_most),
};

enum { NUMBERS = sizeof(numbers) / sizeof(numbers[0]) };

/* Step i is for less than 2 to the i milliseconds; the last one for all more. */
static unsigned
step_of(uint64_t ms)
{
    unsigned i = 0;

    while (i < TABLE_COST_STEPS - 1 && ms >= UINT64_C(1) << i)
        i++;
    return i;
}

void
cost_count(struct table_cost *cost, enum table_status status, uint64_t ms)
{
    cost->asked++;
    cost->found += status == TABLE_FOUND;
    cost->errors += status == TABLE_ERROR;
    cost->ms += ms;
    cost->took[step_of(ms)]++;
    if (ms > cost->ms_most)
        cost->ms_most = ms;
}

uint64_t
cost_quantile(const struct table_cost *cost, unsigned of_thousand)
{
    uint64_t seen = 0;

    for (unsigned i = 0; i < TABLE_COST_STEPS - 1; i++) {
        uint64_t most = (UINT64_C(1) << i) - 1;

        seen += cost->took[i];
        if (seen * 1000 >= cost->asked * of_thousand)
            return most < cost->ms_most ? most : cost->ms_most;
    }
    return cost->ms_most;
}

void
cost_tell(const char *spec, const struct table_cost *cost, struct msg *m)
{
    const struct cost_told told = { slice_of(spec), cost->asked, cost->found,
        cost->errors, cost->under_way, cost->ms, cost_quantile(cost, 500),
        cost_quantile(cost, 990), cost->ms_most };
    struct buf group;

    buf_init(&group, GROUP_MAX);
    tlv_put(&group, ATTR_NAME, told.spec);
    for (unsigned i = 0; i < NUMBERS; i++) {
        uint64_t n;

        memcpy(&n, (const char *)&told + numbers[i], sizeof(n));
        tlv_put_u64(&group, TAG_FIRST + i, n);
    }
    tlv_put(&m->body, TAG_TABLE, buf_slice(&group));
    buf_fini(&group);
}

bool
cost_next(struct slice *rest, struct cost_told *told)
{
    struct tlv group, part;

    *told = (struct cost_told){ .spec = { "", 0 } };
    if (!tlv_next(rest, &group))
        return false;
    while (group.tag == TAG_TABLE && tlv_next(&group.value, &part)) {
        uint64_t n;

        if (part.tag == ATTR_NAME)
            told->spec = part.value;
        else if (part.tag >= TAG_FIRST && part.tag < TAG_FIRST + NUMBERS &&
            tlv_u64(part.value, UINT64_MAX, &n))
            memcpy((char *)told + numbers[part.tag - TAG_FIRST], &n, sizeof(n));
    }
    return true;
}
