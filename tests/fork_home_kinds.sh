# What was written after a fork comes home whatever the program has done meanwhile, and what it has set stays set: each
# kind writes three times as much as its memory limit lets it keep.
# timeout: 2400
. "$TOP/tests/lib.sh"
need_root
cat >"$TMP/kinds.c" <<'C'
#define _GNU_SOURCE
#include "check.h"
#include "slow.h"
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

enum { PAGE = 4096, SMALL = 3000, FENCED = 64, LOCKED = 500, LOCKED_BYTES = 96 << 10 };
static size_t bytes = (size_t)360 << 20, small_count;
static unsigned char *data, **small, *fenced[FENCED], *locked[LOCKED];
static sigjmp_buf again;

static void segv(int sig) { (void)sig; siglongjmp(again, 1); }

static int writable(volatile unsigned char *p)
{
    if (sigsetjmp(again, 1))
        return 0;
    *p = *p;
    return 1;
}

/* Every page, the odd words of which keep what the parent wrote. */
static void rewrite(unsigned char value)
{
    write_slowly(data, bytes, value, 2000);
}

static void check(unsigned char value)
{
    size_t wrong = 0;
    for (size_t at = 0; at < bytes; at += PAGE)
        wrong += data[at] != value || data[at + 8] != 3;
    CHECK(wrong == 0);
}

static void three_times(void)
{
    for (unsigned char value = 4; value < 7; value++)
        rewrite(value);
    check(6);
}

static pid_t fork_waiting(void)
{
    pid_t pid = fork();
    if (pid == 0) { /* keeps the snapshot */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    return pid;
}

static void child_ends(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void plain(void)
{
    pid_t pid = fork_waiting();
    three_times();
    child_ends(pid);
}

/* Again and again, with all of it changed in between. */
static void again_and_again(void)
{
    for (unsigned char value = 10; value < 14; value++) {
        pid_t pid = fork_waiting();
        rewrite(value);
        check(value);
        child_ends(pid);
    }
}

/* More of what has to stay, and is changed, than one look finds, before what can come. */
static void lock_some(void)
{
    for (int i = 0; i < LOCKED; i++) {
        void *p = NULL;
        CHECK(posix_memalign(&p, PAGE, LOCKED_BYTES) == 0 && mlock(memset(p, 1, LOCKED_BYTES), LOCKED_BYTES) == 0);
        locked[i] = p;
    }
}

static void locks(void)
{
    pid_t pid = fork_waiting();
    for (int i = 0; i < LOCKED; i++)
        memset(locked[i], 2, LOCKED_BYTES);
    three_times();
    for (int i = 0; i < LOCKED; i++)
        CHECK(locked[i][0] == 2 && memcmp(locked[i], locked[i] + 1, LOCKED_BYTES - 1) == 0);
    child_ends(pid);
}

static void closes(void)
{
    pid_t pid = fork_waiting();
    closefrom(3);
    three_times();
    child_ends(pid);
}

static void closes_later(void)
{
    pid_t pid = fork_waiting();
    rewrite(4);
    closefrom(3);
    three_times();
    child_ends(pid);
}

/* The child, which is root's, can't be killed any more. */
static void undumpable(void)
{
    int go[2];
    char byte;
    CHECK(pipe(go) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(go[1]);
        _exit(read(go[0], &byte, 1) != 0);
    }
    CHECK(setgid(65534) == 0 && setuid(65534) == 0 && prctl(PR_SET_DUMPABLE, 0) == 0);
    three_times();
    close(go[1]);
    waitpid(pid, NULL, 0);
}

static void *nothing(void *unused)
{
    for (;;)
        pause();
    return unused;
}

static void no_proc(void)
{
    CHECK(unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    CHECK(umount2("/proc", MNT_DETACH) == 0 && access("/proc/self", F_OK) != 0);
}

static void without_proc(void)
{
    pid_t pid = fork_waiting();
    no_proc();
    three_times();
    child_ends(pid);
}

static void without_proc_threads(void)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, nothing, NULL) == 0);
    pid_t pid = fork_waiting();
    no_proc();
    three_times();
    child_ends(pid);
}

/* Already before the fork. */
static void never_proc(void)
{
    no_proc();
    plain();
}

/* The child is the one that writes, and calls nothing of ours. */
static void child_writes(void)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        three_times();
        _exit(check_result());
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    check(3);
}

static void grandchild_writes(void)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        child_writes();
        _exit(check_result());
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

/* Small blocks, freed and taken again, which needs no lock, and written. */
static void child_small(void)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        for (int round = 0; round < 3; round++)
            for (size_t i = 0; i < small_count; i++) {
                small[i][0] = (unsigned char)round;
                free(opaque(malloc(300)));
                if (i % 300 == 0)
                    usleep(1000);
            }
        for (size_t i = 0; i < small_count; i++)
            CHECK(small[i][0] == 2 && small[i][SMALL - 1] == 5);
        _exit(check_result());
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    for (size_t i = 0; i < small_count; i++)
        CHECK(small[i][0] == 5);
}

static void *rest(void *unused)
{
    usleep(10000); /* main has ended by then */
    plain();
    exit(check_result());
    return unused;
}

static void main_ends(void)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, rest, NULL) == 0);
    pthread_exit(NULL);
}

static void *waits(void *unused)
{
    sigset_t all;
    int sig = 0;
    sigfillset(&all);
    while (sigwait(&all, &sig) == 0 && sig != SIGTERM)
        CHECK(sig == SIGCHLD); /* its own child's end, nothing of ours */
    return unused;
}

static void signals_wait(void)
{
    sigset_t all;
    pthread_t thread;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    CHECK(pthread_create(&thread, NULL, waits, NULL) == 0);
    plain();
    pthread_kill(thread, SIGTERM);
    pthread_join(thread, NULL);
}

