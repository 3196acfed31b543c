#include "lib/daemon/install.h"

#include "lib/base/mem.h"
#include "lib/base/slice.h"

#include <limits.h>
#include <unistd.h>

/* A daemon of ours that Postfix does not have. */
#define WITNESS "lookup"

/* The directory of the running program, owned by the caller. */
static char *
own_directory(void)
{
    char *path = mem_alloc(PATH_MAX), *directory;
    ssize_t n = readlink("/proc/self/exe", path, PATH_MAX);
    struct slice whole = { path, n < 0 ? 0 : (size_t)n };

    directory = n < 0 ? mem_text(".")
                      : mem_text_of(slice_head(whole, slice_rfind(whole, '/')));
    mem_free(path);
    return directory;
}

static char *
below(char *directory, const char *middle, const char *name)
{
    char *path = mem_format("%s/%s%s", directory, middle, name);

    mem_free(directory);
    return path;
}

static bool
has(const char *directory, const char *middle, const char *name)
{
    char *path = mem_format("%s/%s%s", directory, middle, name);
    bool there = access(path, X_OK) == 0;

    mem_free(path);
    return there;
}

char *
install_daemon(const struct config *config, const char *name)
{
    char *own;

    if (config->daemon_directory[0] != '\0' &&
        has(config->daemon_directory, "", WITNESS))
        return mem_format("%s/%s", config->daemon_directory, name);
    own = own_directory();
    return has(own, "../libexec/postern/", name)
        ? below(own, "../libexec/postern/", name)
        : below(own, "", name);
}

char *
install_command(const char *name)
{
    char *own = own_directory();

    return has(own, "../../sbin/", name) ? below(own, "../../sbin/", name)
                                         : below(own, "", name);
}
