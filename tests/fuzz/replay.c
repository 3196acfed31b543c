/*
 * replay - the main() of a fuzz target where there is no fuzzer: feeds it each
 * file named on the command line, or below a directory named there, and prints
 * how many there were. None at all is a mistake of the caller's.
 */
#include "lib/base/mem.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 16 << 20 };

static bool replay(const char *path, unsigned *count);

static bool
replay_file(const char *path, size_t size, unsigned *count)
{
    FILE *f = fopen(path, "rb");
    /* Of exactly this size, so that ASan sees each octet too many. */
    uint8_t *data = mem_alloc(size == 0 ? 1 : size);
    bool whole = f != NULL && size <= INPUT_MAX &&
        fread(data, 1, size, f) == size;

    if (whole) {
        (void)LLVMFuzzerTestOneInput(data, size);
        ++*count;
    } else {
        perror(path);
    }
    if (f != NULL)
        (void)fclose(f);
    mem_free(data);
    return whole;
}

static bool
/* NOLINTNEXTLINE(misc-no-recursion): as deep as our corpus */
replay_directory(const char *path, unsigned *count)
{
    DIR *dir = opendir(path);
    const struct dirent *entry;
    bool good = true;

    if (dir == NULL) {
        perror(path);
        return false;
    }
    while ((entry = readdir(dir)) != NULL) {
        char *name;

        if (entry->d_name[0] == '.')
            continue;
        name = mem_format("%s/%s", path, entry->d_name);
        good = replay(name, count) && good;
        mem_free(name);
    }
    (void)closedir(dir);
    return good;
}

static bool
/* NOLINTNEXTLINE(misc-no-recursion): as deep as our corpus */
replay(const char *path, unsigned *count)
{
    struct stat st;

    if (stat(path, &st) < 0) {
        perror(path);
        return false;
    }
    if (S_ISDIR(st.st_mode))
        return replay_directory(path, count);
    return replay_file(path, (size_t)st.st_size, count);
}

int
main(int argc, char **argv)
{
    unsigned count = 0;
    bool good = true;

    for (int i = 1; i < argc; i++)
        good = replay(argv[i], &count) && good;
    printf("%u inputs\n", count);
    return good && count > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
