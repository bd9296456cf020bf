#!/usr/bin/env bash
# What vmsplice has put into a pipe, or a socket is to send without a copy (MSG_ZEROCOPY), stays when its memory is unmapped, or
# dropped and filled anew, though that was moved to disk.
# shellcheck source=tests/lib.sh
. "$TOP/tests/lib.sh"
need_root
cat >"$TMP/job.c" <<'C'
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include "check.h"
static const size_t bytes = 75 << 20, step = 1 << 20, part = 512 << 10;

/* A connection whose receiver has little room: the rest waits to be sent. False: there is none without copies. */
static int connect_pair(int pair[2])
{
    int yes = 1, little = 4096, much = 4 << 20, server = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof name;
    setsockopt(server, SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
    if (bind(server, (struct sockaddr *)&name, size) != 0 || listen(server, 1) != 0)
        return 0;
    getsockname(server, (struct sockaddr *)&name, &size);
    pair[1] = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &much, sizeof much);
    int connected = connect(pair[1], (struct sockaddr *)&name, size) == 0 && (pair[0] = accept(server, NULL, NULL)) >= 0;
    close(server);
    return connected && setsockopt(pair[1], SOL_SOCKET, SO_ZEROCOPY, &yes, sizeof yes) == 0;
}

int main(void)
{
    static char seen[512 << 10];
    int ends[2], pair[2], connected = connect_pair(pair);
    char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED && pipe(ends) == 0 && fcntl(ends[1], F_SETPIPE_SZ, 2 * part) > 0);
    for (size_t i = 0; i < bytes; i += step) {
        memset(p + i, 7, step);
        usleep(20000);
    }
    for (size_t i = 0; i < 16; i++) {
        char *at = p + i * step + (step >> 5); /* its ends are not those of the cache's pages */
        struct iovec v = {at, part};
        int socket = connected && i >= 8;
        ssize_t wrong = 0, sent = socket ? send(pair[1], at, part, MSG_ZEROCOPY | MSG_DONTWAIT) : vmsplice(ends[1], &v, 1, i % 2 ? SPLICE_F_GIFT : 0);
        CHECK(sent > 0);
        if (i % 4 < 2) {
            CHECK(munmap(at, part) == 0);
        } else {
            CHECK(madvise(at, part, MADV_DONTNEED) == 0);
            memset(at, 9, part);
        }
        for (ssize_t got = 0, n; got < sent; got += n) {
            n = read(socket ? pair[0] : ends[0], seen, (size_t)(sent - got));
            CHECK(n > 0);
            for (ssize_t k = 0; k < n; k++)
                wrong += seen[k] != 7;
        }
        CHECK(wrong == 0);
    }
    return check_result();
}
C
compile_c "$TMP/job" "$TMP/job.c"
limited $((100 << 20)) env LD_PRELOAD="$LIB" BIGMAAC_MIN_MMAP_SIZE=256K BIGMAAC_STATS=1 timeout -s KILL 60 "$TMP/job" 2>"$TMP/err"
code=$?
[ "$code" = 0 ] && [ "$(stat_of map_moved "$TMP/err")" -gt 0 ] || fail "$code, $(cat "$TMP/err")"
