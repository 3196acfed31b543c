#include "lookup/resolv_conf.h"

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/num.h"

#include <fcntl.h>
#include <unistd.h>

enum {
    DNS_PORT = 53,
    FILE_MAX = 65536,
    CHECK_MS = 1000,
    TIMEOUT_S = 5, /* resolv.conf(5)'s defaults and caps */
    TIMEOUT_MAX_S = 30,
    ATTEMPTS = 2,
    ATTEMPTS_MAX = 5,
};

static void
set_defaults(struct resolv_conf *conf)
{
    *conf = (struct resolv_conf){
        .timeout_ms = TIMEOUT_S * 1000,
        .attempts = ATTEMPTS,
    };
}

/* "addr", "addr@port", "[addr]:port"; a scope ("%eth0") is not known. */
static bool
parse_server(struct slice text, struct sock_addr *addr)
{
    struct slice host = text, port = { 0 };
    uint32_t n = DNS_PORT;
    size_t at = slice_find(text, '@');

    if (text.len > 0 && text.ptr[0] == '[') {
        size_t end = slice_find(text, ']');

        host = slice_skip(slice_head(text, end), 1);
        port = slice_skip(text, end + 1);
        if (port.len > 0 && port.ptr[0] != ':')
            return false;
        port = slice_skip(port, 1);
    } else if (at < text.len) {
        host = slice_head(text, at);
        port = slice_skip(text, at + 1);
        if (port.len == 0)
            return false;
    }
    if (port.len > 0 && (!num_parse_u32(port, UINT16_MAX, &n) || n == 0))
        return false;
    return sock_addr_parse(host, (uint16_t)n, addr);
}

static void
add_server(struct resolv_conf *conf, const struct sock_addr *addr)
{
    if (conf->count < RESOLVERS_MAX)
        conf->servers[conf->count++] = *addr;
}

/* "timeout:3" */
static bool
option_number(struct slice word, struct slice name, uint32_t max, uint32_t *n)
{
    uint32_t value;

    if (!slice_starts(word, name) ||
        !num_parse_u32(slice_skip(word, name.len), UINT32_MAX, &value))
        return false;
    *n = value < 1 ? 1 : value > max ? max : value;
    return true;
}

static void
take_options(struct resolv_conf *conf, struct slice rest)
{
    struct slice word;
    uint32_t n;

    while (slice_word(&rest, " \t", &word)) {
        if (option_number(word, SLICE_LIT("timeout:"), TIMEOUT_MAX_S, &n))
            conf->timeout_ms = (int64_t)n * 1000;
        else if (option_number(word, SLICE_LIT("attempts:"), ATTEMPTS_MAX, &n))
            conf->attempts = n;
        else if (slice_eq(word, SLICE_LIT("use-vc")))
            conf->tcp = true;
    }
}

void
resolv_conf_parse(struct slice text, struct resolv_conf *conf)
{
    struct slice line, word, server;
    struct sock_addr addr;

    set_defaults(conf);
    while (slice_line(&text, &line)) {
        if (line.len == 0 || line.ptr[0] == '#' || line.ptr[0] == ';' ||
            !slice_word(&line, " \t", &word))
            continue;
        if (slice_eq(word, SLICE_LIT("options")))
            take_options(conf, line);
        else if (slice_eq(word, SLICE_LIT("nameserver")) &&
            slice_word(&line, " \t", &server) && parse_server(server, &addr))
            add_server(conf, &addr);
    }
}

enum result
resolv_conf_parse_list(struct slice list, struct resolv_conf *conf,
    struct why *why)
{
    struct slice word;
    struct sock_addr addr;

    set_defaults(conf);
    while (slice_word(&list, ", \t\r\n", &word)) {
        if (!parse_server(word, &addr))
            return why_perm(why, "4.3.5",
                "dns_resolvers: \"" SLICE_FMT
                "\" is not an address or address@port",
                SLICE_ARG(slice_head(word, 100)));
        add_server(conf, &addr);
    }
    return RESULT_OK;
}

static void
read_file(struct resolv_file *file)
{
    char text[2048];
    struct buf all;
    ssize_t n = 0;
    int fd = open(file->path, O_RDONLY | O_CLOEXEC);

    buf_init(&all, FILE_MAX);
    while (fd >= 0 && (n = read(fd, text, sizeof(text))) > 0)
        buf_add(&all, (struct slice){ text, (size_t)n });
    if (fd >= 0)
        close(fd);
    resolv_conf_parse(buf_slice(&all), &file->conf);
    buf_fini(&all);
}

bool
resolv_file_check(struct resolv_file *file)
{
    int64_t now = clock_now_ms();
    struct stat st = { 0 };
    bool first = file->checked_ms == 0, present;

    if (!first && now - file->checked_ms < CHECK_MS)
        return false;
    file->checked_ms = now != 0 ? now : 1;
    present = stat(file->path, &st) == 0;
    if (!first && present == file->present && st.st_dev == file->dev &&
        st.st_ino == file->ino && st.st_size == file->size &&
        st.st_mtim.tv_sec == file->changed.tv_sec &&
        st.st_mtim.tv_nsec == file->changed.tv_nsec)
        return false;
    file->present = present;
    file->dev = st.st_dev;
    file->ino = st.st_ino;
    file->size = st.st_size;
    file->changed = st.st_mtim;
    read_file(file);
    return true;
}
