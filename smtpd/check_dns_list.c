/*
 * check_dns_list - lists in DNS of clients, names and domains: reject_rbl_client,
 * reject_rhsbl_..., permit_dnswl_client, permit_rhswl_client.
 */
#include "lib/base/log.h"
#include "lib/base/num.h"
#include "lib/mail/status.h"
#include "smtpd/answers.h"
#include "smtpd/attribute.h"
#include "smtpd/checks.h"
#include "smtpd/recipient.h"
#include "smtpd/session.h"

/* Questions: the name that a list is asked for */

QUESTION_FN(question_client_address)
{
    return dns_list_name_of_address(slice_of(e->s->peer.addr), c->list.domain,
        to);
}

/* name is a host, or an address whose domain counts. */
static bool
question_domain(struct slice name, const struct check *c, struct buf *to)
{
    size_t at = slice_rfind(name, '@');
    struct slice domain = at < name.len ? slice_skip(name, at + 1) : name;

    if (domain.len > 0 && domain.ptr[domain.len - 1] == '.')
        domain.len--;
    if (domain.len == 0 || domain.ptr[0] == '[' ||
        slice_eq_text(domain, "unknown"))
        return false;
    buf_add(to, domain);
    buf_add_text(to, ".");
    buf_add(to, c->list.domain);
    return true;
}

QUESTION_FN(question_client_name)
{
    return question_domain(slice_of(e->s->peer.name), c, to);
}

QUESTION_FN(question_reverse_client_name)
{
    return question_domain(slice_of(session_reverse_name(e->s)), c, to);
}

QUESTION_FN(question_helo)
{
    return question_domain(slice_of(e->s->helo), c, to);
}

QUESTION_FN(question_sender_domain)
{
    return e->s->mail.envelope.sender.len > 0 &&
        question_domain(e->s->mail.sender_rewritten, c, to);
}

QUESTION_FN(question_recipient_domain)
{
    return e->s->recipient.len > 0 &&
        question_domain(e->s->recipient_rewritten, c, to);
}

/* Replies */

/* A reply template being filled in. */
struct filling {
    struct evaluation *e;
    const struct check *c;
    struct subject about;
    struct buf value; /* the last one that was looked up */
};

static const char *
value_of(void *context, struct slice name)
{
    struct filling *f = context;
    const struct session *s = f->e->s;

    buf_clear(&f->value);
    if (slice_eq_text(name, "rbl_code"))
        buf_add_format(&f->value, "%jd",
            (intmax_t)s->config->maps_rbl_reject_code);
    else if (slice_eq_text(name, "rbl_domain"))
        attribute_add_filtered(s, f->c->list.domain, &f->value);
    else if (slice_eq_text(name, "rbl_reason") ||
        slice_eq_text(name, "rbl_txt"))
        attribute_add_filtered(s, slice_of(answers_reason(f->e, f->c)),
            &f->value);
    else if (slice_eq_text(name, "rbl_class"))
        buf_add_text(&f->value, subject_name(f->about.class));
    else if (slice_eq_text(name, "rbl_what"))
        attribute_add_filtered(s, f->about.text, &f->value);
    else if (!attribute_find(s, name, &f->value))
        return NULL;
    return buf_text(&f->value);
}

static bool
fill(struct filling *f, const char *template, struct buf *to, struct why *why)
{
    buf_clear(to);
    return config_expand_once(slice_of(template), value_of, f, to, why) ==
        RESULT_OK;
}

/* Replies longer than a line are not for SMTP: cut by refusal_set(). */
static enum verdict
refuse_with(struct evaluation *e, struct slice reply)
{
    char status[STATUS_SIZE];
    uint32_t code;
    struct slice text;

    if (!num_parse_u32(slice_head(reply, 3), 599, &code) || code < 400 ||
        (reply.len > 3 && reply.ptr[3] != ' ')) {
        log_write(LOG_LEVEL_WARNING, e->s->profile->tag,
            "response code configuration error: " SLICE_FMT, SLICE_ARG(reply));
        return evaluation_refuse(e, 450, "4.7.1", "Service unavailable");
    }
    text = status_split(slice_trim(slice_skip(reply, 3)),
        code >= 500 ? "5.7.1" : "4.7.1", status);
    if (text.len == 0)
        text = SLICE_LIT("Service unavailable");
    return evaluation_refuse(e, (int)code, status, SLICE_FMT, SLICE_ARG(text));
}

