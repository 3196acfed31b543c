#include "lib/base/clock.h"
#include "lib/base/crc32c.h"
#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "lib/base/slice.h"
#include "qmgr/spool/state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    LOCK_POLL_MS = 20,
    TEXT_MAX = OWNER_TEXT_MAX,
    SLOT = BLOCK_SIZE, /* each in a block of its own */
    SLOTS = 2,
    OWNER_SIZE = SLOTS * SLOT,
};

/* Who has it, as the holder wrote it; for a message only. */
static enum result
locked_by(struct spool *s, struct why *why)
{
    char text[32] = "";
    uint32_t pid;
    ssize_t n = s->disk->read(s->disk, s->lock_fd, text, sizeof(text), 0);

    if (n > 0 &&
        num_parse_u32(slice_trim((struct slice){ text, (size_t)n }), INT32_MAX,
            &pid))
        return why_temp(why, "4.3.0", "spool is in use by process %" PRIu32,
            pid);
    return why_temp(why, "4.3.0", "spool is in use by another process");
}

enum result
owner_lock(struct spool *s, int wait_ms, struct why *why)
{
    char text[32];
    struct iovec iov = { text, 0 };
    int waited = 0;

    s->lock_fd = s->disk->open(s->disk, s->dir, "lock", O_RDWR | O_CREAT, 0600);
    if (s->lock_fd < 0)
        return why_errno(why, "spool/lock: open");
    while (s->disk->lock(s->disk, s->lock_fd) < 0) {
        if (errno != EAGAIN)
            return why_errno(why, "spool/lock: lock");
        if (waited >= wait_ms)
            return locked_by(s, why);
        (void)poll(NULL, 0, LOCK_POLL_MS);
        waited += LOCK_POLL_MS;
    }
    /* Of fixed width, so that it covers what an earlier owner wrote. */
    iov.iov_len = (size_t)snprintf(text, sizeof(text), "%-10ld\n",
        (long)getpid());
    (void)s->disk->write(s->disk, s->lock_fd, &iov, 1, 0);
    return RESULT_OK;
}

static void
id_text(const unsigned char id[SPOOL_ID_SIZE], char text[33])
{
    for (size_t i = 0; i < SPOOL_ID_SIZE; i++)
        (void)snprintf(text + 2 * i, 3, "%02x", id[i]);
}

static bool
id_parse(struct slice text, unsigned char id[SPOOL_ID_SIZE])
{
    if (text.len != 2 * (size_t)SPOOL_ID_SIZE)
        return false;
    for (size_t i = 0; i < SPOOL_ID_SIZE; i++) {
        uint64_t octet;

        if (!num_parse_hex((struct slice){ text.ptr + 2 * i, 2 }, 255, &octet))
            return false;
        id[i] = (unsigned char)octet;
    }
    return true;
}

void
spool_identity(const struct spool *s, struct spool_identity *identity)
{
    id_text(s->id, identity->id);
    identity->epoch = s->epoch;
    identity->adopted_now = s->adopted_now;
}

/* "name value"; the line is taken off *rest. */
static bool
field(struct slice *rest, const char *name, struct slice *value)
{
    struct slice line, word;

    if (!slice_line(rest, &line) || !slice_word(&line, " ", &word) ||
        !slice_eq_text(word, name))
        return false;
    return slice_word(&line, " ", value);
}

/* The last line is the checksum of those before it, in all formats. */
static bool
take_crc(struct slice *text)
{
    size_t len = text->len;
    struct slice rest, value;
    uint64_t crc;

    if (len == 0 || text->ptr[len - 1] != '\n')
        return false;
    len = slice_rfind(slice_head(*text, len - 1), '\n') + 1;
    if (len > text->len)
        return false;
    rest = slice_skip(*text, len);
    *text = slice_head(*text, len);
    return field(&rest, "crc", &value) &&
        num_parse_hex(value, UINT32_MAX, &crc) &&
        crc == crc32c(0, text->ptr, text->len);
}

/* "end GENERATION OFFSET" */
static bool
take_end(struct slice *rest, struct closure *end)
{
    struct slice line, word, generation, offset;

    return slice_line(rest, &line) && slice_word(&line, " ", &word) &&
        slice_eq_text(word, "end") && slice_word(&line, " ", &generation) &&
        slice_word(&line, " ", &offset) &&
        num_parse_u64(generation, UINT64_MAX, &end->generation) &&
        num_parse_u64(offset, SPOOL_SEGMENT_MAX, &end->end) &&
        end->end % BLOCK_SIZE == 0;
}

/* What one slot says, or the whole of a file of format 1. */
struct words {
    unsigned char id[SPOOL_ID_SIZE];
    uint64_t epoch, write;
    enum spool_adoption adoption;
    unsigned char adopter[SPOOL_ID_SIZE];
    struct closure ends[PURPOSE_COUNT];
    size_t end_count;
};

