#!/usr/bin/env bash
# Other preloaded libraries wrap functions of libc's, and allocate and fork in there: none of these is called where
# a lock of ours is held. One preload wraps every function that the library imports; some are what people use.
# timeout: 2000
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
need nm
cat >"$TMP/job.c" <<'C'
/* Blocks of every kind come, grow and go, beside threads, forks and the background thread. Prints "ok". */
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void *work(void *seed)
{
    static const size_t sizes[] = {30, 700, 9000, 100000, 12 << 20};
    for (size_t i = 0; i < 60; i++) {
        size_t n = sizes[i % 5] + i * 100, s = (size_t)seed + i;
        char *p = malloc(n), *q = calloc(1, n);
        CHECK(p && q && is_zero(q, n < 100000 ? n : 100000));
        fill(p, 2000 < n ? 2000 : n, s);
        p = realloc(p, n * 2);
        CHECK(p && is_filled(p, 2000 < n ? 2000 : n, s));
        free(q), free(p);
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[3];
    size_t n = 24 << 20;
    char *kept = malloc(n), *small = malloc(500);
    fill(kept, n, 1), fill(small, 500, 2);
    for (size_t i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, work, (void *)i);
    for (int i = 0; i < 4; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            memset(kept, 9, n), memset(small, 9, 500);
            work(NULL);
            _exit(check_result());
        }
        int status = 0;
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    }
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    sleep(2); /* the background thread gives warm blocks back, and ends */
    CHECK(is_filled(kept, n, 1) && is_filled(small, 500, 2));
    free(kept), free(small);
    if (check_result() == 0)
        puts("ok");
    return check_result();
}
C
"$CC" -std=gnu11 -O1 -w -fno-builtin -pthread -I"$TOP/tests" -o "$TMP/job" "$TMP/job.c" || fail "compile"
ran=0
job() { # WHAT PRELOADS [VARIABLE=VALUE...]: the job under these, at several thresholds at a time
    local what=$1 preloads=$2 with
    shift 2
    for with in BIGMAAC_VERBOSE=0 BIGMAAC_MIN_FRY_SIZE=64 BIGMAAC_MIN_FRY_SIZE=1 BIGMAAC_MIN_BIGMAAC_SIZE=4096; do
        { timeout 900 env LD_PRELOAD="$preloads" "$@" $with "$TMP/job"; echo "status $?"; } >"$TMP/out.$with" 2>&1 &
    done
    wait
    for with in "$TMP"/out.*; do
        [ "$(cat "$with")" = "$(printf 'ok\nstatus 0')" ] || fail "$what, ${with##*/out.}: (124: it hangs) $(cat "$with")"
    done
    ran=$((ran + 1))
    echo "$what"
}

if [ "$(uname -m)" = x86_64 ]; then
    # No wrapper for __errno_location: it has no effects, compilers call it when they like, malloc itself does.
    nm -D --undefined-only "$LIB" | awk '$1 == "U" { split($2, part, "@"); if (part[1] !~ /^(__errno_location|environ|__environ|__curbrk)$/) print part[1], part[2] }' >"$TMP/imports"
    printf 'memcpy GLIBC_2.14\nmemset GLIBC_2.2.5\n' >>"$TMP/imports" # found by dlsym, for the program's blocks
    {
        echo '#include <stddef.h>'
        echo 'struct import { const char *name, *version; void *address; } imports[] = {'
        sed 's/\(.*\) \(.*\)/{"\1", "\2", NULL},/' "$TMP/imports"
        echo '};'
        i=0
        while read -r name _; do # the registers that may hold arguments survive
            cat <<ASM
__asm__(".globl $name\n.type $name, @function\n$name:\n"
    "push %rdi\npush %rsi\npush %rdx\npush %rcx\npush %r8\npush %r9\npush %rax\n"
    "mov \$$i, %edi\ncall wrapped\nmov %rax, %r11\n"
    "pop %rax\npop %r9\npop %r8\npop %rcx\npop %rdx\npop %rsi\npop %rdi\njmp *%r11\n");
ASM
            i=$((i + 1))
        done <"$TMP/imports"
        cat <<'C'
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
static __thread int inside __attribute__((tls_model("initial-exec")));
static void use(size_t n)
{
    char *p = malloc(n), *q = calloc(1, n);
    if (!p || !q || q[n - 1])
        _exit(77);
    p[0] = q[0] = 1;
    p = realloc(p, n + n / 2);
    free(p), free(q);
}
void *wrapped(unsigned i) __attribute__((visibility("hidden")));
void *wrapped(unsigned i)
{
    static unsigned calls;
    if (!imports[i].address)
        imports[i].address = dlvsym(RTLD_NEXT, imports[i].name, imports[i].version);
    if (inside++ == 0) {
        static unsigned seen; /* the first call looks for the next malloc: until then there is little memory */
        use(20), use(300);
        if (seen++)
            use(80000), use(12 << 20);
        if (++calls % 16 == 0) { /* from time to time */
            pid_t pid = fork();
            if (pid == 0) {
                use(300), use(12 << 20);
                _exit(0);
            }
            int status = 0;
            if (waitpid(pid, &status, 0) != pid || status)
                _exit(78);
        }
    }
    inside--;
    return imports[i].address;
}
C
    } >"$TMP/wrap.c"
    "$CC" -std=gnu11 -D_GNU_SOURCE -O1 -w -fno-builtin -shared -fPIC -o "$TMP/wrap.so" "$TMP/wrap.c" -ldl || fail "compile the wrappers"
    job "every import wrapped, behind us" "$PRELOAD:$TMP/wrap.so"
    job "every import wrapped, before us" "$TMP/wrap.so:$PRELOAD"
