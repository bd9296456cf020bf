/* fork_errno.c - a fork that fails tells why: fork() and _Fork(), where the kernel refuses. */
#include "fork_common.h"

#include <dlfcn.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static void forks_refuse(void)
{
    static const int numbers[] = {
#ifdef SYS_fork
        SYS_fork,
#endif
        SYS_clone, SYS_clone3};
    enum { CALLS = sizeof numbers / sizeof numbers[0] };
    struct sock_filter code[2 * CALLS + 2] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
    for (int i = 0; i < CALLS; i++) {
        code[1 + 2 * i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)numbers[i], 0, 1);
        code[2 + 2 * i] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAGAIN);
    }
    code[2 * CALLS + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {2 * CALLS + 2, code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        printf("skip: no seccomp here\n");
        exit(0);
    }
}

static void require_again(pid_t (*call)(void), const char *name)
{
    errno = 0;
    pid_t pid = call();
    int err = errno;
    if (pid == 0)
        _exit(1);
    if (pid > 0 || err != EAGAIN)
        fail("%s returned %d with errno %d", name, (int)pid, err);
}

int main(int argc, char **argv)
{
    (void)argc;
    fork_test_begin(argv);
    pid_t (*fork_only)(void) = (pid_t(*)(void))dlsym(RTLD_DEFAULT, "_Fork");
    unsigned char *block = block_new(BIG_LARGE, 1);
    forks_refuse();
    require_again(fork, "fork");
    if (fork_only)
        require_again(fork_only, "_Fork");
    content_require(block, BIG_LARGE, 1, "after the failures");
    free(block);
    return 0;
}
