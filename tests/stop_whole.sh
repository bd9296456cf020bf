#!/usr/bin/env bash
# Threads move bytes and messages while all are stopped again and again: what no signal would have cut short is whole, and no call
# on a socket ends with an error of the kernel's own.
# shellcheck source=tests/lib.sh
. "$TOP/tests/lib.sh"
[ "$(uname -m)" = x86_64 ] || skip "this machine can't: not kept elsewhere (README)"
cat >"$TMP/job.c" <<'C'
#define _GNU_SOURCE
#include "check.h"
#include <errno.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { STOPS = 40, WRITTEN = 1 << 20, RANDOM = 8 << 20, MESSAGES = 8, MESSAGE = 1000 };
static atomic_bool over;

static unsigned char byte_at(size_t position) { return (unsigned char)(position * 31 + position / 4096); }

/* Reads a stream to its end, slowly; all comes in order, and once. */
static void *reads_main(void *fd)
{
    static __thread unsigned char piece[40000];
    size_t at = 0;
    for (ssize_t n; (n = read((int)(intptr_t)fd, piece, sizeof piece)) > 0; usleep(500))
        for (ssize_t i = 0; i < n; i++)
            checks_failed += piece[i] != byte_at(at++);
    return NULL;
}

static void stream(int from, int to, size_t (*give)(int fd, const unsigned char *bytes))
{
    pthread_t reader;
    unsigned char *bytes = malloc(WRITTEN);
    CHECK(pthread_create(&reader, NULL, reads_main, (void *)(intptr_t)from) == 0);
    for (size_t at = 0; !over; at += WRITTEN) {
        for (size_t i = 0; i < WRITTEN; i++)
            bytes[i] = byte_at(at + i);
        size_t given = give(to, bytes);
        CHECK(given == WRITTEN);
        if (given != WRITTEN)
            break;
    }
    close(to);
    pthread_join(reader, NULL);
    free(bytes);
}

static size_t writes(int fd, const unsigned char *bytes) { return (size_t)write(fd, bytes, WRITTEN); }

static size_t sends(int fd, const unsigned char *bytes)
{
    struct iovec part[3] = {{(void *)(uintptr_t)bytes, 100}, {(void *)(uintptr_t)(bytes + 100), WRITTEN - 5000},
                            {(void *)(uintptr_t)(bytes + WRITTEN - 4900), 4900}};
    struct msghdr message = {.msg_iov = part, .msg_iovlen = 3};
    return (size_t)sendmsg(fd, &message, 0);
}

static void *writes_main(void *unused)
{
    int end[2];
    CHECK(pipe(end) == 0);
    stream(end[0], end[1], writes);
    return unused;
}

static void *sends_main(void *unused)
{
    int end[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, end) == 0);
    stream(end[0], end[1], sends);
    return unused;
}

static void *draws_main(void *unused)
{
    char *bytes = malloc(RANDOM);
    int zero = open("/dev/zero", O_RDONLY), drawn = open("/dev/urandom", O_RDONLY);
    while (!over) {
        CHECK(getrandom(bytes, RANDOM, 0) == RANDOM);
        CHECK(syscall(SYS_getrandom, bytes, RANDOM, 0) == RANDOM);
        CHECK(read(drawn, bytes, RANDOM) == RANDOM);
        CHECK(read(zero, bytes, RANDOM) == RANDOM);
    }
    free(bytes);
    return unused;
}

/* Sends messages one by one, each with its number, until nobody hears them. */
static void *tells_main(void *fd)
{
    char message[MESSAGE] = "";
    for (unsigned i = 0;; i++, usleep(2000)) {
        memcpy(message, &i, sizeof i);
        if (send((int)(intptr_t)fd, message, sizeof message, MSG_NOSIGNAL) != MESSAGE)
            break;
    }
    close((int)(intptr_t)fd);
    return NULL;
}

