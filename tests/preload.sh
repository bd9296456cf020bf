#!/usr/bin/env bash
# What preloading itself does: nothing before it is needed, the next malloc in line gets the rest,
# children inherit it, and nothing but the contract's names is exported.
. "$TOP/tests/lib.sh"
need strace; need nm; need readelf
cat >"$TMP/show.c" <<'C'
/* show SIZE... - for each: kind, name of the mapping that it is in, usable bytes. */
#include "kinds.h"
static const char *mapping(const void *p)
{
    static char line[600], name[600];
    FILE *maps = fopen("/proc/self/maps", "r");
    strcpy(name, "?");
    while (maps && fgets(line, sizeof line, maps)) {
        unsigned long from, to;
        char path[600] = "anonymous";
        sscanf(line, "%lx-%lx %*s %*s %*s %*s %599s", &from, &to, path);
        if ((unsigned long)p >= from && (unsigned long)p < to)
            strcpy(name, path);
    }
    if (maps)
        fclose(maps);
    return name;
}
int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        size_t n = strtoull(argv[i], NULL, 10);
        char *p = malloc(n), *z = calloc(1, n), *a = memalign(4096, n);
        stamp(p, n, 1), stamp(a, n, 3);
        CHECK(p && a && z && is_zero(z, n) && bigmaac_try_kind(p) == bigmaac_try_kind(a));
        printf("%s %s %zu\n", bigmaac_try_kind(p) ? "ours" : "theirs", mapping(p), malloc_usable_size(p));
        p = realloc(p, 12 << 20); /* to us, and back */
        CHECK(is_stamped(p, n < 12 << 20 ? n : 12 << 20, n, 1));
        stamp(p, 12 << 20, 5);
        p = realloc(p, 100);
        CHECK(is_stamped(p, 100, 12 << 20, 5) && is_stamped(a, n, n, 3));
        free(p), free(z), free(a);
    }
    return check_result();
}
C
"$CC" -std=gnu11 -O1 -w -fno-builtin -I"$TOP" -I"$TOP/tests" -o "$TMP/show" "$TMP/show.c" || fail "compile"
"$CC" -std=gnu11 -O1 -w -fno-builtin -pthread -I"$TOP" -I"$TOP/tests" -o "$TMP/threads" "$TOP/tests/api_threads.c" || fail "compile"
unset BIGMAAC_TEMPLATE

echo "== nothing happens before it is needed"
lazy() { # COMMAND...
    # Beside the two libraries that it has loaded for older C libraries, and which are empty in this one.
    strace -f -E LD_PRELOAD=libpthread.so.0:libdl.so.2 -o "$TMP/plain" "$@" >"$TMP/plain.out" 2>"$TMP/plain.err"
    strace -f -E LD_PRELOAD="$LIB" -o "$TMP/trace" "$@" >"$TMP/out" 2>"$TMP/err" || fail "$*: status $?"
    grep -q "openat.*bigmaac.so" "$TMP/trace" || fail "$*: it was not preloaded"
    cmp -s "$TMP/plain.out" "$TMP/out" || fail "$*: the output differs"
    cmp -s "$TMP/plain.err" "$TMP/err" || fail "$*: printed $(cat "$TMP/err")"
    grep -E "O_TMPFILE|bigmaac\.[A-Za-z0-9]{8}\"|fallocate|clone3?\(|statfs\(\"/(tmp|var)|meminfo|pagemap" "$TMP/trace" && fail "$*: too early"
    grep -E "mmap\(NULL, [0-9]{9,}" "$TMP/trace" && fail "$*: reserved before it was needed"
    more=$(($(wc -l <"$TMP/trace") - $(wc -l <"$TMP/plain")))
    echo "$1: $more more system calls"
    [ $more -le 20 ] || fail "$*: $more system calls more than without the library"
}
lazy /bin/true
mkdir "$TMP/things"; touch "$TMP/things/a" "$TMP/things/b"
lazy ls "$TMP/things"
lazy "$TMP/show"

