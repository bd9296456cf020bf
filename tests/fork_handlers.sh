# Handlers of a library that registered them (pthread_atfork) before ours: in each of the three the program may allocate,
# resize and free, and wait for a thread that does.
. "$TOP/tests/lib.sh"
cat >"$TMP/early.c" <<'C'
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const size_t sizes[] = {40, 300, 3000, 70000, 300000};
enum { SIZES = sizeof sizes / sizeof sizes[0] };
static char *kept[SIZES];
int early_runs[3], early_wrong;

static void *churn(void *mark)
{
    for (int i = 0; i < SIZES; i++) {
        char *p = malloc(sizes[i]);
        memset(p, *(char *)mark, sizes[i]);
        p = realloc(p, sizes[i] * 3);
        early_wrong += p[0] != *(char *)mark || p[sizes[i] - 1] != *(char *)mark;
        free(p);
    }
    return NULL;
}

static void handle(int which, char mark)
{
    pthread_t thread;
    early_runs[which]++;
    churn(&mark);
    if (pthread_create(&thread, NULL, churn, &mark) == 0)
        pthread_join(thread, NULL);
    for (int i = 0; i < SIZES; i++) { /* what another handler has left */
        early_wrong += kept[i] && kept[i][sizes[i] - 1] != kept[i][0];
        if (which)
            free(kept[i]);
        kept[i] = which ? NULL : memset(malloc(sizes[i]), mark, sizes[i]);
    }
}
static void prepare(void) { handle(0, 1); }
static void parent(void) { handle(1, 2); }
static void child(void) { handle(2, 3); }
__attribute__((constructor)) static void early(void) { pthread_atfork(prepare, parent, child); }
C
cat >"$TMP/main.c" <<'C'
#include "check.h"
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

extern int early_runs[3], early_wrong;
static atomic_int over;

static void *beside(void *unused)
{
    while (!over) {
        free(opaque(malloc(100000)));
        free(opaque(malloc(1000)));
    }
    return unused;
}

static void forks(int depth)
{
    static const size_t sizes[] = {500, 100000, 1 << 20};
    char *block[3];
    int status = -1, runs = early_runs[0];
    for (int i = 0; i < 3; i++)
        block[i] = memset(malloc(sizes[i]), 7 + depth, sizes[i]);
    pid_t pid = fork();
    CHECK(pid >= 0 && early_wrong == 0);
    for (int i = 0; i < 3; i++)
        CHECK(block[i][sizes[i] - 1] == 7 + depth);
    for (int i = 0; i < 3; i++)
        memset(block[i], pid == 0, sizes[i]);
    if (pid == 0) {
        CHECK(early_runs[2] == depth + 1);
        if (depth < 2)
            forks(depth + 1);
        _exit(check_result());
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(early_runs[0] == runs + 1);
    for (int i = 0; i < 3; i++)
        CHECK(block[i][sizes[i] - 1] == 0);
    for (int i = 0; i < 3; i++)
        free(block[i]);
}

int main(void)
{
    pthread_t thread;
    alarm(600);
    forks(0);
    pthread_create(&thread, NULL, beside, NULL);
    for (int i = 0; i < 7; i++)
        forks(0);
    over = 1;
    pthread_join(thread, NULL);
    CHECK(early_runs[1] == 8);
    return check_result();
}
C
compile_c "$TMP/libearly.so" "$TMP/early.c" -shared -fPIC
compile_c "$TMP/main" "$TMP/main.c" -Wl,--no-as-needed "$TMP/libearly.so" -Wl,-rpath,"$TMP"
"$TMP/main" || fail "without the library: status $?"
for mode in private copy; do
    for sizes in "64K 128" "64M 1" "4K 64" "256K 256K"; do
        read -r bigmaacs fries <<<"$sizes"
        with BIGMAAC_FORK="$mode" BIGMAAC_MIN_BIGMAAC_SIZE="$bigmaacs" BIGMAAC_MIN_FRY_SIZE="$fries" "$TMP/main" ||
            fail "$mode, $sizes: status $?"
    done
done

echo "== a malloc behind us registers handlers in its first call, which our own start makes, and maps memory in them"
cat >"$TMP/behind.c" <<'C'
#include <pthread.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>
void *__libc_malloc(size_t);
static void handle(void) /* our gate must still be open, or be open again */
{
    void *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p != MAP_FAILED && munmap(p, 1 << 20) == 0)
        (void)!write(1, "handled\n", 8);
}
void *malloc(size_t size)
{
    static int begun;
    if (!begun++)
        pthread_atfork(handle, handle, handle);
    return __libc_malloc(size);
}
C
compile_c "$TMP/behind.so" "$TMP/behind.c" -shared -fPIC -fno-builtin
for sizes in "64K 0 256K" "64K 128 256K" "10M 0 0"; do
    read -r bigmaacs fries mapped <<<"$sizes"
    timeout -s KILL 60 env LD_PRELOAD="$LIB:$TMP/behind.so" BIGMAAC_MIN_BIGMAAC_SIZE="$bigmaacs" BIGMAAC_MIN_FRY_SIZE="$fries" \
        BIGMAAC_MIN_MMAP_SIZE="$mapped" sh -c '(:); :' >"$TMP/out" || fail "a malloc behind us, $sizes: status $?"
    [ "$(grep -cx handled "$TMP/out")" = 3 ] || fail "a malloc behind us, $sizes: $(cat "$TMP/out")"
done
exit 0
