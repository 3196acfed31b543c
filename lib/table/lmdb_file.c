#include "lib/table/lmdb_file.h"

#include "lib/base/mem.h"
#include "lib/table/table_open.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    WORD = sizeof(size_t),
    HEADER = WORD + 8, /* of a page: number, padding, flags, bounds */
    FLAGS = WORD + 2,
    LOWER = WORD + 4,
    UPPER = WORD + 6,
    NODE = 8,

    /* Of a page that says where the tree begins, behind its header. */
    META_MAGIC = 0,
    META_VERSION = 4,
    META_TREES = 8 + 2 * WORD,
    TREE = 8 + 5 * WORD, /* octets: there is one of free pages, then ours */
    TREE_PAGE_SIZE = 0,  /* of the first one */
    TREE_FLAGS = 4,
    TREE_ROOT = 8 + 4 * WORD,
    META_LAST = META_TREES + 2 * TREE,
    META_NUMBER = META_LAST + WORD,
    META = META_NUMBER + WORD,

    VERSION = 1,
    PAGE_MIN = 512,
    PAGE_MOST = 65536,
    DEPTH_MAX = 32,
    TRIES_MAX = 5,
    VALUE_MAX = 64 * 1024 * 1024, /* octets: more is taken for damage */
};

static const uint32_t magic = 0xBEEFC0DE;
static const size_t no_page = SIZE_MAX;

enum page_flag { BRANCH = 1, LEAF = 2, OVERFLOW = 4, KINDS = 0x6f };
enum node_flag { BIG = 1, NODE_FLAGS = 7 };

static uint16_t
half_at(const uint8_t *at)
{
    uint16_t n;

    memcpy(&n, at, sizeof(n));
    return n;
}

static uint32_t
int_at(const uint8_t *at)
{
    uint32_t n;

    memcpy(&n, at, sizeof(n));
    return n;
}

static size_t
word_at(const uint8_t *at)
{
    size_t n;

    memcpy(&n, at, sizeof(n));
    return n;
}

static enum table_status
damaged(const struct lmdb_file *f, struct why *why)
{
    (void)why_temp(why, "4.3.0", "error reading %s: damaged file", f->path);
    return TABLE_ERROR;
}

/* Exactly size octets; TABLE_FOUND or TABLE_ERROR. */
static enum table_status
read_at(const struct lmdb_file *f, uint64_t at, void *to, size_t size,
    struct why *why)
{
    size_t done = 0;

    if (at > f->size || size > f->size - at)
        return damaged(f, why);
    while (done < size) {
        ssize_t n = pread(f->fd, (char *)to + done, size - done,
            (off_t)(at + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            (void)why_errno(why, "error reading %s", f->path);
            return TABLE_ERROR;
        }
        if (n == 0)
            return damaged(f, why);
        done += (size_t)n;
    }
    return TABLE_FOUND;
}

/* Where the tree begins. */
struct meta {
    size_t page_size, root, last, number;
    unsigned flags;
};

static bool
read_meta(const struct lmdb_file *f, uint64_t at, struct meta *meta)
{
    const size_t ours = META_TREES + TREE;
    uint8_t octets[META];
    struct why why;

    if (read_at(f, at + HEADER, octets, sizeof(octets), &why) == TABLE_ERROR ||
        int_at(octets + META_MAGIC) != magic ||
        int_at(octets + META_VERSION) != VERSION)
        return false;
    meta->page_size = int_at(octets + META_TREES + TREE_PAGE_SIZE);
    meta->flags = half_at(octets + ours + TREE_FLAGS);
    meta->root = word_at(octets + ours + TREE_ROOT);
    meta->last = word_at(octets + META_LAST);
    meta->number = word_at(octets + META_NUMBER);
    return meta->page_size >= PAGE_MIN && meta->page_size <= PAGE_MOST &&
        meta->flags == 0 && meta->last < f->size / meta->page_size;
}

/* The later one of the two; Postfix's postmap writes into the file. */
static enum table_status
find_root(struct lmdb_file *f, struct meta *newest, struct why *why)
{
    struct meta one, two;
    bool first = read_meta(f, 0, &one) && one.page_size == f->page_size;
    bool second = read_meta(f, f->page_size, &two) &&
        two.page_size == f->page_size;

    if (!first && !second)
        return damaged(f, why);
    *newest = second && (!first || two.number > one.number) ? two : one;
    return TABLE_FOUND;
}

enum result
lmdb_file_open(struct lmdb_file *f, const char *path, struct stat *st,
    struct why *why)
{
    int fd;
    enum result res = table_open_file(path, "open database", &fd, st, why);
    struct meta meta;

