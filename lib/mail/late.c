#include "lib/mail/late.h"

#include "lib/base/mem.h"
#include "lib/base/put.h"
#include "lib/base/tlv.h"

enum { INDEXES_MAX = 1 << 20, INDEX_SIZE = 4 };

uint64_t
late_proof(const unsigned char key[SIPHASH_KEY_SIZE], const struct attempt *a,
    uint32_t process, const uint32_t *indexes, size_t count)
{
    enum { FIXED = 8 + 8 + 4 + 4 };
    size_t len = FIXED + INDEX_SIZE * count;
    char *octets = mem_alloc(len);
    uint64_t proof;

    put_le64(octets, a->id);
    put_le64(octets + 8, a->nonce);
    put_le32(octets + 16, a->number);
    put_le32(octets + 20, process);
    for (size_t i = 0; i < count; i++)
        put_le32(octets + FIXED + INDEX_SIZE * i, indexes[i]);
    proof = siphash(key, (struct slice){ octets, len });
    mem_free(octets);
    return proof;
}

void
late_encode(const struct late *l, struct msg *m)
{
    char index[INDEX_SIZE];
    struct buf indexes;

    msg_init(m, MESSAGE_LATE);
    attempt_encode(&l->attempt, ATTR_TOKEN, &m->body);
    tlv_put_u64(&m->body, ATTR_PROOF, l->proof);
    buf_init(&indexes, INDEXES_MAX * INDEX_SIZE);
    for (size_t i = 0; i < l->index_count; i++) {
        put_le32(index, l->indexes[i]);
        buf_add(&indexes, (struct slice){ index, sizeof(index) });
    }
    tlv_put(&m->body, ATTR_RCPT_INDEX, buf_slice(&indexes));
    buf_fini(&indexes);
    for (size_t i = 0; i < l->count; i++)
        rcpt_result_encode(&l->results[i], ATTR_RCPT_RESULT, &m->body);
}

static enum result
take_indexes(struct slice value, struct arena *arena, struct late *l,
    struct why *why)
{
    size_t count = value.len / INDEX_SIZE;
    uint32_t *indexes;

    if (value.len % INDEX_SIZE != 0 || count == 0 || count > INDEXES_MAX ||
        l->index_count > 0)
        return why_perm(why, "5.3.0", "malformed recipients");
    indexes = arena_alloc(arena, count * sizeof(*indexes));
    if (indexes == NULL)
        return why_temp(why, "4.3.1", "no memory for recipients");
    for (size_t i = 0; i < count; i++) {
        indexes[i] = get_le32(value.ptr + INDEX_SIZE * i);
        if (i > 0 && indexes[i] <= indexes[i - 1])
            return why_perm(why, "5.3.0", "recipients out of order");
    }
    l->indexes = indexes;
    l->index_count = count;
    return RESULT_OK;
}

static bool
results_fit(const struct late *l)
{
    size_t at = 0;

    for (size_t i = 0; i < l->count; i++) {
        while (at < l->index_count && l->indexes[at] < l->results[i].index)
            at++;
        if (at == l->index_count || l->indexes[at] != l->results[i].index)
            return false;
        at++; /* each once */
    }
    return true;
}

enum result
late_decode(struct slice in, struct arena *arena, struct late *l,
    struct why *why)
{
    struct late read = { .count = 0 };
    struct rcpt_result *results;
    enum result res = rcpt_results_room(in, INDEXES_MAX, arena, &results, why);
    struct tlv t;

    while (res == RESULT_OK && tlv_next(&in, &t)) {
        if (t.tag == ATTR_TOKEN)
            res = attempt_decode(t.value, &read.attempt, why);
        else if (t.tag == ATTR_RCPT_INDEX)
            res = take_indexes(t.value, arena, &read, why);
        else if (t.tag == ATTR_RCPT_RESULT)
            res = rcpt_result_decode(t.value, &results[read.count++], why);
        else if (t.tag == ATTR_PROOF &&
            !tlv_u64(t.value, UINT64_MAX, &read.proof))
            res = why_perm(why, "5.3.0", "malformed proof");
    }
    if (res != RESULT_OK)
        return res;
    read.results = results;
    if (in.len > 0 || read.attempt.id == 0 || read.index_count == 0 ||
        !results_fit(&read))
        return why_perm(why, "5.3.0", "malformed late result");
    *l = read;
    return RESULT_OK;
}
