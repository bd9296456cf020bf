#!/usr/bin/env bash
# A program whose executable brings its own malloc, as with jemalloc linked into it: ours is never called, and while it maps memory
# it holds the lock of its allocator, which a new thread would wait for. Twice its limit from a thread of its own. With that lock
# held it registers handlers of a fork, before we are initialised, as Chromium does.
# shellcheck source=tests/lib.sh
. "$TOP/tests/lib.sh"
need_root
cat >"$TMP/job.c" <<'C'
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MIB = 1 << 20, BLOCKS = 120 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int begun;
static char *chunk;
static size_t left;

static void nothing(void) {}

/* From chunks of 1 MiB and more, mapped with the lock held. 16 bytes before the block say how large it is. */
void *malloc(size_t bytes)
{
    size_t all = (bytes + 31) / 16 * 16, map = all > MIB ? all : MIB;
    char *p = NULL;
    pthread_mutex_lock(&lock);
    if (!begun) {
        begun = 1;
        pthread_atfork(nothing, nothing, nothing);
    }
    if (all > left) {
        chunk = mmap(NULL, map, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        left = chunk == MAP_FAILED ? 0 : map;
    }
    if (all <= left) {
        p = chunk;
        *(size_t *)p = bytes;
        chunk += all;
        left -= all;
    }
    pthread_mutex_unlock(&lock);
    return p ? p + 16 : NULL;
}

void free(void *p) { (void)p; }

void *calloc(size_t count, size_t bytes) { return malloc(count * bytes); } /* mapped memory is zero, and is given out once */

void *realloc(void *p, size_t bytes)
{
    char *to = malloc(bytes);
    size_t before = p ? ((size_t *)p)[-2] : 0;
    return to && p ? memcpy(to, p, before < bytes ? before : bytes) : to;
}

static void *work(void *unused)
{
    static unsigned char *block[BLOCKS];
    size_t wrong = 0;
    for (int i = 0; i < BLOCKS; i++) {
        block[i] = malloc(MIB);
        memset(block[i], i, MIB);
        usleep(20000);
    }
    for (int i = 0; i < BLOCKS; i++)
        for (size_t j = 0; j < MIB; j += 512)
            wrong += block[i][j] != i;
    printf("%zu wrong\n", wrong);
    return unused;
}

int main(void)
{
    pthread_t thread;
    void *result;
    return pthread_create(&thread, NULL, work, NULL) != 0 || pthread_join(thread, &result) != 0;
}
C
echo '#include <stdlib.h>
void *first;
__attribute__((constructor)) static void begin(void) { first = malloc(7); }' >"$TMP/first.c" # of a library: before our own
gcc -O2 -shared -fPIC -o "$TMP/libfirst.so" "$TMP/first.c" &&
    gcc -O2 -Wall -Wextra -fno-builtin -pthread -Wl,--export-dynamic -o "$TMP/job" "$TMP/job.c" -Wl,--no-as-needed "$TMP/libfirst.so" || fail "it does not compile"
limited $((60 << 20)) timeout 60 env LD_PRELOAD="$PRELOAD" BIGMAAC_MIN_MMAP_SIZE=256K "$TMP/job" >"$TMP/out" || fail "status $?, killed: $(cat "$TMP/oom")"
[ "$(cat "$TMP/out")" = "0 wrong" ] || fail "it says: $(cat "$TMP/out")"

# What an old glibc lacks is not looked up: its dlsym would allocate, with that lock held.
echo 'const char *gnu_get_libc_version(void) { return "2.31"; }' >"$TMP/old.c"
gcc -O2 -shared -fPIC -o "$TMP/libold.so" "$TMP/old.c" || fail "it does not compile"
LD_DEBUG=symbols LD_PRELOAD="$LIB:$TMP/libold.so" /bin/true 2>"$TMP/symbols"
next() { # SYMBOL: is it looked up behind the library?
    awk -v symbol="symbol=$1;" '/ file=.*libold.so / && $0 ~ symbol && before !~ /bigmaac.so/ { found = 1 } { before = $0 } END { exit !found }' "$TMP/symbols"
}
next __register_atfork || fail "LD_DEBUG does not tell: $(head -n 3 "$TMP/symbols")"
for symbol in _Fork __libc_single_threaded; do ! next $symbol || fail "$symbol is looked up"; done
exit 0
