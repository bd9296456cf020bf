# A program that can't reach its swap folder or /proc any more, may make no large files, or is refused a system call, goes on
# as it would without the library: through the folder's descriptor, by another call, or in memory; in a child as well. Nothing is printed.
. "$TOP/tests/lib.sh"
need_root
cat >"$TMP/elsewhere.c" <<'C'
#define _GNU_SOURCE
#include "sys_blocks.h"
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static int is(const char *a, const char *b) { return strcmp(a, b) == 0; }

static int landlock(void)
{
    struct landlock_ruleset_attr all = {.handled_access_fs = LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_WRITE_FILE};
    int rules = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof all, 0);
    return rules >= 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && syscall(SYS_landlock_restrict_self, rules, 0) == 0;
}

/* That system call is refused from now on. */
static int filter(unsigned number)
{
    struct sock_filter code[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                                 BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
                                 BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {sizeof code / sizeof code[0], code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0;
}

static int lose(const char *how, const char *folder)
{
    struct rlimit small = {1 << 20, 1 << 20};
    if (is(how, "chroot"))
        return chroot("/usr") == 0 && chdir("/") == 0;
    if (is(how, "mount"))
        return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
               mount("none", folder, "tmpfs", MS_RDONLY, NULL) == 0;
    if (is(how, "removed"))
        return rmdir(folder) == 0;
    if (is(how, "again"))
        return rmdir(folder) == 0 && mkdir(folder, 0700) == 0;
    if (is(how, "setuid"))
        return setresuid(65534, 65534, 65534) == 0;
    if (is(how, "fsize"))
        return setrlimit(RLIMIT_FSIZE, &small) == 0;
    if (is(how, "fallocate"))
        return filter(SYS_fallocate);
    if (is(how, "fstat"))
        return filter(SYS_fstat);
    return is(how, "landlock") && landlock();
}

static void use(struct block *old, int kind)
{
    static struct block fries[300];
    struct block b = {0};
    errno = EXDEV;
    CHECK(block_new(&b, 12 << 20, 2) && errno == EXDEV && bigmaac_try_kind(b.p) == kind);
    CHECK(block_resize(&b, 30 << 20) && block_resize(old, 20 << 20) && block_resize(old, 12 << 20));
    for (size_t i = 0; i < 300; i++)
        CHECK(block_new(&fries[i], 300 + i * 600, i));
    CHECK(blocks_damaged(fries, 300) == 0 && block_intact(old) && block_intact(&b));
    char *zeroes = calloc(12, 1 << 20), *page = NULL;
    CHECK(zeroes && is_zero(zeroes, 12 << 20));
    CHECK(posix_memalign((void **)&page, 1 << 21, 12 << 20) == 0 && (uintptr_t)page % (1 << 21) == 0);
    memset(page, 1, 12 << 20);
    free(opaque(page));
    free(opaque(zeroes));
    block_drop(&b);
    for (size_t i = 0; i < 300; i++)
        block_drop(&fries[i]);
}

int main(int argc, char **argv)
{
    struct block old = {0};
    int status = -1, kind = argc > 3 && is(argv[3], "ours") ? BIGMAAC_KIND_BIGMAAC : BIGMAAC_KIND_NONE;
    CHECK(argc > 3 && block_new(&old, 12 << 20, 1) && bigmaac_try_kind(old.p) == BIGMAAC_KIND_BIGMAAC);
    if (!lose(argv[1], argv[2]))
        return 77;
    use(&old, kind);
    for (int i = 0; i < 3; i++) { /* what was resized since the last one is isolated like the rest, without /proc, too */
        pid_t pid = fork();
        if (pid == 0) {
            use(&old, kind);
            memset(old.p, 0, old.size);
            _exit(check_result());
        }
        CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
        use(&old, kind);
    }
    return check_result();
}
C
compile_c "$TMP/elsewhere" "$TMP/elsewhere.c"
lost() { # HOW ours|memory: where blocks are served from then
    for fries in 0 128; do
        rm -rf "$TMP/own"
        mkdir -m 700 "$TMP/own"
        env LD_PRELOAD="$LIB" BIGMAAC_TEMPLATE="$TMP/own/bigmaac.XXXXXX" BIGMAAC_MIN_FRY_SIZE=$fries \
            "$TMP/elsewhere" "$1" "$TMP/own" "$2" >"$TMP/out" 2>&1
        status=$?
        [ $status = 77 ] && [ "$1" = landlock ] && return # a kernel without it
        [ $status = 0 ] && [ ! -s "$TMP/out" ] || fail "$1, fries $fries: exit status $status with: $(cat "$TMP/out")"
    done
}
chmod 755 "$TMP"
lost chroot ours
lost mount ours
lost again ours
lost removed memory
lost setuid memory
lost fsize memory
lost landlock memory
lost fallocate ours
lost fstat ours
# It is counted, and told where that is asked for.
rm -rf "$TMP/own" && mkdir "$TMP/own"
with BIGMAAC_TEMPLATE="$TMP/own/bigmaac.XXXXXX" BIGMAAC_VERBOSE=1 BIGMAAC_STATS=1 "$TMP/elsewhere" removed "$TMP/own" memory 2>"$TMP/err" ||
    fail "verbose: exit status $?"
[ "$(grep -c "can't be served from disk: no-folder" "$TMP/err")" = 1 ] || fail "verbose: $(cat "$TMP/err")"
grep -q 'stats fell_through reason=no-folder count=[1-9]' "$TMP/err" || fail "stats: $(cat "$TMP/err")"
