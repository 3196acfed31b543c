/*
 * tables - for tests that need a configuration and files for tables: a folder
 * of their own, gone afterwards.
 */
#pragma once

#include "lib/base/mem.h"
#include "lib/config/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* A name that no file has yet, in a folder that tables_fini() removes. */
static char tables_dir[64];

static inline void
tables_init(void)
{
    (void)snprintf(tables_dir, sizeof(tables_dir), "/tmp/postern-test-XXXXXX");
    if (mkdtemp(tables_dir) == NULL)
        abort();
}

static inline void
tables_fini(void)
{
    char *command = mem_format("rm -rf '%s'", tables_dir);

    /* NOLINTNEXTLINE(cert-env33-c): a name that we made */
    if (system(command) != 0)
        abort();
    mem_free(command);
}

/* Freed with mem_free(). */
static inline char *
tables_path(const char *name)
{
    return mem_format("%s/%s", tables_dir, name);
}

static inline void
tables_write(const char *path, const char *text)
{
    char *beside = mem_format("%s.beside", path);
    FILE *f = fopen(beside, "w");

    if (f == NULL || fputs(text, f) < 0 || fclose(f) != 0 ||
        rename(beside, path) < 0)
        abort();
    mem_free(beside);
}

/* A configuration of main.cf text; names of this machine are fixed. */
static inline struct config_set *
tables_config(const char *text)
{
    struct config_set *set;
    struct why why;
    char *all = mem_format("compatibility_level = 3.6\n"
                           "myhostname = mail.example.com\n"
                           "mydomain = example.com\n"
                           "inet_interfaces = 127.0.0.1\n"
                           "alias_maps =\n"
                           "%s",
        text);

    if (config_from_text(all, "", &set, &why) != RESULT_OK) {
        (void)fprintf(stderr, "%s\n", why.text);
        abort();
    }
    mem_free(all);
    return set;
}
