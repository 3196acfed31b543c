#include "cmd/postqueue/options.h"

#include "lib/base/num.h"

#include <getopt.h>
#include <string.h>
#include <unistd.h>

enum long_option { LONG_DESTINATIONS = QUEUE_FILTER_END, LONG_SHAPE };

static const struct option long_options[] = {
    QUEUE_FILTER_LONG_OPTIONS,
    { "destinations", no_argument, NULL, LONG_DESTINATIONS },
    { "shape", no_argument, NULL, LONG_SHAPE },
    { 0 },
};

/* With --shape letters mean what they mean to qshape. */
static bool
wants_shape(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--shape") == 0)
            return true;
    return false;
}

static enum result
usage(struct why *why)
{
    return why_perm(why, "", "%s", "");
}

static enum result
set_mode(struct options *o, enum postqueue_mode mode, struct why *why)
{
    if (o->mode != MODE_NONE)
        return usage(why);
    o->mode = mode;
    o->what = optarg;
    return RESULT_OK;
}

static enum result
set_number(uint32_t *n, uint32_t low, uint32_t high, struct why *why)
{
    if (!num_parse_u32(slice_of(optarg), high, n) || *n < low)
        return why_perm(why, "", "%s: not a number from %u to %u", optarg, low,
            high);
    return RESULT_OK;
}

static enum result
take_shape_option(struct shape_options *s, int option, struct why *why)
{
    switch (option) {
    case 's':
        s->senders = true;
        return RESULT_OK;
    case 'p':
        s->parents = true;
        return RESULT_OK;
    case 'l':
        s->linear = true;
        return RESULT_OK;
    case 'b':
        return set_number(&s->buckets, 1, SHAPE_BUCKETS_MAX, why);
    case 't':
        return set_number(&s->tick, 1, SHAPE_TICK_MAX, why);
    case 'w':
        return set_number(&s->width, 1, 10000, why);
    case 'm':
        return set_number(&s->subdomains, 1, UINT32_MAX, why);
    case 'n':
        return set_number(&s->top, 0, UINT32_MAX, why);
    default: /* -N: how often qshape shows what it has so far */
        return option == 'N' ? RESULT_OK : usage(why);
    }
}

static enum result
take_letter(struct options *o, int option, struct why *why)
{
    switch (option) {
    case 'f':
        return set_mode(o, MODE_FLUSH, why);
    case 'i':
        return set_mode(o, MODE_FLUSH_ID, why);
    case 's':
        return set_mode(o, MODE_FLUSH_SITE, why);
    case 'p':
        return set_mode(o, MODE_LIST, why);
    default:
        return usage(why);
    }
}

static enum result
take(struct options *o, bool shape, int option, int64_t now_us, struct why *why)
{
    if (option >= QUEUE_FILTER_SENDER && option < QUEUE_FILTER_END)
        return queue_filter_set(&o->filter, option, optarg, now_us, why);
    switch (option) {
    case LONG_DESTINATIONS:
        return set_mode(o, MODE_DESTINATIONS, why);
    case LONG_SHAPE:
        return set_mode(o, MODE_SHAPE, why);
    case 'c':
        o->config_dir = optarg;
        return RESULT_OK;
    case 'v':
        return RESULT_OK;
    case 'j':
        o->json = true;
        return RESULT_OK;
    default:
        return shape ? take_shape_option(&o->shape, option, why)
                     : take_letter(o, option, why);
    }
}

/* Queues of a shape, a destination to be shown. */
static enum result
take_arguments(struct options *o, int argc, char **argv, struct why *why)
{
    enum queue_name queue;

    if (o->mode == MODE_DESTINATIONS && optind + 1 == argc) {
        o->what = argv[optind];
        return RESULT_OK;
    }
    if (o->mode != MODE_SHAPE && optind < argc)
        return usage(why);
    for (; optind < argc; optind++) {
        if (!queue_name_parse(slice_of(argv[optind]), &queue))
            return why_perm(why, "", "%s: no such queue", argv[optind]);
        o->queues |= 1U << queue;
    }
    return RESULT_OK;
}

/* -j stands alone, or beside --destinations and --shape. */
static enum result
check(struct options *o, struct why *why)
{
    bool listing;

    if (o->mode == MODE_NONE && o->json)
        o->mode = MODE_JSON;
    else if (o->json && o->mode != MODE_DESTINATIONS && o->mode != MODE_SHAPE)
        return usage(why);
    listing = o->mode == MODE_LIST || o->mode == MODE_JSON ||
        o->mode == MODE_SHAPE;
    if (o->mode == MODE_NONE ||
        (!listing && !queue_filter_is_empty(&o->filter)))
        return usage(why);
    o->shape.json = o->json;
    if (o->shape.width < SHAPE_WIDTH) /* as qshape */
        o->shape.width = SHAPE_WIDTH;
    if (o->queues == 0)
        o->queues = o->mode == MODE_SHAPE
            ? 1U << QUEUE_INCOMING | 1U << QUEUE_ACTIVE
            : (unsigned)QUEUE_ALL;
    return RESULT_OK;
}

enum result
options_parse(int argc, char **argv, int64_t now_us, struct options *o,
    struct why *why)
{
    bool shape = wants_shape(argc, argv);
    const char *letters = shape ? "b:c:jlm:n:N:pst:vw:" : "c:fi:jps:v";
    enum result res = RESULT_OK;
    int option;

    *o = (struct options){
        .shape = { .buckets = SHAPE_BUCKETS,
            .tick = SHAPE_TICK,
            .width = SHAPE_WIDTH,
            .subdomains = SHAPE_SUBDOMAINS,
            .top = isatty(STDOUT_FILENO) ? SHAPE_TOP : 0 },
    };
    optind = 0; /* from the start, whatever was parsed before */
    while (res == RESULT_OK &&
        (option = getopt_long(argc, argv, letters, long_options, NULL)) >= 0)
        res = option == '?' ? usage(why) : take(o, shape, option, now_us, why);
    if (res == RESULT_OK)
        res = take_arguments(o, argc, argv, why);
    if (res == RESULT_OK)
        res = check(o, why);
    return res;
}
