/*
 * sendmail, mailq, newaliases - what programs and people use to send a message,
 * to see the queue, and to rebuild the aliases.
 */
#include "cmd/sendmail/dialogue.h"
#include "cmd/sendmail/input.h"
#include "cmd/sendmail/options.h"
#include "cmd/sendmail/recipients.h"
#include "cmd/sendmail/submit.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/daemon/command.h"
#include "lib/daemon/install.h"
#include "lib/mail/drop.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

enum {
    ARENA_MAX = DROP_ARENA_MAX,
    HEADER_MAX = 4 * 1024 * 1024, /* read with -t before anything is sent */
    ARGUMENTS_MAX = 64,
};

/* One submission. */
struct letter {
    const struct sendmail_options *o;
    const struct config *config;
    const char *login;
    struct arena arena;
    struct envelope envelope;
    struct buf out; /* on its way to postdrop */
};

static void
fail(int status, const char *text)
{
    log_fatal("%s", text);
    exit(status);
}

static void
check(enum result res, int status, const struct why *why)
{
    if (res != RESULT_OK)
        fail(res == RESULT_TEMPFAIL ? EX_TEMPFAIL : status, why->text);
}

static void
fail_user(const struct letter *l, int status, const char *text)
{
    log_fatal("%s(%ju): %s", l->login, (uintmax_t)getuid(), text);
    exit(status);
}

/* Configuration */

/* -C names a directory, or main.cf in it; what we execute gets it, too. */
static void
set_directory(const struct sendmail_options *o)
{
    struct slice dir = slice_of(o->config_dir);
    char *text;

    if (o->config_dir == NULL)
        return;
    if (slice_ends_nocase(dir, SLICE_LIT("/main.cf")))
        dir = slice_head(dir, dir.len - (sizeof("/main.cf") - 1));
    text = mem_text_of(dir);
    if (setenv("MAIL_CONFIG", text, 1) < 0)
        fail(EX_OSERR, "no memory");
    mem_free(text);
}

static struct config_set *
read_configuration(void)
{
    struct config_set *set;
    struct why why;

    check(command_load(getenv("MAIL_CONFIG"), &set, &why), EX_CONFIG, &why);
    return set;
}

/* Other programs */

static void
execute(const char *name, const char *const *arguments)
{
    char *argv[ARGUMENTS_MAX + 2];
    size_t n = 0;

    argv[n++] = mem_text(name);
    for (; *arguments != NULL && n <= ARGUMENTS_MAX; arguments++)
        argv[n++] = mem_text(*arguments);
    argv[n] = NULL;
    execv(install_command(name), argv);
    log_fatal("execute %s: %m", name);
    exit(EX_OSERR);
}

static void
rebuild_aliases(const struct sendmail_options *o)
{
    struct config_set *set = read_configuration();
    const char *list = o->alias_database != NULL
        ? o->alias_database
        : config_main(set)->alias_database;
    struct slice rest = slice_of(list), word;
    const char *arguments[ARGUMENTS_MAX + 2] = { "--" };
    size_t n = 1;

    while (n <= ARGUMENTS_MAX && config_list_next(&rest, &word))
        arguments[n++] = mem_text_of(word);
    if (n == 1)
        exit(EX_OK);
    execute("postalias", arguments);
}

static void
flush(const struct sendmail_options *o)
{
    const char *const id[] = { "-i", o->flush_id, NULL };
    const char *const site[] = { "-s", o->flush_site, NULL };
    const char *const all[] = { "-f", NULL };

    if (o->recipients[0] != NULL)
        fail(EX_USAGE,
            o->flush_site != NULL ? "flush site requires no recipient"
                                  : "flush queue mode requires no recipient");
    execute("postqueue",
        o->flush_site != NULL     ? site
            : o->flush_id != NULL ? id
                                  : all);
}

/* Who sends */

static void
set_sender(struct letter *l)
{
    const struct passwd *user = getpwuid(getuid());
    const char *name = l->o->full_name;
    struct why why;

    l->login = mem_text(user == NULL ? "unknown" : user->pw_name);
    if (name == NULL)
        name = getenv("NAME");
    if (l->o->sender != NULL) {
        check(recipients_parse_one(slice_of(l->o->sender), &l->arena,
                  &l->envelope.sender, &why),
            EX_USAGE, &why);
    } else {
        l->envelope.sender = slice_of(l->login);
    }
    if (name == NULL && user != NULL)
        name = arena_text(&l->arena,
            slice_head(slice_of(user->pw_gecos),
                slice_find(slice_of(user->pw_gecos), ',')));
    if (l->envelope.sender.len > 0) /* nobody has no name */
        l->envelope.sender_name = slice_of(name);
}

static void
set_envelope(struct letter *l)
{
    const struct sendmail_options *o = l->o;
    struct why why;

    set_sender(l);
    l->envelope.envid = slice_of(o->envid);
    l->envelope.ret = o->ret;
    l->envelope.flags = (o->eight_bit ? ENVELOPE_8BIT : 0U) |
        (o->trace ? ENVELOPE_TRACE : 0U) |
        (o->mode == MODE_VERIFY ? ENVELOPE_VERIFY : 0U);
    for (char **r = o->recipients; *r != NULL; r++)
        check(recipients_add(slice_of(*r), o->notify,
                  (unsigned)l->config->header_address_token_limit, &l->arena,
                  &l->envelope, &why),
            EX_USAGE, &why);
    if (l->envelope.recipient_count == 0 && !o->extract_recipients)
        fail_user(l, EX_USAGE,
            "Recipient addresses must be specified on the command line or via "
            "the -t option");
}

