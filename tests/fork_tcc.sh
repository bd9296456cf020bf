# A compiler that runs what it has just made, in malloc's memory turned executable, and that program forks.
. "$TOP/tests/lib.sh"
need tcc
cat >"$TMP/jit.c" <<'C'
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static char table[300000];
static int work(int depth)
{
    int status = 0;
    for (int i = 0; i < (int)sizeof table; i++)
        table[i] += (char)depth;
    pid_t pid = depth < 3 ? fork() : 0;
    if (depth < 3 && pid == 0)
        _exit(work(depth + 1));
    if (depth < 3 && (waitpid(pid, &status, 0) != pid || status))
        return 1;
    for (int i = 0, right = depth * (depth + 1) / 2; i < (int)sizeof table; i++)
        if (table[i] != right)
            return 1;
    return 0;
}
int main(void) { return work(0) || work(0); }
C
for mode in private copy; do
    for sizes in "64K 128" "128M 128" "4K 64"; do
        read -r bigmaacs fries <<<"$sizes"
        with BIGMAAC_FORK="$mode" BIGMAAC_MIN_BIGMAAC_SIZE="$bigmaacs" BIGMAAC_MIN_FRY_SIZE="$fries" \
            tcc -run "$TMP/jit.c" >"$TMP/out" 2>&1 || fail "$mode, $sizes: status $?: $(head -n 3 "$TMP/out")"
        [ -s "$TMP/out" ] && fail "$mode, $sizes: $(head -n 3 "$TMP/out")"
    done
done
exit 0