echo "== children inherit it, and can do without it"
cat >"$TMP/script" <<'S'
"$1" 20000000 | while read -r line; do echo "child: $line"; done
(env "$1" 20000000; exec "$1" 20000000)
LD_PRELOAD= "$1" 20000000
S
with sh "$TMP/script" "$TMP/show" >"$TMP/out" 2>"$TMP/err" || fail "the script: status $?"
[ ! -s "$TMP/err" ] || fail "the script printed $(cat "$TMP/err")"
[ "$(cut -d' ' -f1-2 "$TMP/out" | sed 's,/.*,,' | tr '\n' ';')" = "child: ours;ours ;ours ;theirs anonymous;" ] ||
    fail "kinds in the script: $(cat "$TMP/out")"
grep -q "ours /tmp/#[0-9]* " "$TMP/out" || grep -q "ours /.*/bigmaac\.[A-Za-z0-9]* " "$TMP/out" || fail "no swap file: $(cat "$TMP/out")"

echo "== another malloc behind it"
with "$TMP/show" 1000 | grep -q '^theirs \[heap\] 10' || fail "glibc behind it"
behind=0
for other in libjemalloc.so.2 libmimalloc.so.2 libmimalloc.so.3; do
    LD_PRELOAD=$other /bin/true 2>&1 | grep -q . && { echo "$other is not installed"; continue; }
    behind=$((behind + 1))
    LD_PRELOAD="$other" "$TMP/show" 1000 100 33000 >"$TMP/alone" || fail "$other alone"
    LD_PRELOAD="$LIB $other" "$TMP/show" 1000 100 33000 20000000 >"$TMP/out" 2>"$TMP/err" || fail "with $other: $(cat "$TMP/err")"
    [ ! -s "$TMP/err" ] || fail "with $other: printed $(cat "$TMP/err")"
    sed -n '1,3p' "$TMP/out" | cmp - "$TMP/alone" || fail "small requests did not go to $other: $(cat "$TMP/out" "$TMP/alone")"
    grep -q '\[heap\]' "$TMP/out" && fail "glibc served with $other: $(cat "$TMP/out")"
    sed -n 4p "$TMP/out" | grep -q '^ours /' || fail "a large request did not come to us: $(cat "$TMP/out")"
    LD_PRELOAD="$LIB $other" BIGMAAC_MIN_FRY_SIZE=200 "$TMP/show" 1000 100 33000 20000000 >"$TMP/out" 2>&1
    [ "$(cut -d' ' -f1 "$TMP/out" | tr '\n' ' ')" = "ours theirs ours ours " ] || fail "fries before $other: $(cat "$TMP/out")"
    LD_PRELOAD="$LIB $other" BIGMAAC_MIN_BIGMAAC_SIZE=garbage "$TMP/show" 20000000 2>/dev/null | grep -q '^theirs' || fail "passing through to $other"
    LD_PRELOAD="$other $LIB" "$TMP/show" 1000 20000000 >"$TMP/out" 2>&1 || fail "behind $other: $(cat "$TMP/out")"
    # Debian 12's mimalloc aligns small blocks wrongly when threads free each other's (24 of 40 runs of it alone)
    LD_PRELOAD="$LIB $other" BIGMAAC_MIN_BIGMAAC_SIZE=64K BIGMAAC_MIN_FRY_SIZE=128 "$TMP/threads" 3 128 >"$TMP/out" 2>&1 ||
        fail "threads with $other: $(cat "$TMP/out")"
done