/* Guards inside the large block, and in many others, one of which is all that one thread writes to. */
static void guards(void)
{
    for (int i = 0; i < FENCED; i++) {
        void *p = NULL;
        CHECK(posix_memalign(&p, PAGE, 128 << 10) == 0);
        fenced[i] = memset(p, 1, 128 << 10);
    }
    pid_t pid = fork_waiting();
    for (int i = 0; i < FENCED; i++) {
        memset(fenced[i], 2, 128 << 10);
        CHECK(mprotect(fenced[i] + PAGE, PAGE, i % 2 ? PROT_NONE : PROT_READ) == 0);
    }
    for (size_t at = (size_t)1 << 20; at < bytes; at += (size_t)40 << 20)
        CHECK(mprotect(data + at + PAGE, PAGE, PROT_NONE) == 0);
    for (unsigned char value = 4; value < 7; value++)
        for (size_t at = 0; at < bytes; at += 2 * PAGE) {
            data[at] = value;
            memset(data + at + 16, value, 100);
            if (at % (1 << 20) == 0)
                usleep(1000);
        }
    signal(SIGSEGV, segv);
    for (int i = 0; i < FENCED; i++)
        CHECK(!writable(fenced[i] + PAGE) && writable(fenced[i]) && writable(fenced[i] + 2 * PAGE) && fenced[i][3 * PAGE] == 2);
    for (size_t at = (size_t)1 << 20; at < bytes; at += (size_t)40 << 20) {
        CHECK(!writable(data + at + PAGE));
        CHECK(mprotect(data + at + PAGE, PAGE, PROT_READ | PROT_WRITE) == 0 && data[at + PAGE] == 3);
    }
    for (size_t at = 0; at < bytes; at += 2 * PAGE)
        CHECK(data[at] == 6 && data[at + PAGE] == 3 && data[at + 8] == 3);
    child_ends(pid);
}

/* A coroutine, on a stack of ours, is the one that forks and writes. */
static ucontext_t outside, inside;

static unsigned deep(unsigned depth, volatile unsigned char *below)
{
    volatile unsigned char local[600];
    unsigned sum = 0;
    for (unsigned i = 0; i < sizeof local; i++)
        local[i] = (unsigned char)(depth + i);
    if (depth)
        sum = deep(depth - 1, local);
    else
        three_times();
    for (unsigned i = 0; i < sizeof local; i++)
        CHECK(local[i] == (unsigned char)(depth + i));
    return sum + below[0];
}

static void coroutine_main(void)
{
    unsigned char first = 0;
    pid_t pid = fork_waiting();
    deep(30, &first);
    child_ends(pid);
}

static void coroutine_of(size_t stack_bytes)
{
    void *stack = malloc(stack_bytes);
    getcontext(&inside);
    inside.uc_stack.ss_sp = stack;
    inside.uc_stack.ss_size = stack_bytes;
    inside.uc_link = &outside;
    makecontext(&inside, coroutine_main, 0);
    swapcontext(&outside, &inside);
    free(stack);
}
static void coroutine(void) { coroutine_of(16 << 20); }
static void coroutine_small(void) { coroutine_of(100000); }

int main(int argc, char **argv)
{
    static const struct { const char *name; void (*run)(void); } kinds[] = {
        {"plain", plain}, {"again", again_and_again}, {"locks", locks}, {"closes", closes}, {"closes_later", closes_later},
        {"undumpable", undumpable}, {"without_proc", without_proc}, {"without_proc_threads", without_proc_threads},
        {"never_proc", never_proc}, {"child_writes", child_writes}, {"grandchild_writes", grandchild_writes}, {"child_small", child_small},
        {"main_ends", main_ends}, {"signals_wait", signals_wait}, {"guards", guards}, {"coroutine", coroutine},
        {"coroutine_small", coroutine_small}};
    alarm(600);
    if (argc > 1 && strcmp(argv[1], "child_small") == 0) {
        small_count = bytes / SMALL;
        small = malloc(small_count * sizeof *small);
        for (size_t i = 0; i < small_count; i++)
            small[i] = memset(malloc(SMALL), 5, SMALL);
    } else {
        if (argc > 1 && strcmp(argv[1], "locks") == 0)
            lock_some();
        data = malloc(bytes);
        memset(data, 3, bytes);
    }
    for (size_t i = 0; argc > 1 && i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(argv[1], kinds[i].name) == 0) {
            kinds[i].run();
            return check_result();
        }
    return 9;
}
C
compile_c "$TMP/kinds" "$TMP/kinds.c"
chmod 777 "$TMP" # for those that give up their privileges
limit=$((256 << 20))
limited $limit "$TMP/kinds" plain 2>/dev/null && fail "without the library it was not killed: the test shows nothing"
for kind in ${KINDS:-plain again locks closes closes_later undumpable without_proc without_proc_threads never_proc child_writes grandchild_writes child_small \
    main_ends signals_wait guards coroutine coroutine_small}; do
    begin=$(date +%s)
    [ "$kind" = again ] && room=$((2 * limit)) || room=$limit
    limited $room env LD_PRELOAD="$LIB" BIGMAAC_MIN_FRY_SIZE=128 BIGMAAC_MIN_BIGMAAC_SIZE=64K "$TMP/kinds" "$kind" >"$TMP/out" 2>&1
    status=$?
    echo "$kind: status $status, $(($(date +%s) - begin)) s: $(tail -n 3 "$TMP/out")"
    [ $status = 0 ] || wrong="${wrong:-} $kind"
done
[ -z "${wrong:-}" ] || fail "these were killed or saw another content:$wrong"
exit 0
