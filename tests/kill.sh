# SIGKILL at 1,000 random moments of programs that allocate, grow, free and fork: no file is left in
# the swap folder, no block and no inode of the disk is lost. Where only named files can be had, one
# that was just created may be left, empty, and the next program takes it away.
. "$TOP/tests/lib.sh"
cat >"$TMP/kill.c" <<'C'
#include "sys_kill.h"
int main(int argc, char **argv)
{
    struct kill_counters *shared = argc > 2 ? kill_map(argv[2]) : NULL;
    if (!shared)
        return 2;
    if (strcmp(argv[1], "work") == 0) {
        random_state ^= strtoull(getenv("KILL_SEED"), NULL, 10);
        kill_work(shared, (unsigned)atoi(getenv("KILL_SLOT")));
    }
    random_state ^= strtoull(argv[4], NULL, 10);
    int status = kill_all(shared, (unsigned)atoi(argv[3]), argv + 5);
    printf("bigmaacs=%lu fries=%lu forks=%lu steps=%lu met=%lu\n", shared->bigmaacs, shared->fries,
           shared->forks, shared->steps, shared->met);
    return status;
}
C
compile_c "$TMP/kill" "$TMP/kill.c" -fno-builtin
compile_c "$TMP/seccomp" "$TOP/tests/seccomp.c"
loop_mount ext4 512 -m 0
export BIGMAAC_TEMPLATE=$MOUNT/bigmaac.XXXXXXXX BIGMAAC_MIN_BIGMAAC_SIZE=64K BIGMAAC_MIN_FRY_SIZE=128
used() { sync -f "$MOUNT"; df --output=used,iused "$MOUNT" | tail -n 1; }
seed=${SEED:-$RANDOM$RANDOM}
kills() { # COUNT RULES...: so many kills of workers under a filter, or none
    local count=$1 before after counters=$TMP/counters.$RANDOM
    shift
    before=$(used)
    "$TMP/kill" kill "$counters" "$count" "$seed" "$@" env LD_PRELOAD="$LIB" "$TMP/kill" work "$counters" \
        >"$TMP/out" 2>"$TMP/err" || fail "seed $seed, $*: $(cat "$TMP/out" "$TMP/err")"
    [ ! -s "$TMP/err" ] || fail "seed $seed, $*: printed $(head -n 5 "$TMP/err")"
    cat "$TMP/out"
    met=$(sed 's/.*met=//' "$TMP/out")
    [ "$met" -ge $((count / 3)) ] && ! grep -q '=0 ' "$TMP/out" || fail "the kills met nothing: $(cat "$TMP/out")"
    left=$(find "$MOUNT" -name 'bigmaac*' | wc -l)
    if [ "$left" = 1 ] && [ $# -gt 0 ]; then
        echo "one was left: $(ls -l "$MOUNT")"
        "$@" env LD_PRELOAD="$LIB" BIGMAAC_MIN_BIGMAAC_SIZE=4K sort /etc/passwd >"$TMP/out" 2>&1 || fail "sort: $(cat "$TMP/out")"
        left=$(find "$MOUNT" -name 'bigmaac*' | wc -l)
    fi
    [ "$left" = 0 ] || fail "seed $seed, $*: left: $(ls -l "$MOUNT")"
    for _ in $(seq 30); do
        after=$(used)
        [ "$before" = "$after" ] && return
        sleep 1
    done
    fail "seed $seed, $*: blocks and inodes used: $before before, $after after"
}
kills 700
kills 300 "$TMP/seccomp" no-tmpfile
