/* What a peer asks of us over a link: served on fibers or at once. */
#include "lib/base/mem.h"
#include "lib/ipc/link_private.h"

#include <assert.h>

/* A message of the peer that is being served. */
struct served {
    struct request request; /* first: what the handler sees */
    struct link *home;      /* outlives request.link */
    struct list node;       /* in link.served */
    struct list waiting;    /* in link.waiting */
    const struct link_handler *handler;
};

/* Requests of the peer. */

static void
served_free(struct served *s)
{
    struct link *l = s->home;

    list_remove(&s->node);
    list_remove(&s->waiting);
    l->served_count--;
    l->served_octets -= s->request.in->body.len;
    if (!l->ended)
        fiber_cond_broadcast(&l->resume);
    msg_in_free(s->request.in);
    mem_free(s);
    link_unref(l);
}

static void serve_next(struct link *l);

static void
serve_main(void *arg)
{
    struct served *s = arg;
    struct link *l = s->home;

    /* The link ended in the turn in which it came: as if it had waited. */
    if (s->request.link == NULL)
        served_free(s);
    else
        s->handler->serve(&s->request);
    l->fibers--;
    serve_next(l);
    link_unref(l);
}

/* False when there is no memory for a fiber. */
static bool
serve_on_fiber(struct link *l, struct served *s)
{
    if (fiber_spawn("link request", serve_main, s) == NULL)
        return false;
    l->fibers++;
    link_ref(l);
    return true;
}

/* Those that wait, as far as there are fibers for them. */
static void
serve_next(struct link *l)
{
    while (!l->options.hold && !l->ended && !list_empty(&l->waiting)) {
        struct served *s = LIST_ENTRY(l->waiting.next, struct served, waiting);
        bool at_once = s->handler->mode == SERVE_INLINE;

        if (!at_once && l->fibers >= LINK_FIBERS_MAX)
            return;
        list_remove(&s->waiting);
        if (at_once) {
            s->handler->serve(&s->request);
        } else if (!serve_on_fiber(l, s)) {
            list_prepend(&l->waiting, &s->waiting);
            link_break_with(l, s->request.in->type, "no memory to serve it");
            return;
        }
    }
}

void
link_take_request(struct link *l, struct msg_in *m)
{
    const struct link_handler *h = l->handlers[m->type];
    struct served *s;

    if (h == NULL) {
        if (message_rule(m->type)->kind != KIND_ONE_WAY)
            link_break_with(l, m->type, "not served here");
        msg_in_free(m);
        return;
    }
    if (l->options.may != NULL &&
        !l->options.may(l->options.context, m->type)) {
        link_break_with(l, m->type, "not in this state");
        msg_in_free(m);
        return;
    }
    if (l->served_count >= LINK_REQUESTS_MAX ||
        l->served_octets > LINK_HELD_MAX) {
        link_break_with(l, m->type, "too many at a time");
        msg_in_free(m);
        return;
    }
    s = mem_alloc(sizeof(*s));
    *s = (struct served){
        .request = { .link = l, .in = m, .context = l->options.context },
        .home = l,
        .handler = h,
    };
    list_append(&l->served, &s->node);
    list_init(&s->waiting);
    l->served_count++;
    l->served_octets += m->body.len;
    link_ref(l);
    if (h->mode == SERVE_INLINE && !l->options.hold) {
        h->serve(&s->request);
    } else {
        list_append(&l->waiting, &s->waiting);
        serve_next(l);
    }
}

void
link_release(struct link *l)
{
    link_ref(l);
    l->options.hold = false;
    serve_next(l);
    link_unref(l);
}

/* What is not started yet is forgotten, what is under way loses its way back. */
void
link_orphan_requests(struct link *l)
{
    while (!list_empty(&l->waiting))
        served_free(LIST_ENTRY(l->waiting.next, struct served, waiting));
    list_foreach (it, &l->served) {
        struct served *s = LIST_ENTRY(it, struct served, node);

        s->request.link = NULL;
        s->request.context = NULL;
    }
}

struct msg_in *
request_take_in(struct request *r)
{
    struct served *s = LIST_ENTRY(r, struct served, request);
    struct msg_in *in = r->in;
    struct msg_in *rest = mem_alloc(sizeof(*rest));

    /* What is needed to answer it. */
    rest->type = in->type;
    rest->number = in->number;
    r->in = rest;
    s->home->served_octets -= in->body.len;
    if (!s->home->ended)
        fiber_cond_broadcast(&s->home->resume);
    return in;
}

void
request_drop(struct request *r)
{
    served_free(LIST_ENTRY(r, struct served, request));
}

void
request_reply(struct request *r, struct msg *answer)
{
    if (r->link != NULL) {
        assert(message_rule(r->in->type)->answer == answer->type);
        link_send_out(r->link, answer, r->in->number);
    } else {
        msg_fini(answer);
    }
    request_drop(r);
}

void
request_item(struct request *r, struct msg *item)
{
    if (r->link != NULL) {
        assert(message_rule(item->type)->kind == KIND_ITEM);
        link_send_out(r->link, item, r->in->number);
    } else {
        msg_fini(item);
    }
}

enum link_status
request_wait_room(struct request *r, int64_t deadline)
{
    while (r->link != NULL && !link_has_room(r->link)) {
        enum link_status st = link_status_of_wait(
            fiber_cond_wait(&r->link->room, deadline));

        if (st != LINK_OK)
            return st;
    }
    return r->link == NULL ? LINK_GONE : LINK_OK;
}