    if (res != RESULT_OK)
        return res;
    *f = (struct lmdb_file){ .fd = fd, .path = path };
    f->size = (uint64_t)st->st_size;
    if (!read_meta(f, 0, &meta)) {
        close(fd);
        return why_temp(why, "4.3.0",
            "open database %s: damaged, or not of a kind that is known", path);
    }
    f->page_size = meta.page_size;
    f->page = mem_alloc(f->page_size);
    return RESULT_OK;
}

void
lmdb_file_close(struct lmdb_file *f)
{
    if (f->page == NULL)
        return;
    close(f->fd);
    mem_free(f->page);
    f->page = NULL;
}

/* A branch or a leaf; *count nodes. */
static enum table_status
read_page(const struct lmdb_file *f, size_t number, uint8_t *page,
    unsigned *count, struct why *why)
{
    unsigned kind, lower, upper;

    if (number >= f->size / f->page_size)
        return damaged(f, why);
    if (read_at(f, (uint64_t)number * f->page_size, page, f->page_size, why) ==
        TABLE_ERROR)
        return TABLE_ERROR;
    kind = half_at(page + FLAGS) & KINDS;
    lower = half_at(page + LOWER);
    upper = half_at(page + UPPER);
    if (word_at(page) != number || (kind != BRANCH && kind != LEAF) ||
        lower < HEADER || lower > upper || upper > f->page_size)
        return damaged(f, why);
    *count = (lower - HEADER) / 2;
    return *count > 0 ? TABLE_FOUND : damaged(f, why);
}

static bool
is_leaf(const uint8_t *page)
{
    return (half_at(page + FLAGS) & KINDS) == LEAF;
}

struct node {
    struct slice key;
    size_t child;        /* of a branch; of a big value its first page */
    struct slice value;  /* of a leaf */
    uint32_t value_size; /* of a leaf: also of a big value */
    bool big;
};

static enum table_status
take_node(const struct lmdb_file *f, const uint8_t *page, unsigned i,
    struct node *node, struct why *why)
{
    const size_t at = half_at(page + HEADER + 2 * (size_t)i);
    const uint8_t *n = page + at;
    unsigned flags;
    size_t used;

    if (at < HEADER || at + NODE > f->page_size)
        return damaged(f, why);
    *node = (struct node){ .key = { (const char *)n + NODE, half_at(n + 6) } };
    used = NODE + node->key.len;
    if (used > f->page_size - at)
        return damaged(f, why);
    flags = half_at(n + 4);
    node->value_size = half_at(n) | (uint32_t)half_at(n + 2) << 16;
    if (!is_leaf(page)) {
        node->child = node->value_size;
        if (WORD > 4)
            node->child |= (size_t)((uint64_t)flags << 32);
        return TABLE_FOUND;
    }
    node->big = (flags & BIG) != 0;
    node->value.ptr = (const char *)n + used;
    node->value.len = node->big ? WORD : node->value_size;
    if ((flags & NODE_FLAGS & ~(unsigned)BIG) != 0 ||
        node->value.len > f->page_size - at - used)
        return damaged(f, why);
    if (node->big)
        node->child = word_at(n + used);
    return TABLE_FOUND;
}

static enum table_status
add_value(const struct lmdb_file *f, const struct node *node, struct buf *value,
    struct why *why)
{
    uint8_t header[HEADER];
    uint64_t at;
    char *room;

