#!/usr/bin/env bash
# Files of a process (FUSE) that ends with EINTR each request which is interrupted: while what the program has mapped is moved out, no
# call on one ends so, and none does less than all.
# shellcheck source=tests/lib.sh
. "$TOP/tests/lib.sh"
need_root; need_python ctypes
[ -c /dev/fuse ] || skip "this machine can't mount FUSE: no /dev/fuse"
[ "$(uname -m)" = x86_64 ] || skip "not kept elsewhere: README's limits"
M=1048576
cat >"$TMP/fuse.py" <<'P'
"""A file of 1 MiB, f. What it is asked is answered after 10 ms."""
import ctypes, errno, os, select, stat, struct, sys, time
mnt = sys.argv[1]
libc = ctypes.CDLL(None, use_errno=True)
fd = os.open('/dev/fuse', os.O_RDWR)
opts = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
if libc.mount(b"ends", mnt.encode(), b"fuse", 6, opts): raise OSError(ctypes.get_errno(), "mount")
pid = os.fork()
if pid: os.close(fd); print(pid); os._exit(0)
os.setsid(); os.dup2(os.open('/dev/null', os.O_RDWR), 1)
os.set_blocking(fd, False)
SIZE = 1 << 20
def attr(n):
    mode = (stat.S_IFDIR | 0o777) if n == 1 else (stat.S_IFREG | 0o600)
    return struct.pack('<QQQQQQIIIIIIIIII', n, SIZE, SIZE // 512, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)
late = {}
def send(uniq, data=b'', err=0):
    try: os.write(fd, struct.pack('<IiQ', 16 + len(data), -err, uniq) + data)
    except OSError: pass
while True:
    now = time.monotonic()
    for u in [u for u in late if late[u][0] <= now]: send(u, late.pop(u)[1])
    select.select([fd], [], [], max(0, min([late[u][0] for u in late], default=now + 1) - now))
    try: req = os.read(fd, 1 << 21)
    except OSError as e:
        if e.errno in (errno.EINTR, errno.ENOENT, errno.EAGAIN): continue
        break
    ln, op, uniq, node, uid, gid, p_, pad = struct.unpack_from('<IIQQIIII', req); body = req[40:ln]
    def soon(data=b''): late[uniq] = (time.monotonic() + 0.01, data)
    if op == 26: send(uniq, struct.pack('<IIIIHHIIHHI', 7, 31, struct.unpack_from('<I', body, 8)[0], 0, 12, 9, 1 << 17, 1, 0, 0, 0) + b'\0' * 28)
    elif op in (2, 42): pass                       # forget
    elif op == 36:                                 # interrupt
        u, = struct.unpack_from('<Q', body)
        if late.pop(u, None): send(u, err=errno.EINTR)
    elif op == 1 and body == b'f\0': soon(struct.pack('<QQQQII', 2, 0, 0, 0, 0, 0) + attr(2))
    elif op in (3, 4): soon(struct.pack('<QII', 0, 0, 0) + attr(node))
    elif op in (14, 27): soon(struct.pack('<QII', node, 1, 0)) # direct_io
    elif op == 15:
        fh, off, size = struct.unpack_from('<QQI', body); soon(b'\7' * max(0, min(size, SIZE - off)))
    elif op == 16: soon(struct.pack('<II', struct.unpack_from('<QQI', body)[2], 0))
    elif op == 28: soon(b'' if struct.unpack_from('<QQ', body)[1] else struct.pack('<QQII', 2, 1, 1, 8) + b'f' + b'\0' * 7)
    elif op in (20, 25): soon()                    # fsync, flush
    elif op in (18, 29): send(uniq)
    else: send(uniq, err=errno.ENOSYS)
P
cat >"$TMP/job.c" <<'C'
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include "check.h"
#include "slow.h"

enum { THREADS = 4, BYTES = 280 << 20, ROUNDS = 3, SIZE = 1 << 20 };
static atomic_bool over;

static void right(bool is, const char *call)
{
    if (!is)
        fprintf(stderr, "%s: errno %d\n", call, errno);
    CHECK(is);
}

static void folder_is_read(void)
{
    DIR *d = opendir(".");
    right(d != NULL, "opendir");
    errno = 0;
    while (d && readdir(d))
        ;
    right(errno == 0, "readdir");
    if (d)
        closedir(d);
}

static void file_is_right(char *text)
{
    struct stat st;
    struct iovec halves[2] = {{text, SIZE / 2}, {text + SIZE / 2, SIZE / 2}};
    int fd = open("f", O_RDWR);
    right(fd >= 0, "open");
    right(pread(fd, text, SIZE, 0) == SIZE, "pread");
    right(readv(fd, halves, 2) == SIZE, "readv");
    right(text[0] == 7 && memcmp(text, text + 1, SIZE - 1) == 0, "content");
    right(pwritev(fd, halves, 2, 0) == SIZE, "pwritev");
    right(lseek(fd, 0, SEEK_SET) == 0 && write(fd, text, SIZE) == SIZE, "write");
    right(stat("f", &st) == 0, "stat");
    right(fstat(fd, &st) == 0, "fstat");
    right(fsync(fd) == 0, "fsync");
    right(ftruncate(fd, SIZE) == 0, "ftruncate");
    right(access("f", R_OK) == 0, "access");
    right(fchmod(fd, 0600) == 0, "fchmod");
    right(close(fd) == 0 || errno == EINTR, "close"); /* it has closed; a stop may show there: README */
}

static void *files_main(void *text)
{
    while (!atomic_load(&over)) {
        file_is_right(text);
        folder_is_read();
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t thread[THREADS];
    CHECK(argc == 2 && chdir(argv[1]) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&thread[i], NULL, files_main, malloc(SIZE)) == 0);
    for (int round = 0; round < ROUNDS; round++) {
        char *p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(p != MAP_FAILED);
        write_slowly(p, BYTES, 1, 5000); /* who fills faster than threads that wait for the server can be stopped is killed */
        munmap(p, BYTES);
    }
    atomic_store(&over, true);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    return check_result();
}
C
compile_c "$TMP/job" "$TMP/job.c"
mkdir "$TMP/fuse"
$PYTHON "$TMP/fuse.py" "$TMP/fuse" >"$TMP/server" || skip "this machine can't mount FUSE"
MOUNTS=("$TMP/fuse"); trap loop_unmount EXIT
limited $((160 * M)) env LD_PRELOAD="$PRELOAD" BIGMAAC_MIN_MMAP_SIZE=256K BIGMAAC_STATS=1 "$TMP/job" "$TMP/fuse" 2>"$TMP/err" ||
    fail "exit status $? with: $(head -n 5 "$TMP/err")"
[ "$(sed -n 's/.* file_peak=\([0-9]*\).*/\1/p' "$TMP/err" | tail -n 1)" -gt $((40 * M)) ] || fail "little was moved out: $(cat "$TMP/err")"
