#include "master/spawn.h"

#include "lib/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define CHILD_PATH "/bin:/usr/bin:/sbin:/usr/sbin:/usr/local/bin"

enum {
    LINK_FD = 3,
    LOCK_FD = 4,
    SAFE_FD = 10, /* above what we are about to overwrite */
    NO_EXEC = 126,
};

static bool
put_at(int from, int to)
{
    int safe = fcntl(from, F_DUPFD, SAFE_FD);

    return safe >= 0 && dup2(safe, to) == to && close(safe) == 0;
}

static bool
set_descriptors(const struct spawn *s)
{
    /* Out of each other's way before either is put in its place. */
    int link = fcntl(s->link, F_DUPFD_CLOEXEC, SAFE_FD);
    int lock = fcntl(s->children, F_DUPFD_CLOEXEC, SAFE_FD);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (link < 0 || lock < 0 || null < 0 || !put_at(null, STDIN_FILENO))
        return false;
    if (!s->foreground &&
        (!put_at(null, STDOUT_FILENO) || !put_at(null, STDERR_FILENO)))
        return false;
    return put_at(link, LINK_FD) && put_at(lock, LOCK_FD);
}

static void
reset_signals(void)
{
    sigset_t none;

    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)signal(SIGHUP, SIG_DFL);
}

/*
 * Only calls that are safe between fork and exec. Should master die, so does
 * the child, even one that hangs: what is unsaved is not acknowledged. Set
 * after the change of user, which clears it.
 */
static void
become_child(const struct spawn *s, char *const argv[], pid_t parent)
{
    reset_signals();
    if (!set_descriptors(s) || !rights_become(s->rights, s->who))
        _exit(NO_EXEC);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
        _exit(NO_EXEC);
    execv(s->path, argv);
    _exit(NO_EXEC);
}

pid_t
spawn(const struct spawn *s)
{
    char *name = mem_text(s->path);
    char *const argv[] = { name, NULL };
    pid_t parent = getpid(), pid = fork();

    if (pid == 0)
        become_child(s, argv, parent);
    mem_free(name);
    return pid;
}

/* A variable to keep: "NAME", with its value now, or "NAME=VALUE". */
static char *
kept_variable(struct slice element)
{
    size_t eq = slice_find(element, '=');
    char *name = mem_text_of(slice_head(element, eq)), *kept = NULL;
    const char *value;

    if (eq < element.len)
        kept = mem_text_of(element);
    else if ((value = getenv(name)) != NULL)
        kept = mem_format("%s=%s", name, value);
    mem_free(name);
    return kept;
}

/* Frees it. */
static void
keep(char *variable)
{
    char *eq = variable == NULL ? NULL : strchr(variable, '=');

    if (eq != NULL) {
        *eq = '\0';
        (void)setenv(variable, eq + 1, 1);
    }
    mem_free(variable);
}

void
spawn_clean_environment(const struct config *config,
    const char *config_directory)
{
    enum { VARIABLES_MAX = 100 };
    struct slice rest = slice_of(config->import_environment), element;
    char *kept[VARIABLES_MAX];
    size_t count = 0;

    while (count < VARIABLES_MAX && config_list_next(&rest, &element))
        kept[count++] = kept_variable(element);
#ifdef POSTERN_TEST_HOOKS
    {
        static const char *const tools[] = { "ASAN_OPTIONS", "UBSAN_OPTIONS",
            "LSAN_OPTIONS", "TSAN_OPTIONS" };

        for (size_t i = 0; i < sizeof(tools) / sizeof(tools[0]); i++)
            if (count < VARIABLES_MAX)
                kept[count++] = kept_variable(slice_of(tools[i]));
    }
#endif
    (void)clearenv();
    keep(mem_text("PATH=" CHILD_PATH));
    for (size_t i = 0; i < count; i++)
        keep(kept[i]);
    keep(mem_format("MAIL_CONFIG=%s", config_directory));
}