/* "adopting ID" or "adopted ID", if it is there. */
static bool
take_adoption(struct slice *rest, struct words *w)
{
    struct slice after = *rest, value;

    if (field(&after, "adopting", &value))
        w->adoption = SPOOL_ADOPTING;
    else if (after = *rest, field(&after, "adopted", &value))
        w->adoption = SPOOL_ADOPTED;
    else
        return true;
    *rest = after;
    return id_parse(value, w->adopter);
}

static enum owner_found
parse(struct slice text, struct words *w, struct why *why)
{
    struct slice value;
    uint64_t format;

    *w = (struct words){ 0 };
    if (!take_crc(&text) || !field(&text, "postern-spool", &value) ||
        !num_parse_u64(value, UINT32_MAX, &format))
        return OWNER_DAMAGED;
    if (format > FORMAT_VERSION) {
        (void)why_perm(why, "5.3.0",
            "spool/owner: format %" PRIu64
            " is newer than this program, which knows %d",
            format, FORMAT_VERSION);
        return OWNER_NEWER;
    }
    if (!field(&text, "id", &value) || !id_parse(value, w->id) ||
        !field(&text, "epoch", &value) ||
        !num_parse_u64(value, UINT32_MAX, &w->epoch))
        return OWNER_DAMAGED;
    if (format > 1 &&
        (!field(&text, "write", &value) ||
            !num_parse_u64(value, UINT64_MAX, &w->write) ||
            !take_adoption(&text, w)))
        return OWNER_DAMAGED;
    while (
        w->end_count < PURPOSE_COUNT && take_end(&text, &w->ends[w->end_count]))
        w->end_count++;
    return text.len > 0 ? OWNER_DAMAGED : OWNER_OK;
}

static void
believe(struct spool *s, const struct words *w)
{
    memcpy(s->id, w->id, sizeof(s->id));
    memcpy(s->adopter, w->adopter, sizeof(s->adopter));
    memcpy(s->ends, w->ends, sizeof(s->ends));
    s->epoch = w->epoch;
    s->adoption = w->adoption;
    s->end_count = w->end_count;
    s->owner.writes = w->write;
}

/* A slot's text ends with the first zero. */
static struct slice
text_at(const char *octets, size_t len)
{
    if (len > TEXT_MAX)
        len = TEXT_MAX;
    return (struct slice){ octets, strnlen(octets, len) };
}

/*
 * The newest slot that is whole. One that is not was torn and never counted; or
 * it was hurt later, and was perhaps the newer one: then what the other says of
 * ends may be wrong.
 */
static enum owner_found
choose_slot(struct spool *s, const char *octets, size_t len, struct why *why)
{
    enum owner_found best = OWNER_DAMAGED;
    struct words w, newest = { 0 };
    bool hurt = false;

    for (size_t i = 0; i * SLOT < len; i++) {
        struct slice text = text_at(octets + i * SLOT, len - i * SLOT);
        enum owner_found res = parse(text, &w, why);

        if (res == OWNER_NEWER)
            return res;
        hurt |= res != OWNER_OK && text.len > 0;
        if (res != OWNER_OK || (best == OWNER_OK && w.write < newest.write))
            continue;
        best = OWNER_OK;
        newest = w;
        s->owner.slot = (unsigned)i;
        s->owner.len = text.len;
        memcpy(s->owner.text, text.ptr, text.len);
    }
    if (best == OWNER_OK)
        believe(s, &newest);
    if (hurt)
        s->end_count = 0;
    return best;
}

enum owner_found
owner_read(struct spool *s, struct why *why)
{
    int fd = s->disk->open(s->disk, s->dir, "owner", O_RDONLY, 0);
    enum owner_found res;
    char *octets;
    ssize_t n;

    if (fd < 0 && errno == ENOENT)
        return OWNER_NONE;
    if (fd < 0) {
        (void)why_errno(why, "spool/owner: open");
        return OWNER_ERROR;
    }
    octets = mem_alloc(OWNER_SIZE);
    n = s->disk->read(s->disk, fd, octets, OWNER_SIZE, 0);
    if (n < 0) /* once more: see spool_read_octets() */
        n = s->disk->read(s->disk, fd, octets, OWNER_SIZE, 0);
    if (n < 0) {
        (void)why_errno(why, "spool/owner: read");
        res = OWNER_ERROR;
    } else {
        s->owner.has_slots = n == OWNER_SIZE;
        res = choose_slot(s, octets, (size_t)n, why);
    }
    mem_free(octets);
    (void)s->disk->close(s->disk, fd);
    return res;
}

