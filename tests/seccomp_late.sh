#!/usr/bin/env bash
# A program that installs a system call filter for all its threads, ours included, while faults are watched: what README
# promises to make only without a filter is made no more.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
cat >"$TMP/late.c" <<'END_C'
#include "check.h"
#include <dirent.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static uint64_t state = 88172645463325252u;
static volatile uint64_t sink;
static uint64_t pick(void)
{
    state ^= state << 13, state ^= state >> 7;
    return state ^= state << 17;
}

static void read_blocks(const uint64_t *p, size_t words, time_t seconds)
{
    for (time_t end = time(NULL) + seconds; time(NULL) < end;)
        for (size_t at = pick() % (words / 2048) * 2048, i = 0; i < 2048; i += 8)
            sink += p[at + i];
}

/* Does a thread of ours hold events? They are in a table of descriptors of its own. */
static int is_watched(void)
{
    int found = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *t; (t = readdir(tasks));) {
        char path[600], target[64];
        snprintf(path, sizeof path, "/proc/self/task/%s/fd", t->d_name);
        DIR *fds = opendir(path);
        for (struct dirent *d; fds && (d = readdir(fds));) {
            snprintf(path, sizeof path, "/proc/self/task/%s/fd/%s", t->d_name, d->d_name);
            ssize_t n = readlink(path, target, sizeof target - 1);
            target[n > 0 ? n : 0] = 0;
            found |= strstr(target, "perf_event") != NULL;
        }
        if (fds)
            closedir(fds);
    }
    closedir(tasks);
    return found;
}

static void filter(void)
{
    static const int promised[] = {SYS_perf_event_open, SYS_close_range, SYS_ioctl, SYS_ppoll,
#ifdef SYS_epoll_wait
                                   SYS_epoll_wait,
#endif
                                   SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_pwait};
    struct sock_filter code[32];
    unsigned short n = 0;
    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < sizeof promised / sizeof promised[0]; i++) {
        code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)promised[i], 0, 1);
        code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    }
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {n, code};
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0);
}

int main(void)
{
    size_t words = (size_t)640 << 17;
    uint64_t *p = malloc(words * 8);
    int watched = 0;
    for (size_t i = 0; i < words; i++)
        p[i] = i;
    for (int s = 0; s < 600 && !watched; s++) {
        read_blocks(p, words, 1);
        watched = is_watched();
    }
    CHECK(watched);
    filter();
    read_blocks(p, words, 4);
    return check_result();
}
END_C
compile_c "$TMP/late" "$TMP/late.c"
sees_faults || skip "this machine can't let a process see its own faults"
limited $((256 << 20)) env LD_PRELOAD="$LIB" "$TMP/late" || fail "status $? (159: the filter ended it)"
