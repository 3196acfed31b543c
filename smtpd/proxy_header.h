/*
 * proxy_header - what a proxy in front of us says first: the PROXY protocol of
 * haproxy, versions 1 (text) and 2 (binary).
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"
#include "lib/io/sock.h"

enum {
    PROXY_HEADER_V1_MAX = 107, /* with CRLF */
    /* Version 2 may carry more behind the addresses, which is not looked at. */
    PROXY_HEADER_V2_MAX = 4096,
};

enum proxy_status {
    PROXY_FOUND,
    PROXY_LOCAL, /* the proxy speaks for itself */
    PROXY_MORE,  /* the header goes on */
    PROXY_BAD,   /* *wrong says why */
};

struct proxy_header {
    struct sock_addr client, server;
    size_t length; /* octets of the header */
};

/* in is what was received so far. */
enum proxy_status proxy_header_parse(struct slice in, struct proxy_header *h,
    const char **wrong) ATTR_NONNULL ATTR_MUST_USE;