/* The list's own reply: with its pattern, or for its domain. */
static enum table_status
find_template(struct evaluation *e, const struct check *c, struct buf *to,
    struct why *why)
{
    struct table_list *maps = e->s->profile->rbl_reply_maps;
    enum table_status status = table_list_find(maps, slice_of(c->text), to,
        why);

    return status == TABLE_NOT_FOUND && !c->list.any
        ? table_list_find(maps, c->list.domain, to, why)
        : status;
}

static enum verdict
refuse_listed(struct evaluation *e, const struct check *c, struct subject about)
{
    struct filling f = { .e = e, .c = c, .about = about };
    struct buf template, reply;
    enum verdict verdict;
    enum table_status status;
    struct why why;

    buf_init(&template, REFUSAL_TEXT_MAX * 2);
    buf_init(&reply, REFUSAL_TEXT_MAX * 4);
    buf_init(&f.value, ATTRIBUTE_MAX);
    status = find_template(e, c, &template, &why);
    if (status == TABLE_FOUND && !fill(&f, buf_text(&template), &reply, &why)) {
        log_write(LOG_LEVEL_WARNING, e->s->profile->tag,
            "bad rbl reply template for domain %s: %s", c->text,
            buf_text(&template));
        status = TABLE_NOT_FOUND;
    }
    if (status == TABLE_NOT_FOUND &&
        !fill(&f, e->s->config->default_rbl_reply, &reply, &why)) {
        log_write(LOG_LEVEL_WARNING, e->s->profile->tag,
            "bad default rbl reply template: %s",
            e->s->config->default_rbl_reply);
        verdict = evaluation_fail_config(e);
    } else {
        verdict = status == TABLE_ERROR ? evaluation_fail_lookup(e, &why)
                                        : refuse_with(e, buf_slice(&reply));
    }
    buf_fini(&template);
    buf_fini(&reply);
    buf_fini(&f.value);
    return verdict;
}

/* Rejecting: what DNS cannot say is not held against the client. */

static enum verdict
reject_listed(struct evaluation *e, const struct check *c,
    enum subject_class class, struct slice what)
{
    const struct subject about = { class, what };

    return answers_find(e, c) == ANSWER_LISTED ? refuse_listed(e, c, about)
                                               : VERDICT_NONE;
}

CHECK_FN(check_rbl_client)
{
    return reject_listed(e, c, SUBJECT_CLIENT, slice_of(e->s->peer.addr));
}

CHECK_FN(check_rhsbl_client)
{
    return reject_listed(e, c, SUBJECT_CLIENT, slice_of(e->s->peer.name));
}

CHECK_FN(check_rhsbl_reverse_client)
{
    return reject_listed(e, c, SUBJECT_REVERSE_CLIENT,
        slice_of(session_reverse_name(e->s)));
}

CHECK_FN(check_rhsbl_helo)
{
    return reject_listed(e, c, SUBJECT_HELO, slice_of(e->s->helo));
}

CHECK_FN(check_rhsbl_sender)
{
    return reject_listed(e, c, SUBJECT_SENDER, e->s->mail.envelope.sender);
}

CHECK_FN(check_rhsbl_recipient)
{
    return reject_listed(e, c, SUBJECT_RECIPIENT, e->s->recipient);
}

/*
 * Permitting: a list of others must not make us a relay for all that it names,
 * and a client that would be permitted if DNS worked is not turned away for
 * good.
 */
static enum verdict
permit_listed(struct evaluation *e, const struct check *c, const char *what)
{
    struct subject client = { SUBJECT_CLIENT, slice_of(e->s->peer.text) };

    switch (answers_find(e, c)) {
    case ANSWER_NOT_LISTED:
        return VERDICT_NONE;
    case ANSWER_UNKNOWN:
        return evaluation_defer_if_reject(e, 450, "4.7.1",
            "<%s>: Client host rejected: Service unavailable", what);
    case ANSWER_LISTED:
        break;
    }
    if (e->s->recipient.len > 0) {
        enum verdict verdict = recipient_permit_destination(e);

        if (verdict != VERDICT_PERMIT)
            return verdict;
    }
    return evaluation_permit(e, c->what->name, &client, "");
}

CHECK_FN(check_dnswl_client)
{
    return permit_listed(e, c, e->s->peer.addr);
}

CHECK_FN(check_rhswl_client)
{
    return permit_listed(e, c, e->s->peer.name);
}