static size_t
compose(const struct spool *s, uint64_t write, char text[TEXT_MAX])
{
    static const char *const words[] = {
        [SPOOL_ADOPTING] = "adopting",
        [SPOOL_ADOPTED] = "adopted",
    };
    char id[33];
    int n;

    id_text(s->id, id);
    n = snprintf(text, TEXT_MAX,
        "postern-spool %d\nid %s\nepoch %" PRIu64 "\nwrite %" PRIu64 "\n",
        FORMAT_VERSION, id, s->epoch, write);
    if (s->adoption != SPOOL_OWN) {
        id_text(s->adopter, id);
        n += snprintf(text + n, TEXT_MAX - (size_t)n, "%s %s\n",
            words[s->adoption], id);
    }
    for (size_t i = 0; i < s->end_count; i++)
        n += snprintf(text + n, TEXT_MAX - (size_t)n,
            "end %" PRIu64 " %" PRIu64 "\n", s->ends[i].generation,
            s->ends[i].end);
    n += snprintf(text + n, TEXT_MAX - (size_t)n, "crc %08" PRIx32 "\n",
        crc32c(0, text, (size_t)n));
    return (size_t)n;
}

static bool
write_slot(struct spool *s, int fd, unsigned slot, const char *text, size_t len)
{
    struct iovec iov = { s->block, SLOT };

    memset(s->block, 0, SLOT);
    memcpy(s->block, text, len);
    return s->disk->write(s->disk, fd, &iov, 1, (off_t)slot * SLOT) == 0 &&
        s->disk->flush(s->disk, fd) == 0;
}

/*
 * There is none with two slots: a new file, put in its place as a whole. All of
 * its blocks are written, so that no later write needs space.
 */
static enum result
replace(struct spool *s, const char *text, size_t len, struct why *why)
{
    enum result res = RESULT_OK;
    int fd;

    /* Left by a crash. */
    (void)s->disk->unlink(s->disk, s->dir, "owner.new");
    fd = s->disk->open(s->disk, s->dir, "owner.new", O_RDWR | O_CREAT | O_EXCL,
        0600);
    if (fd < 0)
        return why_errno(why, "spool/owner.new: create");
    if (!write_slot(s, fd, 1, "", 0) || !write_slot(s, fd, 0, text, len) ||
        s->disk->sync(s->disk, fd) < 0)
        res = why_errno(why, "spool/owner.new: write");
    (void)s->disk->close(s->disk, fd);
    if (res != RESULT_OK)
        return res;
    if (s->disk->rename(s->disk, s->dir, "owner.new", s->dir, "owner") < 0 ||
        s->disk->sync(s->disk, s->dir) < 0)
        return why_errno(why, "spool/owner: rename");
    s->owner.slot = 0;
    s->owner.has_slots = s->owner.durable = true;
    return RESULT_OK;
}

/*
 * Over the older slot. The newer one has to be on the disk before: a start that
 * failed may have left it in the page cache alone, so what was read is written
 * once more first.
 */
static enum result
write_in_place(struct spool *s, const char *text, size_t len, struct why *why)
{
    unsigned other = (s->owner.slot + 1) % SLOTS;
    int fd = s->disk->open(s->disk, s->dir, "owner", O_RDWR, 0);
    enum result res = RESULT_OK;

    if (fd < 0)
        return why_errno(why, "spool/owner: open");
    if ((!s->owner.durable && s->owner.len > 0 &&
            !write_slot(s, fd, s->owner.slot, s->owner.text, s->owner.len)) ||
        !write_slot(s, fd, other, text, len))
        res = why_errno(why, "spool/owner: write");
    (void)s->disk->close(s->disk, fd);
    if (res != RESULT_OK)
        return res;
    s->owner.slot = other;
    s->owner.durable = true;
    return RESULT_OK;
}

enum result
owner_write(struct spool *s, struct why *why)
{
    char text[TEXT_MAX];
    uint64_t write = s->owner.writes + 1;
    size_t len = compose(s, write, text);
    enum result res = s->owner.has_slots ? write_in_place(s, text, len, why)
                                         : replace(s, text, len, why);

    if (res == RESULT_OK)
        s->owner.writes = write;
    return res;
}

bool
owner_is_for(const struct spool *s, const char *adopter, struct why *why)
{
    char id[33];

    if (s->adoption == SPOOL_OWN)
        return true;
    id_text(s->adopter, id);
    if (adopter != NULL && strcmp(adopter, id) == 0)
        return true;
    (void)why_perm(why, "5.3.0", "spool %s adopted by spool %s",
        s->adoption == SPOOL_ADOPTED ? "was" : "is being", id);
    return false;
}

enum result
owner_adopt(struct spool *s, const char *adopter, struct why *why)
{
    if (s->adoption == SPOOL_OWN) {
        if (!id_parse(slice_of(adopter), s->adopter))
            return why_perm(why, "5.3.0", "id of a spool is malformed");
        s->adoption = SPOOL_ADOPTING;
        s->adopted_now = true;
    }
    return RESULT_OK;
}

enum spool_adoption
spool_adoption(const struct spool *s)
{
    return s->adoption;
}

enum result
spool_mark_adopted(struct spool *s, struct why *why)
{
    s->adoption = SPOOL_ADOPTED;
    return owner_write(s, why);
}

enum result
spool_leave(struct spool *s, struct why *why)
{
    s->adoption = SPOOL_OWN;
    return owner_write(s, why);
}