/* What he sends */

/* The start of the message, at least its header: with -t it decides. */
static void
read_header(struct letter *l, struct input *in, struct buf *front)
{
    struct slice lines, header;
    struct why why;

    do {
        check(input_next(in, &lines, &why), EX_DATAERR, &why);
        buf_add(front, lines);
        if (buf_failed(front))
            fail_user(l, EX_DATAERR, "message header is too long");
        header = buf_slice(front);
    } while (lines.len > 0 && recipients_header_length(header) == header.len);
    header = slice_head(header, recipients_header_length(header));
    check(recipients_add_header(header, l->o->notify,
              (unsigned)l->config->header_address_token_limit, &l->arena,
              &l->envelope, &why),
        EX_DATAERR, &why);
    if (l->envelope.recipient_count == 0)
        fail_user(l, EX_DATAERR,
            "No recipient addresses found in message header");
}

static void
send_content(struct letter *l, struct submit *s, struct slice octets)
{
    drop_put_content(octets, &l->out);
    submit_write(s, &l->out);
}

/* in: NULL, there is nothing but front. */
static int
send_all(struct letter *l, struct input *in, struct slice front)
{
    struct submit s;
    struct slice lines;
    struct why why;

    check(submit_begin(&s, &why), EX_OSERR, &why);
    drop_put_head(&l->envelope, &l->out);
    if (buf_failed(&l->out))
        fail_user(l, EX_DATAERR, "too many recipients");
    send_content(l, &s, front);
    while (in != NULL) {
        check(input_next(in, &lines, &why), EX_DATAERR, &why);
        if (lines.len == 0)
            break;
        send_content(l, &s, lines);
    }
    drop_put_end(&l->out);
    submit_write(&s, &l->out);
    return submit_end(&s);
}

/* -bv: there is no content, but the report has a header to show. */
static void
write_probe(const struct letter *l, struct buf *front)
{
    char **r = l->o->recipients;

    if (l->envelope.sender.len > 0)
        buf_add_format(front, "From: " SLICE_FMT "\n",
            SLICE_ARG(l->envelope.sender));
    buf_add_text(front, "Subject: probe\nTo:");
    for (; *r != NULL; r++)
        buf_add_format(front, "\t%s%s\n", *r, r[1] != NULL ? "," : "");
    if (buf_failed(front))
        fail_user(l, EX_DATAERR, "message header is too long");
}

static int
submit(const struct sendmail_options *o)
{
    struct config_set *set = read_configuration();
    struct letter l = { .o = o, .config = config_main(set) };
    bool probe = o->mode == MODE_VERIFY;
    int status;
    struct input in;
    struct buf front;

    arena_init(&l.arena, ARENA_MAX);
    buf_init(&front, HEADER_MAX);
    buf_init(&l.out, 2 * DROP_HEAD_MAX);
    set_envelope(&l);
    input_init(&in, STDIN_FILENO, o->ignore_dots);
    if (probe)
        write_probe(&l, &front);
    else if (o->extract_recipients)
        read_header(&l, &in, &front);
    status = send_all(&l, probe ? NULL : &in, buf_slice(&front));
    if (status == EX_OK && (probe || o->trace))
        printf("Mail Delivery Status Report will be mailed to <" SLICE_FMT
               ">.\n",
            SLICE_ARG(l.envelope.sender));
    input_fini(&in);
    buf_fini(&front);
    buf_fini(&l.out);
    arena_clear(&l.arena);
    mem_free((void *)(uintptr_t)l.login);
    config_drop(set);
    return status;
}

/* -bs */
static int
talk(void)
{
    struct config_set *set = read_configuration();
    int status = dialogue_run(config_main(set));

    config_drop(set);
    return status;
}

/* By which of its names messages are told. */
static const char *
called_as(const char *path)
{
    static const char *const names[] = { "mailq", "newaliases" };
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i]) == 0)
            return names[i];
    return "sendmail";
}

int
main(int argc, char **argv)
{
    static const char *const list[] = { "-p", NULL };
    static const char *const start[] = { "start", NULL };
    struct sendmail_options o;
    struct why why;

    command_hold_descriptors();
    log_set_tag(called_as(argc > 0 ? argv[0] : ""));
    check(sendmail_options_parse(argv, &o, &why), EX_USAGE, &why);
    set_directory(&o);
    switch (o.mode) {
    case MODE_SUBMIT:
        return submit(&o);
    case MODE_VERIFY:
        if (o.extract_recipients)
            fail(EX_USAGE, "-t option cannot be used with -bv");
        return submit(&o);
    case MODE_SMTP:
        return talk();
    case MODE_LIST:
        if (o.recipients[0] != NULL)
            fail(EX_USAGE, "display queue mode requires no recipient");
        execute("postqueue", list);
        break;
    case MODE_ALIASES:
        rebuild_aliases(&o);
        break;
    case MODE_DAEMON:
        execute("postern", start);
        break;
    case MODE_FLUSH:
        flush(&o);
        break;
    case MODE_IGNORED:
        break;
    }
    return EX_OK;
}
