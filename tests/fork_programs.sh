#!/usr/bin/env bash
# The other ways to a new process: daemon, forkpty, nested forks, _Fork, a fork in a thread; vfork,
# posix_spawn, system, popen and exec, which must cost nothing, leak no descriptor and pass the
# preload on. And children that crash, are killed, or outlive their parent.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
cat >"$TMP/ways.c" <<'END'
#define _GNU_SOURCE
#include "check.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "bigmaac.h"

extern char **environ;
enum { FRY = 3000, FRIES = 200 };
static const size_t big_bytes = 6 << 20;
static const char *ready; /* the file by which the daemon tells how it went */

/* A bigmaac and fries, with contents that depend on the seed. */
struct data {
    uint64_t seed;
    unsigned char *big, *fry[FRIES];
};

static struct data make(uint64_t seed)
{
    struct data d = {.seed = seed, .big = malloc(big_bytes)};
    CHECK(bigmaac_try_kind(d.big) == BIGMAAC_KIND_BIGMAAC);
    fill(d.big, big_bytes, seed);
    for (int i = 0; i < FRIES; i++) {
        d.fry[i] = malloc(FRY);
        fill(d.fry[i], FRY, seed + (uint64_t)i);
    }
    CHECK(bigmaac_try_kind(d.fry[0]) == BIGMAAC_KIND_FRY);
    return d;
}

static int intact(const struct data *d)
{
    int good = is_filled(d->big, big_bytes, d->seed);
    for (int i = 0; i < FRIES; i++)
        good &= is_filled(d->fry[i], FRY, d->seed + (uint64_t)i);
    return good;
}

static void change(struct data *d, uint64_t seed)
{
    d->seed = seed;
    fill(d->big, big_bytes, seed);
    for (int i = 0; i < FRIES; i++)
        fill(d->fry[i], FRY, seed + (uint64_t)i);
}

static void release(struct data *d)
{
    free(d->big);
    for (int i = 0; i < FRIES; i++)
        free(d->fry[i]);
}

/* What either side of a fork does: sees what it must, changes it, grows it, swaps new data. */
static void live(struct data *d, uint64_t seed)
{
    CHECK(intact(d));
    change(d, seed);
    struct data own = make(seed + 1000);
    d->big = realloc(d->big, 2 * big_bytes);
    CHECK(is_filled(d->big, big_bytes, d->seed));
    CHECK(intact(d) && intact(&own));
    release(&own);
}

static void done(void) { _exit(checks_failed ? 1 : 0); }

static int succeeded(pid_t pid)
{
    int status = -1;
    CHECK(waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Runs one child through `make_child`, both sides changing everything meanwhile. */
static void isolate(pid_t (*make_child)(void), uint64_t seed)
{
    struct data d = make(seed);
    pid_t pid = make_child();
    CHECK(pid >= 0);
    if (pid == 0) {
        checks_failed = 0; /* ours only */
        live(&d, seed + 1);
        done();
    }
    live(&d, seed + 2);
    CHECK(succeeded(pid));
    CHECK(intact(&d));
    release(&d);
}

static void nested(struct data *d, int depth)
{
    pid_t pid[2];
    CHECK(intact(d));
    if (depth == 0)
        return;
    for (int i = 0; i < 2; i++) {
        pid[i] = fork();
        if (pid[i] == 0) {
            checks_failed = 0; /* ours only */
            change(d, d->seed * 2 + (uint64_t)i);
            nested(d, depth - 1);
            done();
        }
        change(d, d->seed + 77);
    }
    struct data own = make(d->seed + 5);
    for (int i = 0; i < 2; i++)
        CHECK(succeeded(pid[i]));
    CHECK(intact(d) && intact(&own));
    release(&own);
}

static void *fork_in_thread(void *unused)
{
    isolate(fork, 900);
    return unused;
}

static void pseudo_terminal(void)
{
    struct data d = make(300);
    int terminal;
    char text[256] = "";
    pid_t pid = forkpty(&terminal, NULL, NULL, NULL);
    CHECK(pid >= 0);
    if (pid == 0) {
        checks_failed = 0;
        live(&d, 301);
        CHECK(isatty(0));
        printf("child: %s\n", checks_failed ? "bad" : "good");
        fflush(stdout);
        done();
    }
    live(&d, 302);
    for (size_t used = 0; used < sizeof text - 1;) {
        ssize_t n = read(terminal, text + used, sizeof text - 1 - used);
        if (n <= 0)
            break; /* EIO: the child is gone */
        used += (size_t)n;
    }
    close(terminal);
    CHECK(strstr(text, "child: good") != NULL);
    CHECK(succeeded(pid) && intact(&d));
    release(&d);
}

/* daemon() exits in the parent: so a child calls it. What it becomes tells through a file. */
static void daemonize(void)
{
    struct data d = make(400);
    pid_t pid = fork();
    if (pid == 0) {
        checks_failed = 0; /* ours only */
        struct data more = make(450);
        if (daemon(1, 1) != 0)
            _exit(1);
        usleep(100000); /* the parent is gone by now */
        live(&d, 401);
        live(&more, 451);
        FILE *f = fopen(ready, "w");
        fprintf(f, "%s\n", checks_failed ? "bad" : "good");
        fclose(f);
        done();
    }
    CHECK(succeeded(pid));
    change(&d, 402);
    char text[16] = "";
    for (int i = 0; i < 200 && !text[0]; i++) {
        usleep(50000);
        FILE *f = fopen(ready, "r");
        if (f) {
            if (!fgets(text, sizeof text, f))
                text[0] = 0;
            fclose(f);
        }
    }
    CHECK(strcmp(text, "good\n") == 0);
    CHECK(intact(&d));
    release(&d);
}

/* Crash, SIGKILL in the middle of allocating, exhaustion: the parent goes on as if nothing was. */
static void misfortunes(void)
{
    struct data d = make(500);
    for (int way = 0; way < 12; way++) {
        pid_t pid = fork();
        if (pid == 0) {
            struct rlimit none = {0, 0};
            setrlimit(RLIMIT_CORE, &none);
            change(&d, 501);
            if (way == 0)
                *(volatile char *)opaque((void *)16) = 1;
            if (way == 1)
                abort();
            for (uint64_t i = 0;; i++) {
                struct data more = make(i);
                release(&more);
            }
        }
        if (way > 1) {
            usleep((useconds_t)(way - 1) * 1500);
            kill(pid, SIGKILL);
        }
        int status;
        CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
        CHECK(WTERMSIG(status) == (way == 0 ? SIGSEGV : way == 1 ? SIGABRT : SIGKILL));
        CHECK(intact(&d));
    }
    change(&d, 502);
    CHECK(intact(&d));
    release(&d);
}

/* Bytes of our files' mappings that have turned private: a fork was prepared for. The monitor makes them fewer. */
static size_t frozen_bytes(void)
{
    char line[512];
    size_t bytes = 0, from, to;
    FILE *f = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, f))
        if (strstr(line, " rw-p ") && strstr(line, "(deleted)") && sscanf(line, "%zx-%zx", &from, &to) == 2)
            bytes += to - from;
    fclose(f);
    return bytes;
}

