/* fork_ways.c - each way to make a child gives it memory of its own: it sees its parent's blocks as they were, whatever it
 * writes to them its parent does not see, and it can allocate. Where the library can't help, the child dies instead.
 */
#include "fork_common.h"

#include <linux/sched.h>
#include <pthread.h>
#include <pty.h>
#include <sched.h>
#include <sys/syscall.h>

int clone(int (*function)(void *), void *stack, int flags, void *argument, ...);

enum { BLOCKS = 10, HANG_SECONDS = 300, STACK = 1 << 20 };

static const size_t sizes[] = {REAL_SIZE, FRY_SMALL, FRY_LARGE, BIG_SMALL, BIG_LARGE};
static unsigned char *blocks[BLOCKS];
static char stack[STACK] __attribute__((aligned(64)));
static int depth;
static int shares; /* this process has its parent's descriptors */

static size_t size_of(int i) { return sizes[i % 5]; }

static void blocks_require(uint64_t seed, const char *who)
{
    for (int i = 0; i < BLOCKS; i++)
        content_require(blocks[i], size_of(i), seed + (uint64_t)i, who);
}

static void blocks_write(uint64_t seed)
{
    for (int i = 0; i < BLOCKS; i++)
        content_fill(blocks[i], size_of(i), seed + (uint64_t)i);
}

static size_t way_now;
enum { WAY_CLONE_FILES = 6 }; /* in ways[] */

static void way_try(size_t way);

/* In a child that shares its parent's descriptors it is ordinary memory: a file would stay open in the parent. */
static void *block_here(int i)
{
    if (!shares)
        return block_new(size_of(i), 100 + (uint64_t)i);
    void *block = malloc(size_of(i));
    REQUIRE(block != NULL);
    content_fill(block, size_of(i), 100 + (uint64_t)i);
    return block;
}

/* What every child does. */
__attribute__((noreturn)) static void child_end(void)
{
    alarm(HANG_SECONDS);
    blocks_require(100, "child");
    blocks_write(5000);
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = realloc(blocks[i], size_of(i) * 2);
        content_require(blocks[i], size_of(i), 5000 + (uint64_t)i, "child, realloc");
        content_fill(blocks[i], size_of(i) * 2, 9);
        free(blocks[i]);
        blocks[i] = block_here(i);
    }
    if (depth++ == 0)
        way_try(way_now); /* and its child */
    blocks_require(100, "child, at its end");
    _exit(0);
}

static int child_function(void *argument)
{
    REQUIRE(argument == blocks);
    shares = way_now == WAY_CLONE_FILES;
    child_end();
}

static pid_t way_fork(void) { return fork(); }
static pid_t way_fork_only(void) { return _Fork(); }
static pid_t way_clone_call(void) { return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0); }
static pid_t way_clone(void) { return clone(child_function, stack + STACK, SIGCHLD, blocks); }
static pid_t way_clone_files(void) { return clone(child_function, stack + STACK, SIGCHLD | CLONE_FILES, blocks); }

/* The child's stack is a block, which nobody may free while it runs on it. */
static pid_t way_clone_on_block(void)
{
    return clone(child_function, pages_new(BIG_SMALL, 1) + BIG_SMALL, SIGCHLD | CLONE_FS, blocks);
}

static pid_t way_clone3(void)
{
    struct clone_args args = {.exit_signal = SIGCHLD};
    return (pid_t)syscall(SYS_clone3, &args, sizeof args);
}

static pid_t way_fork_call(void)
{
#ifdef SYS_fork
    return (pid_t)syscall(SYS_fork);
#else
    return fork();
#endif
}

static pid_t way_pty(void)
{
    static int terminal = -1; /* closed too early, the child could not take it */
    int messages = dup(STDERR_FILENO);
    if (terminal >= 0)
        close(terminal);
    pid_t pid = forkpty(&terminal, NULL, NULL, NULL);
    if (pid == 0)
        dup2(messages, STDERR_FILENO);
    close(messages);
    return pid;
}

/* Our child's child is the daemon, and writes its verdict into a pipe. */
static pid_t way_daemon(void)
{
    int verdict[2], status = -1;
    REQUIRE(pipe(verdict) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        REQUIRE(daemon(1, 1) == 0);
        pid_t child = fork();
        if (child == 0)
            child_end();
        REQUIRE(waitpid(child, &status, 0) == child);
        REQUIRE(write(verdict[1], &status, sizeof status) == sizeof status);
        _exit(0);
    }
    close(verdict[1]);
    REQUIRE(read(verdict[0], &status, sizeof status) == sizeof status && status == 0);
    close(verdict[0]);
    return pid;
}

