#!/usr/bin/env bash
# What the program maps is not moved while something writes there, or serves faults there, without a system call that the library
# sees: userfaultfd by its device; io_uring with a ring that nobody maps; the same with no descriptor, but with buffers.
# shellcheck source=tests/lib.sh
. "$TOP/tests/lib.sh"
need_root
cat >"$TMP/job.c" <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include "check.h"
static const size_t bytes = 75 << 20, part = 4 << 20;
static size_t page;
static long (*bare)(long, ...); /* passes the library by */

static char *map(size_t size)
{
    char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    return p;
}

static void *serves(void *file)
{
    struct uffd_msg m;
    while (read(*(int *)file, &m, sizeof m) == sizeof m) {
        char *from = map(page);
        memset(from, 5, page);
        struct uffdio_copy copy = {.dst = m.arg.pagefault.address & -page, .src = (uintptr_t)from, .len = page};
        ioctl(*(int *)file, UFFDIO_COPY, &copy);
    }
    return NULL;
}

/* False: the kernel has none for us. */
static int registers_faults(char *p)
{
    static int file;
    int device = open("/dev/userfaultfd", O_RDWR);
    file = device < 0 ? (int)bare(SYS_userfaultfd, O_CLOEXEC) : ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC);
    struct uffdio_api api = {.api = UFFD_API};
    struct uffdio_register r = {.range = {(uintptr_t)p, part}, .mode = UFFDIO_REGISTER_MODE_MISSING};
    pthread_t thread;
    if (file < 0 || ioctl(file, UFFDIO_API, &api) != 0)
        return 0;
    CHECK(ioctl(file, UFFDIO_REGISTER, &r) == 0 && pthread_create(&thread, NULL, serves, &file) == 0);
    for (size_t i = 0; i < part; i += 2 * page)
        CHECK(p[i] == 5);
    return 1;
}

/* linux/io_uring.h of 6.5. */
struct ring {
    uint32_t sq_entries, cq_entries, flags, cpu, idle, features, wq, more[3];
    struct { uint32_t at[8]; uint64_t address; } sq, cq;
};
enum { NO_MMAP = 1 << 14, NO_DESCRIPTOR = 1 << 15, REGISTER_BUFFERS = 0 };

static int opens_ring(char *p, int buffers)
{
    char *own = map(2 * page);
    struct ring r = {.flags = NO_MMAP | (buffers ? NO_DESCRIPTOR : 0), .sq.address = (uintptr_t)own, .cq.address = (uintptr_t)(own + page)};
    struct iovec v = {p, part};
    int ring = (int)syscall(SYS_io_uring_setup, 4, &r);
    if (ring < 0)
        return 0;
    if (buffers)
        CHECK(syscall(SYS_io_uring_register, ring, 1u << 31 | REGISTER_BUFFERS, &v, 1) == 0);
    return 1;
}

int main(int argc, char **argv)
{
    page = (size_t)getpagesize();
    bare = (long (*)(long, ...))dlsym(dlopen("libc.so.6", RTLD_NOW), "syscall");
    char *p = map(bytes), *q = map(part);
    int kind = argc > 1 ? argv[1][0] : 0;
    if (kind == 'f' ? !registers_faults(q) : kind ? !opens_ring(q, kind == 'b') : 0)
        return 77;
    for (size_t i = 0; i < bytes; i += 1 << 20) {
        memset(p + i, 7, 1 << 20);
        usleep(20000);
    }
    for (size_t i = 0; i < bytes; i += page)
        CHECK(p[i] == 7);
    for (size_t i = 0; i < part && kind == 'f'; i += page)
        CHECK(q[i] == 5);
    return check_result();
}
C
compile_c "$TMP/job" "$TMP/job.c" -ldl
run() { # [KIND]: map_moved is left in $moved
    limited $((100 << 20)) env LD_PRELOAD="$LIB" BIGMAAC_MIN_MMAP_SIZE=256K BIGMAAC_STATS=1 BIGMAAC_VERBOSE=1 timeout -s KILL 60 "$TMP/job" "$@" 2>"$TMP/err"
    code=$? moved=$(stat_of map_moved "$TMP/err")
}
run
[ "$code" = 0 ] && [ "$moved" -gt 0 ] || fail "nothing is registered: $code, $(cat "$TMP/err")"
for kind in faults ring buffers; do
    run $kind
    [ "$code" = 77 ] && echo "not here: $kind" && continue
    [ "$code" = 0 ] && [ "$moved" = 0 ] || fail "$kind: $code, $(cat "$TMP/err")"
    [ "$(grep -c "can't be moved to disk while something writes" "$TMP/err")" = 1 ] || fail "$kind: it is not said why, once: $(cat "$TMP/err")"
done
