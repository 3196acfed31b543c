/*
 * unstuff - what a client sends after DATA, into lines that end with CRLF.
 *
 * Takes off the dots of RFC 5321 section 4.5.2 and finds the end. A bare LF
 * ends a line like CRLF does, and so does LF behind several CRs; any other CR
 * becomes a blank. None is ever passed on, so that no other server sees an end of
 * data that we did not see.
 *
 * UNSTUFF_STRICT ends only at CRLF "." CRLF; a line with nothing but a dot that
 * is fenced in another way is dropped. (smtpd_forbid_bare_newline other than
 * "no".) UNSTUFF_LENIENT ends at any line with nothing but a dot. UNSTUFF_RAW
 * knows no dots and no end: what sendmail(1) hands over.
 *
 * The state is small and holds no octets but CRs, which are counted, or a dot, so
 * the input may be cut anywhere.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"

#include <stdbool.h>
#include <stdint.h>

enum unstuff_mode { UNSTUFF_STRICT, UNSTUFF_LENIENT, UNSTUFF_RAW };

struct unstuff {
    enum unstuff_mode mode;
    enum {
        UNSTUFF_AT_START, /* of a line */
        UNSTUFF_IN_LINE,
        UNSTUFF_CR,     /* in a line, CRs are held back */
        UNSTUFF_DOT,    /* a dot at the start of a line is held back */
        UNSTUFF_DOT_CR, /* and a CR behind it */
    } state;
    bool after_crlf;   /* the line before this one ended with CRLF */
    bool bare_lf;      /* there was one */
    uint64_t more_crs; /* of those held back, all but the first */
    uint64_t blanks;   /* for CRs, that come out behind what is due */
    struct slice due;  /* what comes out next, before more input is looked at */
};

void unstuff_init(struct unstuff *u, enum unstuff_mode mode) ATTR_NONNULL;

enum unstuff_step {
    UNSTUFF_RUN,  /* *run is to be passed on; there may be more in *in */
    UNSTUFF_MORE, /* *in is used up */
    UNSTUFF_END,  /* the end of data; *in is what follows it */
};

/*
 * Take from the front of *in. *run borrows from it or is constant; runs are as
 * long as the input allows.
 */
enum unstuff_step unstuff_next(struct unstuff *u, struct slice *in,
    struct slice *run) ATTR_NONNULL ATTR_MUST_USE;

/*
 * There is no more input (UNSTUFF_RAW): true when *run is one last piece for what
 * was held back; of very many CRs it has as many blanks as fit.
 */
bool unstuff_finish(struct unstuff *u, struct slice *run)
    ATTR_NONNULL ATTR_MUST_USE;