static const struct way {
    const char *name;
    pid_t (*make)(void);
} ways[] = {
    {"fork", way_fork}, {"_Fork", way_fork_only}, {"syscall(SYS_fork)", way_fork_call}, {"syscall(SYS_clone)", way_clone_call},
    {"syscall(SYS_clone3)", way_clone3}, {"clone", way_clone}, {"clone with CLONE_FILES", way_clone_files},
    {"clone, its stack a block", way_clone_on_block}, {"forkpty", way_pty}, {"daemon", way_daemon}};

static void way_try(size_t way)
{
    way_now = way;
    fflush(NULL);
    pid_t pid = ways[way].make();
    if (pid < 0 && errno == ENOSYS && ways[way].make == way_clone3)
        return; /* containers have it so */
    REQUIRE(pid >= 0);
    if (pid == 0)
        child_end();
    blocks_require(100, ways[way].name);
    require_exit_0(pid, ways[way].name);
    blocks_require(100, ways[way].name);
    for (int b = 0; b < BLOCKS; b += 3) { /* the next child finds old and new ones */
        free(blocks[b]);
        blocks[b] = block_here(b);
    }
}

static void ways_all(void)
{
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
        way_try(i);
}

/* These share their parent's memory, or have none of it, until they are another program. */
static void other_programs(void)
{
    static char *const command[] = {"true", NULL};
    pid_t pid;
    REQUIRE(system("exit 3") == 3 << 8);
    REQUIRE(posix_spawnp(&pid, "true", NULL, NULL, command, environ) == 0);
    require_exit_0(pid, "posix_spawn");
    pid = vfork();
    if (pid == 0) {
        execvp("true", command);
        _exit(9);
    }
    require_exit_0(pid, "vfork");
    blocks_require(100, "after other programs");
}

/* Neither of libc's functions is called, so nobody tells the library. */
static long inline_clone(void)
{
    long pid;
#if defined(__x86_64__)
    register long r10 __asm__("r10") = 0, r8 __asm__("r8") = 0;
    __asm__ volatile("syscall" : "=a"(pid) : "a"(SYS_clone), "D"(SIGCHLD), "S"(0), "d"(0), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = SYS_clone, x0 __asm__("x0") = SIGCHLD, x1 __asm__("x1") = 0, x2 __asm__("x2") = 0,
                  x3 __asm__("x3") = 0, x4 __asm__("x4") = 0;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
    pid = x0;
#endif
    return pid;
}

/* One child for each block: it dies, or has what it writes to for itself. It may not change the parent's. */
static void unseen(const char *when)
{
    for (int i = 0; i < BLOCKS; i++) {
        if (sizes[i % 5] == REAL_SIZE)
            continue;
        pid_t pid = (pid_t)inline_clone();
        REQUIRE(pid >= 0);
        if (pid == 0) {
            for (size_t at = 0; at < size_of(i); at++)
                ((volatile unsigned char *)blocks[i])[at] = 7;
            syscall(SYS_exit_group, 0);
        }
        int status;
        REQUIRE(waitpid(pid, &status, 0) == pid);
        REQUIRE(status == 0 || WTERMSIG(status) == SIGSEGV);
        blocks_require(100, when);
    }
}

static atomic_bool over;

static void *churn(void *unused)
{
    while (!atomic_load(&over)) {
        free(block_new(FRY_SMALL, 1));
        free(block_new(BIG_SMALL, 2));
    }
    return unused;
}

int main(int argc, char **argv)
{
    (void)argc;
    fork_test_begin(argv);
    signal(SIGHUP, SIG_IGN); /* a terminal that hangs up */
    pthread_t thread;
    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = block_new(size_of(i), 100 + (uint64_t)i);
    unseen("before a fork");
    ways_all();
    unseen("after forks");
    other_programs();
    depth = 1; /* children of several threads have no children here */
    REQUIRE(pthread_create(&thread, NULL, churn, NULL) == 0);
    ways_all();
    other_programs();
    atomic_store(&over, true);
    REQUIRE(pthread_join(thread, NULL) == 0);
    printf("ok: %zu ways, mode %s\n", sizeof ways / sizeof ways[0], fork_mode());
    return 0;
}