/* None of these runs fork handlers, so nothing may change in us; the program sees that it has no
 * descriptor of ours and the library in front. */
static void programs(void)
{
    static const char look[] = "! ls -l /proc/self/fd | grep -q deleted && grep -q bigmaac.so /proc/self/maps";
    static char *arguments[] = {"sh", "-c", (char *)look, NULL};
    struct data d = make(600);
    /* So that descriptors of swap files seen there are ours, not their own. */
    setenv("BIGMAAC_MIN_FRY_SIZE", "0", 1);
    setenv("BIGMAAC_MIN_BIGMAAC_SIZE", "1G", 1);
    size_t frozen = frozen_bytes();
    pid_t pid;
    CHECK(posix_spawn(&pid, "/bin/sh", NULL, NULL, arguments, environ) == 0 && succeeded(pid));
    CHECK(system(look) == 0);
    pid = vfork();
    if (pid == 0) {
        execv("/bin/sh", arguments);
        _exit(9);
    }
    CHECK(succeeded(pid));
    FILE *pipe = popen("grep -c bigmaac.so /proc/self/maps; ls -l /proc/self/fd | grep -c deleted", "r");
    int maps = 0, leaked = -1;
    CHECK(pipe && fscanf(pipe, "%d %d", &maps, &leaked) == 2 && maps > 0 && leaked == 0);
    pclose(pipe);
    CHECK(frozen_bytes() <= frozen);
    CHECK(intact(&d));
    /* After fork and exec, too. */
    pid = fork();
    if (pid == 0) {
        execv("/bin/sh", arguments);
        _exit(9);
    }
    change(&d, 601);
    CHECK(succeeded(pid) && intact(&d));
    release(&d);
}

int main(int count, char **arguments)
{
    pthread_t thread;
    ready = count > 1 ? arguments[1] : "ready";
    isolate(fork, 100);
    isolate(_Fork, 200);
    pseudo_terminal();
    daemonize();
    misfortunes();
    programs();
    struct data d = make(700);
    nested(&d, 3);
    release(&d);
    CHECK(pthread_create(&thread, NULL, fork_in_thread, NULL) == 0);
    isolate(fork, 800);
    pthread_join(thread, NULL);
    return check_result();
}
END
compile_c "$TMP/ways" "$TMP/ways.c" -fno-builtin -lutil
for mode in private copy; do
    rm -f "$TMP/ready"
    with BIGMAAC_FORK=$mode BIGMAAC_STATS=1 BIGMAAC_MIN_BIGMAAC_SIZE=1M BIGMAAC_MIN_FRY_SIZE=128 \
        timeout 600 "$TMP/ways" "$TMP/ready" >"$TMP/out" 2>"$TMP/err" || fail "$mode: status $?: $(grep -v ' stats ' "$TMP/err" | head -n 20)"
    grep 'bigmaac\[' "$TMP/err" | grep -v ' stats ' && fail "$mode: complaints"
    grep fell_through "$TMP/err" && fail "$mode: not all was swapped"
    # Nothing on the disk has a name, nor holds space once all are gone.
    [ -z "$(find "$TMP" -name 'bigmaac.*')" ] || fail "$mode: files are left"
done
exit 0