fi

# uid_wrapper's pthread_create takes a lock that its fork handlers hold, and under which it allocates and frees.
cat >"$TMP/held.c" <<'C'
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
static void use(void)
{
    char *volatile p = malloc(12 << 20), *volatile q = malloc(400); /* freed, it is warm: work for a thread of the library's */
    p[0] = q[0] = 1;
    free(p), free(q);
}
int pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
    int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) = dlsym(RTLD_NEXT, "pthread_create");
    pthread_mutex_lock(&held);
    use();
    pthread_mutex_unlock(&held);
    return next(t, attr, run, arg);
}
static void prepare(void) { pthread_mutex_lock(&held); }
static void after(void) { use(), pthread_mutex_unlock(&held); }
__attribute__((constructor)) static void begin(void) { pthread_atfork(prepare, after, after); }
C
"$CC" -std=gnu11 -D_GNU_SOURCE -O1 -w -fno-builtin -shared -fPIC -pthread -o "$TMP/held.so" "$TMP/held.c" -ldl || fail "compile"
job "a lock around pthread_create, behind us" "$PRELOAD:$TMP/held.so"
job "a lock around pthread_create, before us" "$TMP/held.so:$PRELOAD"

# ThreadSanitizer's pthread_create, which is behind us, has to be called: it must know the thread that a free starts. (Not with
# forks beside threads: these hang under ThreadSanitizer without us, too.)
cat >"$TMP/tsan.c" <<'C'
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static void *work(void *arg)
{
    for (int i = 0; i < 200; i++) {
        char *p = malloc(300000 + i);
        memset(p, i, 300000);
        free(p);
    }
    return arg;
}
int main(void)
{
    pthread_t thread;
    work(NULL);
    usleep(300000); /* the thread runs */
    int bad = pthread_create(&thread, NULL, work, NULL) || pthread_join(thread, NULL);
    puts(bad ? "bad" : "ok");
    return bad;
}
C
if "$CC" -std=gnu11 -O1 -g -w -fno-builtin -fsanitize=thread -pthread -o "$TMP/tsan" "$TMP/tsan.c" && setarch -R true; then
    out=$(timeout 900 setarch -R env LD_PRELOAD="$LIB" "$TMP/tsan" 2>&1)
    [ "$out" = ok ] || fail "under ThreadSanitizer: $out"
fi

libraries=/usr/lib/$(uname -m)-linux-gnu
for order in "$PRELOAD %s" "%s $PRELOAD"; do
    # shellcheck disable=SC2059
    both() { printf "$order" "$1"; }
    [ -e "$libraries/faketime/libfaketimeMT.so.1" ] &&
        job libfaketime "$(both "$libraries/faketime/libfaketimeMT.so.1")" FAKETIME=-2d
    [ -e "$libraries/libfakeroot/libfakeroot-sysv.so" ] && command -v fakeroot >/dev/null &&
        job fakeroot "$(both "$libraries/libfakeroot/libfakeroot-sysv.so")"
    [ -e "$libraries/libuid_wrapper.so" ] &&
        job uid_wrapper "$(both "$libraries/libuid_wrapper.so")" UID_WRAPPER=1 UID_WRAPPER_ROOT=1
done
[ $ran -ge 2 ] || skip "none of the wrapping libraries is installed"
