#!/usr/bin/env bash
# BIGMAAC_STATS and BIGMAAC_PROFILE speak for every process, however it ends and whatever it did to its stderr:
# once for each, on the stderr that it began with, or in a file of its own.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
# told COUNT WORDS COMMAND...: that many processes have told the line that has WORDS
told() {
    local count=$1 words=$2
    shift 2
    "$@" 2>"$TMP/err" >"$TMP/out" </dev/null || fail "$*: status $?: $(cat "$TMP/err")"
    [ "$(grep -ac "$words" "$TMP/err")" = "$count" ] ||
        fail "$*: $(grep -ac "$words" "$TMP/err") processes told $words, not $count: $(cat "$TMP/err")"
    [ "$(grep -a "$words" "$TMP/err" | cut -d: -f1 | sort -u | wc -l)" = "$count" ] || fail "$*: one told twice: $(cat "$TMP/err")"
}
cat >"$TMP/ends.c" <<'C'
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv) /* [unread COMMAND...]: COMMAND with a full pipe as stderr, then SIGTERM */
{
    char zeros[4096] = "";
    int ends[2], status;
    if (argc < 3) {
        static char *volatile block;
        block = malloc(300000);
        _exit(!block);
    }
    if (pipe(ends) || fcntl(ends[1], F_SETPIPE_SZ, 4096) != 4096 || write(ends[1], zeros, 4096) != 4096)
        return 2;
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], 2);
        execvp(argv[2], argv + 2);
        _exit(3);
    }
    char path[64], state[4096];
    do { /* until it waits in pipe_write */
        usleep(10000);
        snprintf(path, sizeof path, "/proc/%d/syscall", child);
        int fd = open(path, O_RDONLY);
        state[fd < 0 ? 0 : read(fd, state, sizeof state - 1)] = 0;
        close(fd);
    } while (strncmp(state, "1 ", 2) != 0 && waitpid(child, &status, WNOHANG) == 0);
    kill(child, SIGTERM);
    return waitpid(child, &status, 0) != child || !WIFSIGNALED(status) || WTERMSIG(status) != SIGTERM;
}
C
compile_c "$TMP/ends" "$TMP/ends.c" -w
for setting in BIGMAAC_STATS BIGMAAC_PROFILE; do
    [ $setting = BIGMAAC_STATS ] && words='stats bigmaacs=' || words='live at the peak'
    echo "== $setting: programs that close stderr"
    told 1 "$words" with $setting=1 sort -o "$TMP/o" "$TOP/Makefile"
    told 1 "$words" with $setting=1 grep -c make "$TOP/Makefile"
    told 1 "$words" with $setting=1 dd if=/dev/null of="$TMP/o"
    told 1 "$words" with $setting=1 tar -cf "$TMP/o" -C "$TOP" Makefile
    command -v xz >/dev/null && told 1 "$words" with $setting=1 xz -kc "$TOP/Makefile"

    echo "== $setting: _exit, forks, pools, a child by vfork that can't execute"
    need_python multiprocessing
    told 1 "$words" with $setting=1 $PYTHON -c 'import os; os._exit(0)'
    told 2 "$words" with $setting=1 $PYTHON -c '
import os
os._exit(0) if os.fork() == 0 else os.wait()'
    told 1 "$words" with $setting=1 $PYTHON -c '
import subprocess
try:
    subprocess.run(["/missing"])
except OSError:
    pass'
    told 3 "$words" with $setting=1 $PYTHON -c '
import multiprocessing, os, time
class Worker(multiprocessing.Process):
    def run(self): bytearray(20 << 20)
if __name__ == "__main__":
    workers = [Worker() for _ in range(2)]
    [w.start() for w in workers]; [w.join() for w in workers]'
    told 3 "$words" with $setting=1 $PYTHON -c '
import multiprocessing
with multiprocessing.Pool(2) as pool: # its end is a SIGTERM
    pool.map(abs, range(8))'

    echo "== $setting: SIGTERM"
    with $setting=1 $PYTHON -c 'import os; os.kill(os.getpid(), 15)' 2>"$TMP/err"; [ $? = 143 ] || fail "SIGTERM: status $?"
    [ "$(grep -c "$words" "$TMP/err")" = 1 ] || fail "SIGTERM: $(cat "$TMP/err")"
    told 1 "$words" with $setting=1 sh -c 'trap "exit 0" TERM; kill -TERM $$' # the program's own handler
    told 1 "$words" with $setting=1 $PYTHON -c '
