/*
 * postmap, postalias - lookup tables: built, asked, edited, listed. (newaliases is
 * sendmail's, and runs postalias.)
 */
#include "cmd/postmap/query.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/table/rebuild.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

enum { USAGE_STATUS = 1, FAILURE_STATUS = 1 };

enum program { POSTMAP, POSTALIAS };

struct options {
    enum program program;
    const char *config_dir;
    const char *query, *delete;
    bool list, json;
    unsigned flags;   /* set of enum rebuild_flag */
    unsigned message; /* set of enum message_keys */
    char **tables;
};

static const char *
program_name(enum program program)
{
    return program == POSTALIAS ? "postalias" : "postmap";
}

static void
usage(enum program program)
{
    (void)fprintf(stderr,
        "usage: %s [-%sFfijnNoprsuUvw] [-c config_dir] [-d key] [-q key] "
        "[file_type:]file_name...\n",
        program_name(program), program == POSTMAP ? "bhm" : "");
    exit(USAGE_STATUS);
}

static void
fail(const struct why *why)
{
    log_fatal("%s", why->text);
    exit(FAILURE_STATUS);
}

static enum program
parse_name(const char *argv0)
{
    struct slice name = slice_of(argv0);

    name = slice_skip(name, slice_rfind(name, '/') + 1);
    if (name.len == 0) /* no slash */
        name = slice_of(argv0);
    return slice_eq_text(name, "postalias") ? POSTALIAS : POSTMAP;
}

static void
parse_option(struct options *o, int option)
{
    switch (option) {
    case 'c':
        o->config_dir = optarg;
        break;
    case 'd':
        o->delete = optarg;
        break;
    case 'q':
        o->query = optarg;
        break;
    case 's':
        o->list = true;
        break;
    case 'j':
        o->json = true;
        break;
    case 'b':
        o->message |= MESSAGE_BODY;
        break;
    case 'h':
        o->message |= MESSAGE_HEADER;
        break;
    case 'm':
        o->message |= MESSAGE_MIME;
        break;
    case 'N':
        o->flags |= REBUILD_NUL;
        break;
    case 'f':
        o->flags |= REBUILD_NO_FOLD;
        break;
    case 'F':
        o->flags |= REBUILD_FILES;
        break;
    case 'i':
        o->flags |= REBUILD_FROM_STDIN;
        break;
    case 'n':
        o->flags |= REBUILD_NO_NUL;
        break;
    case 'o':
        o->flags |= REBUILD_KEEP_ROOT;
        break;
    case 'p':
        o->flags |= REBUILD_DEFAULT_MODE;
        break;
    case 'r':
        o->flags |= REBUILD_REPLACE;
        break;
    case 'w':
        o->flags |= REBUILD_IGNORE;
        break;
    case 'u': /* keys and values are octets here */
    case 'U':
    case 'v':
        break;
    default:
        usage(o->program);
    }
}

static void
check_message_options(struct options *o)
{
    if (o->message == 0)
        return;
    if (o->query == NULL || strcmp(o->query, "-") != 0) {
        log_fatal("specify -b -h or -m only with \"-q -\"");
        exit(FAILURE_STATUS);
    }
    if (o->message == MESSAGE_MIME) {
        log_warning("ignoring -m option without -b or -h");
        o->message = 0;
    }
}

static struct options
parse_options(int argc, char **argv)
{
    struct options o = { .program = parse_name(argv[0]) };
    int option;

    log_set_tag(program_name(o.program));
    o.config_dir = getenv("MAIL_CONFIG");
    while ((option = getopt(argc, argv,
                o.program == POSTMAP ? "bNc:d:fFhijmnopq:rsuUvw"
                                     : "Nc:d:fFijnopq:rsuUvw")) >= 0)
        parse_option(&o, option);
    o.tables = argv + optind;
    check_message_options(&o);
    if ((o.query != NULL) + (o.delete != NULL) + o.list > 1) {
        (void)fprintf(stderr, "specify only one of -d, -q or -s\n");
        usage(o.program);
    }
    if (o.json && o.query == NULL && !o.list) {
        (void)fprintf(stderr, "specify -j only with -q or -s\n");
        usage(o.program);
    }
    if ((o.flags & REBUILD_REPLACE) && (o.flags & REBUILD_IGNORE)) {
        (void)fprintf(stderr, "specify only one of -r or -w\n");
        usage(o.program);
    }
    if (o.tables[0] == NULL)
        usage(o.program);
    return o;
}

static void
report(void *context, enum config_severity severity, const char *text)
{
    (void)context;
    if (severity == CONFIG_ERROR)
        log_fatal("%s", text);
    else
        log_warning("%s", text);
}

static struct config_set *
read_configuration(const struct options *o)
{
    struct config_set *set;
    struct why why;

    if (config_load_main(o->config_dir, report, NULL, &set, &why) != RESULT_OK)
        fail(&why);
    return set;
}

/* Exit status: found or not. */
static int
query_tables(const struct options *o, const struct config *config)
{
    const struct query q = {
        .config = config,
        .fold = (o->flags & REBUILD_NO_FOLD) == 0,
        .decode = (o->flags & REBUILD_FILES) != 0,
        .json = o->json,
        .message = o->message,
        .colon = o->program == POSTMAP ? "" : ":",
        .specs = o->tables,
    };
    const char *key = o->query != NULL ? o->query : o->delete;
    bool found = o->list;
    enum result res;
    struct why why;

    if (o->list)
        res = list_tables(&q, &why);
    else if (o->query != NULL && strcmp(key, "-") == 0)
        res = query_keys(&q, &found, &why);
    else if (o->query != NULL)
        res = query_key(&q, slice_of(key), &found, &why);
    else if (strcmp(key, "-") == 0)
        res = delete_keys(&q, &found, &why);
    else
        res = delete_key(&q, slice_of(key), &found, &why);
    if (fflush(stdout) != 0)
        res = why_errno(&why, "write output");
    if (res != RESULT_OK)
        fail(&why);
    return found ? EXIT_SUCCESS : FAILURE_STATUS;
}

static void
build(struct slice spec, const struct options *o, const struct config *config)
{
    const enum rebuild_source source = o->program == POSTMAP
        ? REBUILD_POSTMAP
        : REBUILD_POSTALIAS;
    struct why why;

    if (table_rebuild(spec, source, o->flags, config, &why) != RESULT_OK)
        fail(&why);
}

static int
build_tables(const struct options *o, const struct config *config)
{
    for (size_t i = 0; o->tables[i] != NULL; i++)
        build(slice_of(o->tables[i]), o, config);
    return EXIT_SUCCESS;
}

int
main(int argc, char **argv)
{
    struct options o = parse_options(argc, argv);
    struct config_set *set = read_configuration(&o);
    int status;

    if (o.query != NULL || o.delete != NULL || o.list)
        status = query_tables(&o, config_main(set));
    else
        status = build_tables(&o, config_main(set));
    config_drop(set);
    return status;
}
