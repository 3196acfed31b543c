/*
 * command - the verbs of SMTP, each with what it does and when it may be said.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"

#include <stdbool.h>

struct session;

/* The order is that of the counts in the "disconnect from" line. */
enum verb {
    VERB_HELO,
    VERB_EHLO,
    VERB_XCLIENT,
    VERB_XFORWARD,
    VERB_STARTTLS,
    VERB_AUTH,
    VERB_MAIL,
    VERB_RCPT,
    VERB_DATA,
    VERB_BDAT,
    VERB_RSET,
    VERB_NOOP,
    VERB_VRFY,
    VERB_ETRN,
    VERB_HELP,
    VERB_QUIT,
    VERB_UNKNOWN,
    VERB_COUNT,
};

enum command_result {
    COMMAND_GOOD,
    COMMAND_BAD,     /* counts as an error of the client */
    COMMAND_REFUSED, /* not good, but no error either */
    COMMAND_LEFT,    /* the client is gone; nothing more can be said */
    COMMAND_LATE,    /* the client did not go on in time */
    COMMAND_HANGUP,  /* the last word was said */
    COMMAND_CUT,     /* the process is ending, and could wait no longer */
};

enum command_flag {
    COMMAND_NEEDS_HELO = 1 << 0, /* when smtpd_helo_required */
    COMMAND_JUNK = 1 << 1,       /* counted for smtpd_junk_command_limit */
    COMMAND_ALWAYS = 1 << 2,     /* also for clients that were refused */
    COMMAND_LAST = 1 << 3, /* nothing may be sent along (RFC 2920 section 3) */
};

struct command {
    const char *name;       /* as the log has it: "RCPT" */
    const char *count_name; /* and the disconnect line: "rcpt" */
    enum command_result (*run)(struct session *s, struct slice args);
    unsigned flags; /* set of enum command_flag */
};

extern const struct command commands[VERB_COUNT];

/*
 * The verb at the start of line, and in *args what follows, without blanks at
 * both ends. VERB_COUNT: the line is empty.
 */
enum verb command_parse(struct slice line, struct slice *args) ATTR_NONNULL;

/* In smtpd_forbidden_commands: what no command begins with. */
#define COMMAND_NO_LETTER "regexp:{{/^[^A-Z]/ Bogus}}"

/*
 * Is this no SMTP at all: a name in smtpd_forbidden_commands, or a message
 * header? Then the client is shown the door.
 */
bool command_is_forbidden(const char *forbidden, enum verb verb,
    struct slice line) ATTR_NONNULL;

/* Is the first word of line in list, smtpd_noop_commands say? */
bool command_is_listed(const char *list, struct slice line) ATTR_NONNULL;

/* One file each, or small ones together: hello, mail, rcpt, data, inquiry. */
enum command_result command_helo(struct session *s, struct slice args);
enum command_result command_ehlo(struct session *s, struct slice args);
enum command_result command_mail(struct session *s, struct slice args);
enum command_result command_rcpt(struct session *s, struct slice args);
enum command_result command_data(struct session *s, struct slice args);
enum command_result command_bdat(struct session *s, struct slice args);
enum command_result command_xclient(struct session *s, struct slice args);
enum command_result command_xforward(struct session *s, struct slice args);
enum command_result command_rset(struct session *s, struct slice args);
enum command_result command_noop(struct session *s, struct slice args);
enum command_result command_vrfy(struct session *s, struct slice args);
enum command_result command_etrn(struct session *s, struct slice args);
enum command_result command_help(struct session *s, struct slice args);
enum command_result command_quit(struct session *s, struct slice args);
