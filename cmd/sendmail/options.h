/*
 * options - sendmail(1)'s command line, as Sendmail and Postfix have it.
 *
 * It has its own parser: "-oi", "-odb", "-o x value" and "-bm" are older than
 * getopt(3). What Postfix ignores is ignored.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/why.h"
#include "lib/mail/envelope.h"

#include <stdbool.h>
#include <stdint.h>

enum sendmail_mode {
    MODE_SUBMIT,  /* -bm */
    MODE_VERIFY,  /* -bv */
    MODE_SMTP,    /* -bs */
    MODE_LIST,    /* -bp, mailq */
    MODE_ALIASES, /* -bi, -I, newaliases */
    MODE_DAEMON,  /* -bd, -bl */
    MODE_FLUSH,   /* -q, -qI, -qR */
    MODE_IGNORED, /* -bh, -bH */
};

struct sendmail_options {
    enum sendmail_mode mode;
    const char *config_dir;     /* -C; NULL: not given */
    const char *sender;         /* -f, -r; NULL: whoever calls */
    const char *full_name;      /* -F; NULL: not given */
    const char *alias_database; /* -oA; NULL: alias_database of main.cf */
    const char *flush_id, *flush_site; /* -qI, -qR */
    const char *envid;                 /* -V; NULL: not given */
    uint32_t notify;                   /* -N: set of enum dsn_notify */
    enum dsn_ret ret;                  /* -R */
    bool eight_bit;                    /* -B 8BITMIME */
    bool extract_recipients;           /* -t */
    bool ignore_dots;                  /* -i, -oi */
    bool trace;                        /* -v */
    char **recipients;                 /* the rest of argv, ends with NULL */
};

/* What the program is called decides when there is no -b: mailq, newaliases. */
enum result sendmail_options_parse(char **argv, struct sendmail_options *o,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;
