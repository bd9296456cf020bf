/* seccomp.c - seccomp RULES COMMAND...: runs a command under a system call filter and no_new_privs.
 *   container  refuses what a container runtime's default profile refuses to an unprivileged
 *              container
 *   no-tmpfile openat refuses O_TMPFILE, as file systems without it do
 * Not a test: scripts compile it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#endif

static const int refused[] = {
    SYS_userfaultfd, SYS_perf_event_open, SYS_bpf, SYS_io_uring_setup, SYS_io_uring_enter,
    SYS_io_uring_register, SYS_mount, SYS_umount2, SYS_move_mount, SYS_open_tree, SYS_fsopen,
    SYS_fsconfig, SYS_fsmount, SYS_fspick, SYS_pivot_root, SYS_chroot, SYS_unshare, SYS_setns,
    SYS_kcmp, SYS_pidfd_getfd,
    SYS_keyctl, SYS_add_key, SYS_request_key, SYS_open_by_handle_at, SYS_fanotify_init,
    SYS_lookup_dcookie, SYS_mbind, SYS_set_mempolicy, SYS_get_mempolicy, SYS_move_pages,
    SYS_migrate_pages, SYS_kexec_load, SYS_init_module, SYS_finit_module, SYS_delete_module,
    SYS_quotactl, SYS_swapon, SYS_swapoff, SYS_acct, SYS_syslog, SYS_vhangup, SYS_reboot,
    SYS_settimeofday, SYS_clock_settime, SYS_clock_adjtime, SYS_adjtimex, SYS_sethostname,
    SYS_setdomainname,
#if defined(__x86_64__)
    SYS_iopl, SYS_ioperm, SYS_uselib, SYS_ustat, SYS_sysfs, SYS_create_module,
#endif
};

static struct sock_filter code[256];
static unsigned short used;

static void add(unsigned short what, unsigned k, unsigned char yes, unsigned char no)
{
    code[used++] = (struct sock_filter)BPF_JUMP(what, k, yes, no);
}
static void load(size_t field) { add(BPF_LD | BPF_W | BPF_ABS, (unsigned)field, 0, 0); }
static void answer(unsigned with) { add(BPF_RET | BPF_K, with, 0, 0); }
static void refuse(int err) { answer(SECCOMP_RET_ERRNO | (unsigned)err); }

/* Refuses the call if its argument has one of the bits (lower half). */
static void refuse_bits(int call, unsigned argument, unsigned bits, int err)
{
    add(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 4);
    load(offsetof(struct seccomp_data, args) + argument * 8);
    add(BPF_JMP | BPF_JSET | BPF_K, bits, 0, 1);
    refuse(err);
    load(offsetof(struct seccomp_data, nr));
}

static void container(void)
{
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        add(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)refused[i], 0, 1);
        refuse(EPERM);
    }
    add(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1); /* its flags can't be seen: glibc falls back */
    refuse(ENOSYS);
    refuse_bits(SYS_clone, 0, CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |
                CLONE_NEWNET | CLONE_NEWCGROUP, EPERM);
    refuse_bits(SYS_personality, 0, 0x00040000, EPERM); /* no fixed addresses: setarch -R */
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    load(offsetof(struct seccomp_data, arch));
    add(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0);
    answer(SECCOMP_RET_KILL_PROCESS);
    load(offsetof(struct seccomp_data, nr));
    if (strcmp(argv[1], "container") == 0)
        container();
    else if (strcmp(argv[1], "no-tmpfile") == 0)
        refuse_bits(SYS_openat, 2, O_TMPFILE & ~O_DIRECTORY, EOPNOTSUPP);
    else
        return 2;
    answer(SECCOMP_RET_ALLOW);
    struct sock_fprog program = {.len = used, .filter = code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        perror("seccomp");
        return 125;
    }
    execvp(argv[2], argv + 2);
    perror(argv[2]);
    return 127;
}
