# What children inherit, and what a killed program leaves: no descriptor of ours, no file name, no
# disk space.
. "$TOP/tests/lib.sh"
cat >"$TMP/child.c" <<'C'
#include "sys_blocks.h"
#include "sys_files.h"
/* The program that is executed: nothing of its parent's is open, and it has the library. */
int main(int argc, char **argv)
{
    int fds[1000];
    struct block b;
    for (int fd = 3; fd < 20000; fd++) /* nothing at all: the parent has no file of its own */
        CHECK(fcntl(fd, F_GETFD) == -1);
    CHECK(argc > 1 && strcmp(argv[1], "quiet") == 0);
    CHECK(block_new(&b, 1 << 20, 1) && block_intact(&b));
    CHECK(bigmaac_try_kind(b.p) == BIGMAAC_KIND_BIGMAAC && swap_fds(fds, 1000) >= 1);
    return check_result();
}
C
cat >"$TMP/parent.c" <<'C'
#include "sys_blocks.h"
#include "sys_files.h"
#include <spawn.h>
#include <sys/wait.h>
extern char **environ;
static int ended(pid_t pid)
{
    int status = -1;
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

int main(int argc, char **argv)
{
    struct block bigs[50], fries[1000];
    char command[600], *args[] = {argv[1], "quiet", NULL};
    int fds[1000];
    pid_t pid = -1;
    if (argc < 2)
        return 2;
    snprintf(command, sizeof command, "exec %s quiet", argv[1]);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 50; i++)
            CHECK(block_new(&bigs[i], 300000 + random_below(300000), i));
        for (size_t i = 0; i < 1000; i++)
            CHECK(block_new(&fries[i], 100 + random_below(3000), i));
        size_t files = swap_fds(fds, 1000);
        CHECK(files >= 51);
        for (size_t i = 0; i < files; i++)
            CHECK(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
        if ((pid = fork()) == 0) {
            execv(argv[1], args);
            _exit(9);
        }
        CHECK(ended(pid));
        if ((pid = vfork()) == 0) {
            execv(argv[1], args);
            _exit(9);
        }
        CHECK(ended(pid));
        CHECK(posix_spawn(&pid, argv[1], NULL, NULL, args, environ) == 0 && ended(pid));
        CHECK(system(command) == 0);
        FILE *f = popen(command, "r");
        CHECK(f && pclose(f) == 0);
        for (size_t i = 0; i < 1000; i++) {
            CHECK(block_intact(&fries[i]) && (i >= 50 || block_intact(&bigs[i])));
            block_drop(&fries[i]);
            if (i < 50)
                block_drop(&bigs[i]);
        }
    }
    return check_result();
}
C
compile_c "$TMP/child" "$TMP/child.c"
compile_c "$TMP/parent" "$TMP/parent.c"
# Whatever this script was given by who runs it is not part of the test.
clean() (
    for fd in /proc/"$BASHPID"/fd/*; do
        fd=${fd##*/}
        [ "$fd" -gt 2 ] && eval "exec $fd>&-"
    done
    exec "$@"
)
for mode in private copy; do
    clean env LD_PRELOAD="$LIB" BIGMAAC_FORK=$mode BIGMAAC_MIN_BIGMAAC_SIZE=256K BIGMAAC_MIN_FRY_SIZE=64 \
        "$TMP/parent" "$TMP/child" 2>"$TMP/err" || fail "fork=$mode: exit status $? with: $(head -n 5 "$TMP/err")"
    [ ! -s "$TMP/err" ] || fail "fork=$mode: printed $(cat "$TMP/err")"
done

# SIGKILL, a hundred times, wherever it hits.
loop_mount ext4 512 -m 0
export BIGMAAC_TEMPLATE=$MOUNT/bigmaac.XXXXXX
used() { sync -f "$MOUNT"; df --output=used,iused -B1K "$MOUNT" | tail -n 1; }
cat >"$TMP/busy.c" <<'C'
#include "sys_churn.h"
int main(void)
{
    for (;;) {
        for (int i = 0; i < 20; i++)
            churn_step();
        if (random_below(20) == 0)
            churn_fork();
        if (checks_failed)
            return 1; /* the script sees it: it was not killed */
    }
}
C
compile_c "$TMP/busy" "$TMP/busy.c"
before=$(used)
most=0
for i in $(seq 100); do
    (exec setsid env LD_PRELOAD="$LIB" BIGMAAC_MIN_BIGMAAC_SIZE=64K BIGMAAC_MIN_FRY_SIZE=128 "$TMP/busy" 2>>"$TMP/err") &
    pid=$!
    sleep "0.0$((RANDOM % 90 + 10))"
    [ $((i % 10)) = 0 ] && until_ready eval 'most=$(df --output=used -B1K "$MOUNT" | tail -n 1); [ "$most" -gt $((${before%% *} + 1024)) ]'
    until_ready kill -KILL -- "-$pid" # it and its children; its group is not there yet on a busy machine
    wait $pid 2>/dev/null
    status=$?
    [ $status = 137 ] || fail "exit status $status before it was killed: $(cat "$TMP/err")"
    [ -z "$(find "$MOUNT" -name 'bigmaac.*')" ] || fail "killed, it left $(ls "$MOUNT")"
done
for _ in $(seq 300); do after=$(used); [ "$after" = "$before" ] && break; sleep 0.1; done
[ "$most" -gt $((${before%% *} + 1024)) ] || fail "the killed programs used no disk: this tests nothing"
[ "$after" = "$before" ] || fail "disk space and files in use before: $before, after: $after"
[ ! -s "$TMP/err" ] || fail "printed $(cat "$TMP/err")"
