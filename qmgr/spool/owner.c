#include "lib/base/clock.h"
#include "lib/base/crc32c.h"
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

enum { LOCK_POLL_MS = 20, OWNER_MAX = 512 };

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

static enum owner_found
parse(struct spool *s, struct slice text, struct why *why)
{
    struct closure ends[PURPOSE_COUNT];
    size_t end_count = 0;
    struct slice value;
    uint64_t format, epoch;
    unsigned char id[SPOOL_ID_SIZE];

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
    if (!field(&text, "id", &value) || !id_parse(value, id) ||
        !field(&text, "epoch", &value) ||
        !num_parse_u64(value, UINT32_MAX, &epoch))
        return OWNER_DAMAGED;
    while (end_count < PURPOSE_COUNT && take_end(&text, &ends[end_count]))
        end_count++;
    if (text.len > 0)
        return OWNER_DAMAGED;
    memcpy(s->id, id, sizeof(id));
    s->epoch = epoch;
    memcpy(s->ends, ends, end_count * sizeof(ends[0]));
    s->end_count = end_count;
    return OWNER_OK;
}

enum owner_found
owner_read(struct spool *s, struct why *why)
{
    char text[OWNER_MAX];
    int fd = s->disk->open(s->disk, s->dir, "owner", O_RDONLY, 0);
    enum owner_found res;
    ssize_t n;

    if (fd < 0 && errno == ENOENT)
        return OWNER_NONE;
    if (fd < 0) {
        (void)why_errno(why, "spool/owner: open");
        return OWNER_ERROR;
    }
    n = s->disk->read(s->disk, fd, text, sizeof(text), 0);
    if (n < 0) /* once more: see spool_read_octets() */
        n = s->disk->read(s->disk, fd, text, sizeof(text), 0);
    if (n < 0) {
        (void)why_errno(why, "spool/owner: read");
        res = OWNER_ERROR;
    } else {
        res = parse(s, (struct slice){ text, (size_t)n }, why);
    }
    (void)s->disk->close(s->disk, fd);
    return res;
}

enum result
owner_write(struct spool *s, struct why *why)
{
    char text[OWNER_MAX], id[33];
    struct iovec iov = { text, 0 };
    int n, fd;

    id_text(s->id, id);
    n = snprintf(text, sizeof(text),
        "postern-spool %d\nid %s\nepoch %" PRIu64 "\n", FORMAT_VERSION, id,
        s->epoch);
    for (size_t i = 0; i < s->end_count; i++)
        n += snprintf(text + n, sizeof(text) - (size_t)n,
            "end %" PRIu64 " %" PRIu64 "\n", s->ends[i].generation,
            s->ends[i].end);
    n += snprintf(text + n, sizeof(text) - (size_t)n, "crc %08" PRIx32 "\n",
        crc32c(0, text, (size_t)n));
    iov.iov_len = (size_t)n;
    /* Left by a crash. */
    (void)s->disk->unlink(s->disk, s->dir, "owner.new");
    fd = s->disk->open(s->disk, s->dir, "owner.new", O_RDWR | O_CREAT | O_EXCL,
        0600);
    if (fd < 0)
        return why_errno(why, "spool/owner.new: create");
    if (s->disk->write(s->disk, fd, &iov, 1, 0) < 0 ||
        s->disk->sync(s->disk, fd) < 0) {
        enum result res = why_errno(why, "spool/owner.new: write");

        (void)s->disk->close(s->disk, fd);
        return res;
    }
    (void)s->disk->close(s->disk, fd);
    if (s->disk->rename(s->disk, s->dir, "owner.new", s->dir, "owner") < 0 ||
        s->disk->sync(s->disk, s->dir) < 0)
        return why_errno(why, "spool/owner: rename");
    return RESULT_OK;
}
