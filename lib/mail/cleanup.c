#include "lib/mail/cleanup.h"

#include "lib/base/log.h"
#include "lib/mail/cleanup_state.h"
#include "lib/mail/header.h"

enum { PARTIAL_MAX = 2 * CLEANUP_LINE_PIECE };

static const struct cleanup_queue qmgr_queue = {
    .submit = submission_send,
    .borrow_blob = submission_borrow_blob,
    .return_blob = submission_return_blob,
};

const struct cleanup_queue *
cleanup_queue_of(const struct cleanup *c)
{
    return c->options.queue == NULL ? &qmgr_queue : c->options.queue;
}

void
cleanup_fail(struct cleanup *c, enum result res, const struct why *why)
{
    if (c->result != RESULT_OK)
        return;
    c->result = res;
    c->why = *why;
}

enum result
cleanup_begin(const struct cleanup_options *options, const struct envelope *env,
    struct arena *arena, struct cleanup **out, struct why *why)
{
    struct cleanup *c = arena_alloc(arena, sizeof(*c));
    enum result res;

    if (c == NULL)
        return why_temp(why, "4.3.1", "message is too complex");
    res = cleanup_profile_use(options->set, options->service, &c->profile, why);
    if (res != RESULT_OK)
        return res;
    c->options = *options;
    c->config = c->profile->config;
    c->arena = arena;
    c->env = *env;
    c->env.hops = 0;
    c->env.message_id = (struct slice){ 0 };
    c->env.rewrite = options->own_client ? SLICE_LIT("local")
                                         : SLICE_LIT("remote");
    (void)queue_id_text(env->id, c->config->enable_long_queue_ids, c->id);
    buf_init(&c->partial, PARTIAL_MAX);
    buf_init(&c->header, CLEANUP_HEADER_MAX);
    buf_init(&c->value, CLEANUP_HEADER_MAX);
    buf_init(&c->address, CLEANUP_ADDRESS_MAX);
    buf_init(&c->body, SIZE_MAX);
    c->blob = (struct blob){ .fd = -1 };
    c->last_is_newline = true;
    *out = c;
    return RESULT_OK;
}

void
cleanup_amend(struct cleanup *c, const struct envelope *env)
{
    c->env.flags |= env->flags;
    c->env.filter = env->filter;
    c->env.recipients = env->recipients;
    c->env.recipient_count = env->recipient_count;
    c->env.recipient_room = env->recipient_room;
}

/* c itself is the arena's. */
static void
cleanup_free(struct cleanup *c)
{
    if (c->blob.fd >= 0)
        cleanup_queue_of(c)->return_blob(&c->blob);
    buf_fini(&c->partial);
    buf_fini(&c->header);
    buf_fini(&c->value);
    buf_fini(&c->address);
    buf_fini(&c->body);
    cleanup_profile_leave(c->profile);
}

void
cleanup_abort(struct cleanup *c)
{
    if (c != NULL)
        cleanup_free(c);
}

/* A line end in what a submitter quotes would begin a field of its own. */
static void
mend_line_ends(char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        bool cr = text[i] == '\r' && (i + 1 == len || text[i + 1] != '\n');
        bool lf = text[i] == '\n' && (i == 0 || text[i - 1] != '\r');

        if (cr || lf)
            text[i] = ' ';
    }
}

void
cleanup_prepend(struct cleanup *c, struct slice header)
{
    struct header_field f;

    while (c->result == RESULT_OK && header_next(&header, &f)) {
        c->field_start = c->header.len;
        buf_add(&c->header, f.whole);
        if (!buf_failed(&c->header))
            mend_line_ends(c->header.ptr + c->field_start, f.whole.len);
        cleanup_field(c);
    }
}

void
cleanup_content(struct cleanup *c, struct slice octets)
{
    const int64_t limit = c->config->message_size_limit;
    struct why why;

    if (c->result != RESULT_OK)
        return;
    c->received += octets.len;
    /* Mail that we made of accepted mail has headers of ours besides. */
    if (limit > 0 && (c->env.flags & ENVELOPE_INTERNAL) == 0 &&
        c->received > (uint64_t)limit) {
        cleanup_fail(c, why_perm(&why, "5.3.4", "Error: message file too big"),
            &why);
        return;
    }
    cleanup_read(c, octets);
}

static enum result
submit(struct cleanup *c, int64_t deadline, struct why *why)
{
    struct submission s = {
        .envelope = c->env,
        .header = buf_slice(&c->header),
        .settles = c->options.settles,
        .blob = c->blob,
    };

    if (c->blob.fd < 0)
        s.body = buf_slice(&c->body);
    /* It is closed in there, whatever comes of it. */
    c->blob = (struct blob){ .fd = -1 };
    return cleanup_queue_of(c)->submit(&s, deadline, why);
}

enum result
cleanup_end(struct cleanup *c, int64_t deadline, struct why *why)
{
    enum result res;

    if (c->result == RESULT_OK)
        cleanup_read_end(c);
    if (c->result == RESULT_OK)
        cleanup_envelope(c);
    if (c->result == RESULT_OK) {
        c->env.size = c->header.len + 2 + c->body_size;
        res = submit(c, deadline, why);
    } else {
        *why = c->why;
        res = c->result;
    }
    cleanup_free(c);
    return res;
}

int
cleanup_reply_code(enum result res, const struct why *why)
{
    static const struct {
        const char *status;
        int code;
    } codes[] = {
        { "4.3.1", 452 },
        { "5.3.4", 552 },
        { "5.1.0", 550 },
        { "5.7.1", 550 },
    };

    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        if (strcmp(why->status, codes[i].status) == 0)
            return codes[i].code;
    return res == RESULT_TEMPFAIL ? 451 : 554;
}