static void *hears_main(void *unused)
{
    static char room[MESSAGES][MESSAGE];
    int end[2];
    pthread_t teller;
    struct iovec part[MESSAGES];
    struct mmsghdr message[MESSAGES] = {0};
    for (int i = 0; i < MESSAGES; i++) {
        part[i] = (struct iovec){room[i], MESSAGE};
        message[i].msg_hdr = (struct msghdr){.msg_iov = &part[i], .msg_iovlen = 1};
    }
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, end) == 0);
    CHECK(pthread_create(&teller, NULL, tells_main, (void *)(intptr_t)end[1]) == 0);
    for (unsigned at = 0; !over; at += MESSAGES) {
        int n = recvmmsg(end[0], message, MESSAGES, 0, NULL);
        CHECK(n == MESSAGES);
        for (unsigned i = 0, number; i < MESSAGES && n == MESSAGES; i++) {
            memcpy(&number, room[i], sizeof number);
            CHECK(number == at + i && message[i].msg_len == MESSAGE);
        }
        if (n != MESSAGES)
            break;
    }
    close(end[0]);
    pthread_join(teller, NULL);
    return unused;
}

static void *waits_main(void *unused)
{
    static char room[MESSAGES * MESSAGE];
    int end[2];
    pthread_t teller;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, end) == 0);
    CHECK(pthread_create(&teller, NULL, tells_main, (void *)(intptr_t)end[1]) == 0);
    for (unsigned at = 0, number; !over; at += MESSAGES) {
        ssize_t n = recv(end[0], room, sizeof room, MSG_WAITALL);
        memcpy(&number, room + sizeof room - MESSAGE, sizeof number);
        CHECK(n == sizeof room && number == at + MESSAGES - 1);
        if (n != sizeof room)
            break;
    }
    close(end[0]);
    pthread_join(teller, NULL);
    return unused;
}

/* Who does not wait is given what there is room for, however much that is: nobody reads until then. */
static void fills(int from, int to, int flags)
{
    char *bytes = calloc(1, WRITTEN);
    while (!over) {
        ssize_t n = flags ? send(to, bytes, WRITTEN, flags) : write(to, bytes, WRITTEN);
        CHECK(n > 0 && n < WRITTEN);
        for (ssize_t taken = 0, part; taken < n; taken += part)
            if ((part = read(from, bytes, WRITTEN)) <= 0)
                break;
    }
    free(bytes);
}

static void *fills_pipe_main(void *unused)
{
    int end[2];
    CHECK(pipe2(end, O_NONBLOCK) == 0);
    fills(end[0], end[1], 0);
    return unused;
}

static void *fills_socket_main(void *flags)
{
    int end[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | (flags ? 0 : SOCK_NONBLOCK), 0, end) == 0);
    fills(end[0], end[1], (int)(intptr_t)flags);
    return NULL;
}

static void *fills_now_main(void *unused)
{
    (void)unused;
    return fills_socket_main((void *)(intptr_t)MSG_DONTWAIT);
}

int main(void)
{
    static void *(*const jobs[])(void *) = {writes_main, sends_main, draws_main, hears_main, waits_main, fills_pipe_main,
                                            fills_socket_main, fills_now_main};
    alarm(300);
    enum { JOBS = sizeof jobs / sizeof jobs[0] };
    pthread_t job[JOBS];
    if (atoi(gnu_get_libc_version() + 2) > 40)
        return 77;
    for (int i = 0; i < JOBS; i++)
        CHECK(pthread_create(&job[i], NULL, jobs[i], NULL) == 0);
    for (int i = 0; i < STOPS; i++, usleep(20000)) {
        void *block = NULL;
        CHECK(posix_memalign(&block, 65536, 1 << 20) == 0 && madvise(block, 65536, MADV_DONTFORK) == 0);
        free(block);
    }
    over = true;
    for (int i = 0; i < JOBS; i++)
        pthread_join(job[i], NULL);
    return check_result();
}
C
compile_c "$TMP/job" "$TMP/job.c"
grep -q "^Seccomp:.0" /proc/self/status || skip "this machine can't: not kept under a system call filter"
"$TMP/job" 2>"$TMP/err" || { [ $? = 77 ] && skip "this machine can't: not kept with a glibc from 2.41 on"; fail "without the library: $(head -n 5 "$TMP/err")"; }
with BIGMAAC_MIN_BIGMAAC_SIZE=64K "$TMP/job" 2>"$TMP/err" || fail "exit status $? with: $(head -n 5 "$TMP/err")"
[ ! -s "$TMP/err" ] || fail "printed $(head -n 5 "$TMP/err")"