import os, signal
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")'
    grep -q interrupted "$TMP/out" || fail "SIGINT is no KeyboardInterrupt"

    echo "== $setting: SIGTERM while it is told, as pools terminate workers that are ending: all is told; no reader: it ends at once"
    told 1 "$words" with $setting=1 "$TMP/ends"
    [ ! -x "$(command -v strace)" ] || for when in 1 2 3; do
        strace -qq -o "$TMP/trace" -e trace=write -e inject=write:signal=TERM:when=$when env LD_PRELOAD="$PRELOAD" $setting=1 \
            "$TMP/ends" 2>"$TMP/cut"
        [ $? = 143 ] || fail "SIGTERM in write $when: status $?: $(cat "$TMP/cut")"
        [ "$(wc -l <"$TMP/cut")" = "$(wc -l <"$TMP/err")" ] || fail "cut by SIGTERM in write $when: $(cat "$TMP/cut")"
    done
    "$TMP/ends" unread env LD_PRELOAD="$PRELOAD" $setting=1 "$TMP/ends" || fail "$setting: SIGTERM did not end it, with a stderr that is full"

    echo "== $setting: a file for each process"
    mkdir "$TMP/$setting"
    told 0 "$words" with "$setting=$TMP/$setting/of" $PYTHON -c '
import os, sys
print(os.getpid(), flush=True)
if os.fork() == 0:
    print(os.getpid(), flush=True)
    os._exit(0)
os.wait()'
    [ ! -s "$TMP/err" ] || fail "$setting=FILE: on stderr, too: $(cat "$TMP/err")"
    while read -r pid; do
        [ "$(grep -c "^bigmaac\[$pid\]: .*$words" "$TMP/$setting/of.$pid")" = 1 ] || fail "$setting=FILE: nothing from $pid"
    done <"$TMP/out"
    [ "$(ls "$TMP/$setting" | wc -l)" = 2 ] || fail "$setting=FILE: $(ls "$TMP/$setting")"
    (cd "$TMP" && with "$setting=./rel" sh -c 'cd /; :') || fail "a relative path"
    [ -n "$(find "$TMP" -maxdepth 1 -name 'rel.*')" ] || fail "$setting=./rel is not in the first folder"
    rm -f "$TMP"/rel.*
    # What is there already is not written through.
    echo precious >"$TMP/precious"
    told 1 "rel.*: Too many levels of symbolic links; the summary goes to stderr" with "$setting=$TMP/rel" \
        sh -c "ln -s $TMP/precious $TMP/rel.\$\$"
    [ "$(cat "$TMP/precious")" = precious ] || fail "written through a link"
    rm -f "$TMP"/rel.*
done

echo "== a file that took number 2 is not written to; what was kept and closed is no loss"
cat >"$TMP/two.c" <<'C'
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    if (strcmp(argv[1], "reuse") == 0) {
        close(2);
        return open(argv[2], O_WRONLY | O_CREAT, 0600) != 2;
    }
    for (int fd = 3; fd < 4096; fd++)
        close(fd);
    return 0;
}
C
compile_c "$TMP/two" "$TMP/two.c" -w
told 1 'stats bigmaacs=' with BIGMAAC_STATS=1 "$TMP/two" reuse "$TMP/data"
[ -e "$TMP/data" ] && [ ! -s "$TMP/data" ] || fail "written into the program's file: $(cat "$TMP/data")"
told 1 'stats bigmaacs=' with BIGMAAC_STATS=1 "$TMP/two" close

echo "== where nobody wants a summary _exit is one system call: a program may have forbidden itself all others"
cat >"$TMP/only.c" <<'C'
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void)
{
    struct sock_filter only_exit[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL),
    };
    struct sock_fprog filter = {4, only_exit};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0)
        return 77;
    _exit(3);
}
C
compile_c "$TMP/only" "$TMP/only.c" -w
"$TMP/only"; [ $? = 3 ] || skip "this machine can't install seccomp filters; the rest passed"
with "$TMP/only" 2>"$TMP/err"; status=$?
[ $status = 3 ] || fail "_exit under a filter: status $status: $(cat "$TMP/err")"
exit 0