echo "== a library behind it that allocates before our constructor, from several threads"
cat >"$TMP/first.c" <<'C'
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
static void *work(void *unused)
{
    for (int i = 0; i < 200; i++) {
        char *p = malloc(11 << 20), *q = calloc(1, 3000), *r = malloc(10);
        if (!p || !q || !r || q[2999])
            abort();
        p[0] = q[0] = r[0] = 1;
        free(p), free(q), free(r);
    }
    return unused;
}
__attribute__((constructor)) static void first(void)
{
    pthread_t threads[6];
    for (int i = 0; i < 6; i++)
        pthread_create(&threads[i], NULL, work, NULL);
    for (int i = 0; i < 6; i++)
        pthread_join(threads[i], NULL);
}
C
"$CC" -O1 -w -fno-builtin -shared -fPIC -pthread -o "$TMP/first.so" "$TMP/first.c" || fail "compile"
for _ in 1 2 3; do
    LD_PRELOAD="$LIB $TMP/first.so" BIGMAAC_MIN_FRY_SIZE=100 "$TMP/show" 20000000 >"$TMP/out" 2>&1 || fail "threads before the constructor: $(cat "$TMP/out")"
    LD_PRELOAD="$TMP/first.so $LIB" LD_BIND_NOW=1 "$TMP/show" 20000000 >"$TMP/out" 2>&1 || fail "the same, other order: $(cat "$TMP/out")"
    grep -q '^ours /' "$TMP/out" || fail "not in use: $(cat "$TMP/out")"
done

echo "== exported names"
family="malloc calloc realloc reallocarray free posix_memalign aligned_alloc memalign valloc pvalloc malloc_usable_size
    free_sized free_aligned_sized"
space_and_limits="mmap mmap64 munmap mremap brk sbrk __sbrk mprotect pkey_mprotect mlock mlock2 mlockall process_madvise mseal sigaltstack sigwait sigwaitinfo sigtimedwait signalfd prctl setrlimit setrlimit64 prlimit prlimit64
    execve execv execvp execvpe fexecve execveat execl execlp execle"
exported=$(nm -D --defined-only "$LIB" | awk '{ print $3 }' | sed 's/@.*//')
for name in $family $space_and_limits madvise bigmaac_kind bigmaac_stats bigmaac_advise; do
    grep -qx "$name" <<<"$exported" || fail "$name is not exported"
done
for name in $exported; do
    grep -qwE "madvise|clone|syscall|pthread_(key_)?create|__register_atfork|_Z(n[wa]|d[la])[A-Za-z0-9_]*|_?[Ff]ork|_[eE]xit|bigmaac_[a-z]+|$(tr -s ' \n' '|' <<<"$family $space_and_limits" | sed 's/|$//')" <<<"$name" || fail "$name is exported"
done
needed=$(readelf -d "$LIB" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' | tr '\n' ' ')
[ "$needed" = "libpthread.so.0 libdl.so.2 libc.so.6 " ] || fail "needs $needed" # all of glibc

echo "== loaded late, by dlopen"
tls=$(readelf -lW "$LIB" | awk '$1 == "TLS" { print $6 }')
[ $((tls)) -gt 0 ] && [ $((tls)) -le 128 ] || fail "$tls bytes of thread-local storage"
cat >"$TMP/late.c" <<'C'
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(int argc, char **argv)
{
    for (int i = 0; i < 3; i++) {
        void *lib = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
        if (!lib)
            return puts(dlerror()), 1;
        void *(*allocate)(size_t) = (void *(*)(size_t))dlsym(lib, "malloc");
        void (*release)(void *) = (void (*)(void *))dlsym(lib, "free");
        char *p = allocate(20 << 20), *q = allocate(3000), *r = allocate(10), *s = malloc(3000);
        if (!p || !q || !r)
            return 1;
        memset(p, 1, 20 << 20), memset(q, 1, 3000);
        release(p), release(q), release(r), free(s);
        dlclose(lib);
    }
    return 0;
}
C
"$CC" -O1 -w -fno-builtin -o "$TMP/late" "$TMP/late.c" -ldl || fail "compile"
BIGMAAC_MIN_FRY_SIZE=100 "$TMP/late" "$LIB" >"$TMP/out" 2>&1 || fail "dlopen: $(cat "$TMP/out")"
[ ! -s "$TMP/out" ] || fail "dlopen: $(cat "$TMP/out")"
[ $behind -gt 0 ] || skip "all but other mallocs was tested: neither libjemalloc nor libmimalloc is installed"
