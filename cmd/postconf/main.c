/*
 * postconf: options, what may go with what, and which part does the work.
 */
#include "cmd/postconf/postconf.h"
#include "lib/base/mem.h"
#include "lib/table/table.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

ATTR_PRINTF(2, 0)
static void
say(const char *severity, const char *fmt, va_list ap)
{
    fflush(stdout);
    fprintf(stderr, "postconf: %s: ", severity);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
}

void
postconf_warn(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say("warning", fmt, ap);
    va_end(ap);
}

void
postconf_fatal(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say("fatal", fmt, ap);
    va_end(ap);
    exit(EXIT_FAILURE);
}

void
postconf_tell(void *context, enum config_severity severity, const char *text)
{
    (void)context;
    if (severity == CONFIG_ERROR)
        postconf_fatal("%s", text);
    postconf_warn("%s", text);
}

static void
read_text(const char *path, enum file_need need, struct buf *text)
{
    struct why why;

    buf_init(text, 64 << 20);
    if (set_read_file(path, need, text, &why) != RESULT_OK)
        postconf_fatal("%s", why.text);
}

/* Read what the action needs into set. */
static void
read_main(struct postconf *pc)
{
    struct config_set *set = pc->set;
    struct report report = { .tell = postconf_tell, .file = set->main_file };
    struct buf text;

    if (!pc->defaults) {
        read_text(set->main_file,
            pc->object == OBJECT_MAIN ? FILE_REQUIRED : FILE_OPTIONAL, &text);
        main_parse(set, buf_slice(&text), &report);
        buf_fini(&text);
    }
    report = (struct report){ 0 }; /* that they override is no news */
    for (size_t i = 0; i < pc->overrides; i++)
        main_parse(set, slice_of(pc->override[i]), &report);
}

static void
read_master(struct postconf *pc)
{
    struct config_set *set = pc->set;
    struct report report = { .tell = postconf_tell, .file = set->master_file };
    struct buf text;

    read_text(set->master_file,
        pc->object == OBJECT_MAIN ? FILE_OPTIONAL : FILE_REQUIRED, &text);
    master_parse(buf_slice(&text), &set->arena, &report, &set->entries);
    services_prepare(set, &report);
    buf_fini(&text);
}

const char *
postconf_value(const struct postconf *pc, const struct config_scope *scope,
    const char *text)
{
    const char *value;
    struct why why;

    if (!pc->expand)
        return text;
    if (scope_expand(scope, text, &value, &why) != RESULT_OK)
        postconf_fatal("%s", why.text);
    return value;
}

static unsigned
parse_classes(const char *text)
{
    static const struct {
        const char *name;
        unsigned class;
    } names[] = { { "builtin", CLASS_BUILTIN }, { "service", CLASS_SERVICE },
        { "user", CLASS_USER }, { "all", CLASS_ALL } };
    struct slice rest = slice_of(text), word;
    unsigned classes = 0;

    while (config_list_next(&rest, &word)) {
        unsigned before = classes;

        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
            if (slice_eq_text(word, names[i].name))
                classes |= names[i].class;
        }
        if (classes == before)
            postconf_fatal("bad class name: \"%.*s\"", SLICE_ARG(word));
    }
    return classes == 0 ? CLASS_ALL : classes;
}

static void
usage(void)
{
    fprintf(stderr,
        "usage: postconf [-dfhHnx] [-c dir] [-C class,...] [-o name=value] "
        "[name ...]\n"
        "       postconf [-e] [-c dir] name=value ...\n"
        "       postconf -# | -X [-c dir] name ...\n"
        "       postconf -M [-fx] [-c dir] [service[/type] ...]\n"
        "       postconf -F [-fhHx] [-c dir] [service[/type[/field]] ...]\n"
        "       postconf -P [-fhHx] [-c dir] [service[/type[/parameter]] ...]\n"
        "       postconf -Me | -Fe | -Pe [-c dir] service/type...=value ...\n"
        "       postconf -M# | -MX | -PX [-c dir] service/type... ...\n"
        "       postconf -l | -m\n");
    exit(EX_USAGE);
}

static void
list_locks(void)
{
    puts("flock\nfcntl\ndotlock");
    exit(EXIT_SUCCESS);
}

static int
compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* "proxy" is no type of its own: it says where a table is asked. */
static void
list_tables(void)
{
    const char *names[64] = { "proxy" };
    size_t n = 1;

    for (size_t i = 0;
         n < sizeof(names) / sizeof(names[0]) && table_type_name(i) != NULL;
         i++)
        names[n++] = table_type_name(i);
    qsort(names, n, sizeof(names[0]), compare_names);
    for (size_t i = 0; i < n; i++)
        puts(names[i]);
    exit(EXIT_SUCCESS);
}

static void
set_action(struct postconf *pc, enum postconf_action action)
{
    if (pc->action != ACTION_SHOW && pc->action != action)
        postconf_fatal("specify one of -e, -X and -#");
    pc->action = action;
}

