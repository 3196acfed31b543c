/*
 * xclient - XCLIENT: a proxy or a test says for whom it speaks; the session
 * begins anew, as that client's. XFORWARD: a filter says where the message that
 * it brings came from, for the log and those behind us.
 */
#include "lib/base/mem.h"
#include "smtpd/peer.h"
#include "smtpd/reply.h"
#include "smtpd/session.h"
#include "smtpd/xattribute.h"

static bool
is_ready(struct session *s, const char *command, struct slice args,
    bool allowed, struct refusal *no)
{
    if (s->mail.open)
        return refusal_set(no, 503, "5.5.1",
            "Error: MAIL transaction in progress");
    if (args.len == 0)
        return refusal_set(no, 501, "5.5.4", "Syntax: %s attribute=value...",
            command);
    if (!allowed)
        return refusal_set(no, 550, "5.7.0",
            "Error: insufficient authorization");
    return true;
}

/* XCLIENT */

static void
set_text(char **text, struct slice value)
{
    mem_free(*text);
    *text = mem_text_of(value);
}

static void
set_name(const struct xattributes *x, enum xattribute a, char **name,
    enum client_name_status *status)
{
    switch (x->of[a].state) {
    case XSTATE_ABSENT:
        return;
    case XSTATE_KNOWN:
        set_text(name, x->of[a].value);
        *status = CLIENT_NAME_OK;
        return;
    case XSTATE_UNAVAILABLE:
    case XSTATE_TEMPORARILY:
        break;
    }
    set_text(name, SLICE_LIT("unknown"));
    *status = x->of[a].state == XSTATE_TEMPORARILY ? CLIENT_NAME_TEMP
                                                   : CLIENT_NAME_PERM;
}

static void
set_address(const struct xattributes *x, enum xattribute a,
    char addr[SOCK_TEXT_MAX])
{
    struct slice value = x->of[a].state == XSTATE_KNOWN ? x->of[a].value
                                                        : SLICE_LIT("unknown");

    if (x->of[a].state == XSTATE_ABSENT)
        return;
    memcpy(addr, value.ptr, value.len);
    addr[value.len] = '\0';
}

/* A reverse name of its own is kept only where it is another. */
static void
set_client(struct session *s, const struct xattributes *x)
{
    struct client *peer = &s->peer;

    if (peer->reverse_name == NULL)
        peer->reverse_name = mem_text(peer->name);
    set_name(x, XATTRIBUTE_NAME, &peer->name, &peer->name_status);
    set_name(x, XATTRIBUTE_REVERSE_NAME, &peer->reverse_name,
        &peer->reverse_status);
    set_address(x, XATTRIBUTE_ADDR, peer->addr);
    set_address(x, XATTRIBUTE_DESTADDR, peer->dest_addr);
    if (x->of[XATTRIBUTE_PORT].state != XSTATE_ABSENT)
        peer->port = x->port;
    if (x->of[XATTRIBUTE_DESTPORT].state != XSTATE_ABSENT)
        peer->dest_port = x->destport;
    peer_describe(s);
}

static void
set_login(struct session *s, const struct xattributes *x)
{
    if (x->of[XATTRIBUTE_LOGIN].state == XSTATE_ABSENT)
        return;
    login_forget(&s->login);
    if (x->of[XATTRIBUTE_LOGIN].state != XSTATE_KNOWN)
        return;
    s->login.user = mem_text_of(x->of[XATTRIBUTE_LOGIN].value);
    s->login.method = mem_text("XCLIENT");
}

static void
set_hello(struct session *s, const struct xattributes *x)
{
    mem_free(s->helo);
    s->helo = x->of[XATTRIBUTE_HELO].state == XSTATE_KNOWN
        ? helo_clean(s, x->of[XATTRIBUTE_HELO].value)
        : NULL;
    s->esmtp = x->of[XATTRIBUTE_PROTO].state == XSTATE_KNOWN &&
        slice_eq_nocase(x->of[XATTRIBUTE_PROTO].value, SLICE_LIT("ESMTP"));
}

/*
 * Everything that depends on the client begins anew, but the right to XCLIENT
 * and XFORWARD: that stays with who connected.
 */
enum command_result
command_xclient(struct session *s, struct slice args)
{
    struct xattributes x;
    struct refusal no;

    if (!is_ready(s, "XCLIENT", args, s->may_xclient, &no) ||
        !xattributes_parse("XCLIENT", args, &s->mail.arena, &x, &no)) {
        reply_refusal(s, &no);
        return COMMAND_BAD;
    }
    set_client(s, &x);
    set_login(s, &x);
    set_hello(s, &x);
    session_reset(s);
    session_begin(s);
    return COMMAND_GOOD;
}

/* XFORWARD */

static struct slice
value_of(const struct xattributes *x, enum xattribute a, struct slice before)
{
    switch (x->of[a].state) {
    case XSTATE_ABSENT:
        return before;
    case XSTATE_KNOWN:
        return x->of[a].value;
    case XSTATE_UNAVAILABLE:
    case XSTATE_TEMPORARILY:
        break;
    }
    return (struct slice){ NULL, 0 };
}

enum command_result
command_xforward(struct session *s, struct slice args)
{
    struct forwarded *f = &s->mail.forwarded;
    struct xattributes x;
    struct refusal no;

    if (!is_ready(s, "XFORWARD", args, s->may_xforward, &no) ||
        !xattributes_parse("XFORWARD", args, &s->mail.arena, &x, &no)) {
        reply_refusal(s, &no);
        return COMMAND_BAD;
    }
    f->given = true;
    f->name = value_of(&x, XATTRIBUTE_NAME, f->name);
    f->addr = value_of(&x, XATTRIBUTE_ADDR, f->addr);
    f->port = value_of(&x, XATTRIBUTE_PORT, f->port);
    f->proto = value_of(&x, XATTRIBUTE_PROTO, f->proto);
    f->helo = value_of(&x, XATTRIBUTE_HELO, f->helo);
    f->ident = value_of(&x, XATTRIBUTE_IDENT, f->ident);
    f->local = x.of[XATTRIBUTE_SOURCE].state == XSTATE_ABSENT
        ? f->local
        : slice_eq_nocase(x.of[XATTRIBUTE_SOURCE].value, SLICE_LIT("LOCAL"));
    reply(s, 250, "2.0.0 Ok");
    return COMMAND_GOOD;
}