    if (!node->big) {
        buf_add(value, node->value);
        return TABLE_FOUND;
    }
    if (node->value_size > VALUE_MAX || node->child >= f->size / f->page_size)
        return damaged(f, why);
    at = (uint64_t)node->child * f->page_size;
    if (read_at(f, at, header, sizeof(header), why) == TABLE_ERROR)
        return TABLE_ERROR;
    if (word_at(header) != node->child ||
        (half_at(header + FLAGS) & KINDS) != OVERFLOW ||
        node->value_size > f->size - at)
        return damaged(f, why);
    room = buf_reserve(value, node->value_size);
    if (room == NULL) {
        (void)why_temp(why, "4.3.0", "%s: value of %u octets is too long",
            f->path, node->value_size);
        return TABLE_ERROR;
    }
    if (read_at(f, at + HEADER, room, node->value_size, why) == TABLE_ERROR)
        return TABLE_ERROR;
    buf_advance(value, node->value_size);
    return TABLE_FOUND;
}

static int
compare(struct slice a, struct slice b)
{
    size_t least = a.len < b.len ? a.len : b.len;
    int order = least == 0 ? 0 : memcmp(a.ptr, b.ptr, least);

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/*
 * The last node whose key is not behind key; *same: it is that. In a branch the
 * first one stands for all that is before the second, and has no key.
 */
static enum table_status
search_page(const struct lmdb_file *f, unsigned count, struct slice key,
    struct node *node, bool *same, struct why *why)
{
    unsigned low = 0, high = count;
    struct node it;

    *same = false;
    while (high - low > 1) {
        unsigned middle = low + (high - low) / 2;

        if (take_node(f, f->page, middle, &it, why) == TABLE_ERROR)
            return TABLE_ERROR;
        if (compare(it.key, key) <= 0)
            low = middle;
        else
            high = middle;
    }
    if (take_node(f, f->page, low, node, why) == TABLE_ERROR)
        return TABLE_ERROR;
    *same = compare(node->key, key) == 0;
    return TABLE_FOUND;
}

static enum table_status
search(struct lmdb_file *f, size_t number, struct slice key, struct buf *value,
    struct why *why)
{
    if (number == no_page)
        return TABLE_NOT_FOUND;
    for (unsigned depth = 0; depth < DEPTH_MAX; depth++) {
        struct node node;
        unsigned count;
        bool same;

        if (read_page(f, number, f->page, &count, why) == TABLE_ERROR ||
            search_page(f, count, key, &node, &same, why) == TABLE_ERROR)
            return TABLE_ERROR;
        if (is_leaf(f->page))
            return same ? add_value(f, &node, value, why) : TABLE_NOT_FOUND;
        number = node.child;
    }
    return damaged(f, why);
}

/*
 * Without the library's locks: whoever writes into the file may use pages again
 * that were read here, but not before he has committed twice. So what was found
 * counts if the newest commit is still the same.
 */
enum table_status
lmdb_file_get(struct lmdb_file *f, struct slice key, struct buf *value,
    struct why *why)
{
    size_t before = value->len;

    for (unsigned tries = 0; tries < TRIES_MAX; tries++) {
        struct meta root, now;
        enum table_status status;

        buf_truncate(value, before);
        if (find_root(f, &root, why) == TABLE_ERROR)
            return TABLE_ERROR;
        status = search(f, root.root, key, value, why);
        if (find_root(f, &now, why) == TABLE_ERROR)
            return TABLE_ERROR;
        if (now.number == root.number)
            return status;
    }
    (void)why_temp(why, "4.3.0", "table %s changes all the time", f->path);
    return TABLE_ERROR;
}

/* The way from the root to the node at hand. */
struct way {
    struct lmdb_file *file;
    struct level {
        uint8_t *page;
        unsigned next, count;
    } levels[DEPTH_MAX];
    unsigned depth;
    uint64_t pages; /* how many were read: each is in the tree once */
};

static enum table_status
go_down(struct way *w, size_t number, struct why *why)
{
    struct level *level;

    if (w->depth == DEPTH_MAX ||
        ++w->pages > w->file->size / w->file->page_size)
        return damaged(w->file, why);
    level = &w->levels[w->depth];
    if (level->page == NULL)
        level->page = mem_alloc(w->file->page_size);
    level->next = 0;
    if (read_page(w->file, number, level->page, &level->count, why) ==
        TABLE_ERROR)
        return TABLE_ERROR;
    w->depth++;
    return TABLE_FOUND;
}

/* TABLE_NOT_FOUND: fn has had enough. */
static enum table_status
tell(struct way *w, const struct node *node, table_walk_fn fn, void *context,
    struct why *why)
{
    struct buf value;
    enum table_status status;

    buf_init(&value, VALUE_MAX);
    status = add_value(w->file, node, &value, why);
    if (status == TABLE_FOUND && !fn(context, node->key, buf_slice(&value)))
        status = TABLE_NOT_FOUND;
    buf_fini(&value);
    return status;
}

static enum table_status
walk(struct way *w, table_walk_fn fn, void *context, struct why *why)
{
    enum table_status status = TABLE_FOUND;

    while (w->depth > 0 && status == TABLE_FOUND) {
        struct level *level = &w->levels[w->depth - 1];
        struct node node;

        if (level->next == level->count) {
            w->depth--;
            continue;
        }
        status = take_node(w->file, level->page, level->next++, &node, why);
        if (status == TABLE_ERROR)
            break;
        status = is_leaf(level->page) ? tell(w, &node, fn, context, why)
                                      : go_down(w, node.child, why);
    }
    return status == TABLE_ERROR ? TABLE_ERROR : TABLE_FOUND;
}

enum table_status
lmdb_file_walk(struct lmdb_file *f, table_walk_fn fn, void *context,
    struct why *why)
{
    struct way way = { .file = f };
    enum table_status status;
    struct meta root;

    status = find_root(f, &root, why);
    if (status == TABLE_FOUND && root.root != no_page)
        status = go_down(&way, root.root, why);
    if (status == TABLE_FOUND)
        status = walk(&way, fn, context, why);
    for (unsigned i = 0; i < DEPTH_MAX; i++)
        mem_free(way.levels[i].page);
    return status;
}