static void
set_object(struct postconf *pc, enum postconf_object object)
{
    if (pc->object != OBJECT_MAIN && pc->object != object)
        postconf_fatal("specify one of -F, -M and -P");
    pc->object = object;
}

static void
add_override(struct postconf *pc, char *text)
{
    if (strchr(text, '=') == NULL)
        postconf_fatal("-o needs name=value, not \"%s\"", text);
    pc->override = mem_resize(pc->override,
        (pc->overrides + 1) * sizeof(pc->override[0]));
    pc->override[pc->overrides++] = text;
}

static void
parse_options(struct postconf *pc, int argc, char **argv)
{
    int c;

    while ((c = getopt(argc, argv, "+c:C:deffFhHlmMno:pPvxX#")) != -1) {
        switch (c) {
        case 'c':
            pc->directory = optarg;
            break;
        case 'C':
            pc->classes = parse_classes(optarg);
            break;
        case 'd':
            pc->defaults = true;
            break;
        case 'e':
            set_action(pc, ACTION_EDIT);
            break;
        case 'f':
            pc->fold = true;
            break;
        case 'F':
            set_object(pc, OBJECT_FIELD);
            break;
        case 'h':
            pc->hide_names = true;
            break;
        case 'H':
            pc->hide_values = true;
            break;
        case 'l':
            list_locks();
            break;
        case 'm':
            list_tables();
            break;
        case 'M':
            set_object(pc, OBJECT_SERVICE);
            break;
        case 'n':
            pc->set_only = true;
            break;
        case 'o':
            add_override(pc, optarg);
            break;
        case 'p':
        case 'v':
            break;
        case 'P':
            set_object(pc, OBJECT_PARAMETER);
            break;
        case 'x':
            pc->expand = true;
            break;
        case 'X':
            set_action(pc, ACTION_REMOVE);
            break;
        case '#':
            set_action(pc, ACTION_COMMENT);
            break;
        default:
            usage();
        }
    }
    pc->argument = argv + optind;
    pc->arguments = (size_t)(argc - optind);
}

/* "postconf name=value" edits without -e, as it has since Postfix 2.8. */
static void
imply_edit(struct postconf *pc)
{
    if (pc->action != ACTION_SHOW || pc->arguments == 0)
        return;
    if (strchr(pc->argument[0], '=') != NULL)
        pc->action = ACTION_EDIT;
}

static void
check_options(const struct postconf *pc)
{
    bool edit = pc->action != ACTION_SHOW;
    bool master = pc->object != OBJECT_MAIN;

    if (pc->defaults && pc->set_only)
        postconf_fatal("specify one of -d -n");
    if (pc->hide_names && pc->hide_values)
        postconf_fatal("specify one of -h -H");
    if (master && (pc->defaults || pc->set_only || pc->classes != CLASS_ALL))
        postconf_fatal("with -F, -M and -P, do not specify -C, -d or -n");
    if (pc->object == OBJECT_SERVICE && (pc->hide_names || pc->hide_values))
        postconf_fatal("with option -M, do not specify -%c",
            pc->hide_names ? 'h' : 'H');
    if (edit &&
        (pc->defaults || pc->set_only || pc->expand || pc->fold ||
            pc->hide_names || pc->hide_values || pc->overrides > 0))
        postconf_fatal("with -e, -X and -#, do not specify -d, -f, -h, -H, "
                       "-n, -o or -x");
    if (edit && pc->arguments == 0)
        postconf_fatal("missing service argument");
    if (pc->object == OBJECT_FIELD && edit && pc->action != ACTION_EDIT)
        postconf_fatal("-F goes with -e alone");
    if (pc->object == OBJECT_PARAMETER && pc->action == ACTION_COMMENT)
        postconf_fatal("-P does not go with -#");
}

static void
act(struct postconf *pc)
{
    if (pc->action != ACTION_SHOW) {
        if (pc->object == OBJECT_MAIN)
            edit_main(pc);
        else
            edit_master(pc);
        return;
    }
    read_main(pc);
    read_master(pc);
    switch (pc->object) {
    case OBJECT_MAIN:
        show_main(pc);
        break;
    case OBJECT_SERVICE:
        show_services(pc);
        break;
    case OBJECT_FIELD:
        show_fields(pc);
        break;
    case OBJECT_PARAMETER:
        show_overrides(pc);
        break;
    }
}

int
main(int argc, char **argv)
{
    struct postconf pc = { .directory = config_default_directory(),
        .classes = CLASS_ALL };

    parse_options(&pc, argc, argv);
    imply_edit(&pc);
    check_options(&pc);
    pc.set = set_new(pc.directory);
    pc.set->live = true;
    act(&pc);
    set_free(pc.set);
    mem_free(pc.override);
    if (fflush(stdout) != 0 || ferror(stdout))
        postconf_fatal("write to standard output failed");
    return EXIT_SUCCESS;
}
