/*
 * postlog - lines from scripts into the mail system's log.
 */
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/config/config.h"
#include "lib/daemon/command.h"
#include "lib/io/logsink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

enum { FATAL_PAUSE_S = 1, FAILURE_STATUS = 1 };

struct options {
    const char *config_dir, *tag;
    enum log_level level;
    char **words;
};

static void
usage(void)
{
    (void)fprintf(stderr,
        "usage: postlog [-iv] [-c config_dir] [-p priority] [-t tag] "
        "[text...]\n");
    exit(FAILURE_STATUS);
}

static enum log_level
parse_level(const char *name)
{
    static const struct {
        const char *name;
        enum log_level level;
    } levels[] = {
        { "info", LOG_LEVEL_INFO },
        { "warn", LOG_LEVEL_WARNING },
        { "warning", LOG_LEVEL_WARNING },
        { "error", LOG_LEVEL_ERROR },
        { "err", LOG_LEVEL_ERROR },
        { "fatal", LOG_LEVEL_FATAL },
        { "crit", LOG_LEVEL_FATAL },
        { "panic", LOG_LEVEL_PANIC },
    };

    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
        if (slice_eq_nocase(slice_of(name), slice_of(levels[i].name)))
            return levels[i].level;
    log_fatal("bad priority: %s", name);
    exit(FAILURE_STATUS);
}

static struct options
parse_options(int argc, char **argv)
{
    struct options o = {
        .config_dir = getenv("MAIL_CONFIG"),
        .level = LOG_LEVEL_INFO,
    };
    int option;

    while ((option = getopt(argc, argv, "c:ip:t:v")) >= 0)
        switch (option) {
        case 'c':
            o.config_dir = optarg;
            break;
        case 'p':
            o.level = parse_level(optarg);
            break;
        case 't':
            o.tag = optarg;
            break;
        case 'i':
        case 'v':
            break;
        default:
            usage();
        }
    o.words = argv + optind;
    return o;
}

/* Where the daemons write; where that is not ours to write, syslog. */
static void
open_log(const struct config *config)
{
    struct why why;

    if (strcmp(config->maillog_file, "/dev/stdout") == 0) {
        if (logsink_open(LOGSINK_STDOUT, NULL, NULL, &why) == RESULT_OK)
            return;
    } else if (config->maillog_file[0] != '\0') {
        if (logsink_open(LOGSINK_FILE, config->maillog_file, NULL, &why) ==
            RESULT_OK)
            return;
    }
    if (logsink_open(LOGSINK_SYSLOG, NULL, config->syslog_facility, &why) !=
        RESULT_OK)
        log_warning("%s", why.text);
}

static void
log_words(enum log_level level, char **words)
{
    struct buf line;

    buf_init(&line, LOG_TEXT_MAX);
    for (char **w = words; *w != NULL && !buf_failed(&line); w++) {
        if (w != words)
            buf_add_octet(&line, ' ');
        buf_add_text(&line, *w);
    }
    log_write(level, NULL, "%s", buf_text(&line));
    buf_fini(&line);
}

static void
log_input(enum log_level level)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t n;

    while ((n = getline(&line, &room, stdin)) >= 0)
        log_write(level, NULL, SLICE_FMT,
            SLICE_ARG(slice_trim((struct slice){ line, (size_t)n })));
    free(line);
}

int
main(int argc, char **argv)
{
    struct options o;
    struct config_set *set;
    char *tag;
    struct why why;

    log_set_tag("postlog");
    o = parse_options(argc, argv);
    if (command_load(o.config_dir, &set, &why) != RESULT_OK) {
        log_fatal("%s", why.text);
        return FAILURE_STATUS;
    }
    tag = o.tag != NULL
        ? mem_text(o.tag)
        : mem_format("%s/postlog", config_main(set)->syslog_name);
    log_set_tag(tag);
    open_log(config_main(set));
    if (o.words[0] != NULL)
        log_words(o.level, o.words);
    else
        log_input(o.level);
    log_flush();
    if (o.level >= LOG_LEVEL_FATAL)
        (void)sleep(FATAL_PAUSE_S);
    config_drop(set);
    return EX_OK;
}
