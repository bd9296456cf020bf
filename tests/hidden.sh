#!/usr/bin/env bash
# A table is picked from at random where small blocks, which we pass on, take most of the memory: the paging is
# right though nothing of ours is allocated any more, and though no limit is to be seen: it is a parent group's, or
# the control groups, /sys or /proc/meminfo are out of sight. Freed blocks are kept for reuse there, too.
. "$TOP/tests/lib.sh"
need_root; need unshare
cat >"$TMP/table.c" <<'END'
#include "sys_blocks.h"

/* KiB read for each of `count` changes of a byte somewhere in the table. */
static size_t change(unsigned char *table, size_t bytes, unsigned count)
{
    unsigned long long before = process_io("read_bytes");
    for (unsigned i = 0; i < count; i++)
        table[random_word() % bytes]++;
    return (size_t)((process_io("read_bytes") - before) / 1024 / count);
}

/* table MIB SMALL_MIB: prints the KiB that a change reads in the end: 2 MiB at first, a page at most later. */
int main(int argc, char **argv)
{
    size_t bytes = argc > 2 ? strtoul(argv[1], NULL, 10) << 20 : 0, small = strtoul(argv[2], NULL, 10) << 20, kib = 0;
    unsigned char *table = malloc(bytes);
    CHECK(table && bigmaac_try_kind(table) == BIGMAAC_KIND_BIGMAAC);
    memset(table, 3, bytes);
    for (size_t got = 0; got < small; got += 1008)
        memset(opaque(malloc(1000)), 1, 1000);
    for (int i = 0; i < 100 && (i < 2 || kib > 16); i++)
        kib = change(table, bytes, 200);
    printf("%zu\n", kib);
    return check_result();
}
END
cat >"$TMP/again.c" <<'END'
#include "sys_blocks.h"
int main(void) /* a block that is freed is the next one of that size */
{
    for (int i = 0; i < 10; i++) {
        char *p = malloc(16 << 20);
        CHECK(p != NULL);
        memset(p, 1, 1 << 20);
        free(p);
    }
    return check_result();
}
END
compile_c "$TMP/table" "$TMP/table.c"
compile_c "$TMP/again" "$TMP/again.c"

hide() { # WHAT COMMAND...: where that is not to be seen
    local way
    case $1 in
    nothing) "${@:2}"; return ;;
    groups) way='umount -R /sys/fs/cgroup' ;;
    sys) way='mount -t tmpfs none /sys' ;;
    meminfo) way='mount -t proc -o subset=pid none /proc' ;;
    parents) # a control group name space, and the mount at another place
        mkdir -p "$TMP/groups of ours"
        unshare -m -C sh -c 'umount -R /sys/fs/cgroup && mount -t cgroup -o memory none "$0" && exec "$@"' \
            "$TMP/groups of ours" "${@:2}"
        return ;;
    esac
    unshare -m sh -c "$way && exec \"\$@\"" - "${@:2}"
}
in_child_group() { # BYTES COMMAND...: the limit is the parent's
    local group=/sys/fs/cgroup/memory/$TEST_ID-parent status
    mkdir -p "$group/a/b" || skip "this machine can't set a memory limit (cgroup v1, root)"
    echo "$1" >"$group/memory.limit_in_bytes"
    (echo "$BASHPID" >"$group/a/b/cgroup.procs"; "${@:2}")
    status=$?
    for _ in 1 2 3 4 5 6 7 8 9 10; do rmdir "$group/a/b" "$group/a" "$group" 2>/dev/null && break; sleep 0.2; done
    return $status
}
reads_pages() { # WHAT MIB SMALL_MIB
    in_child_group $((192 << 20)) hide "$1" env LD_PRELOAD="$LIB" "$TMP/table" "$2" "$3" >"$TMP/out" ||
        fail "$1: status $?"
    echo "$2 MiB beside $3 MiB, hidden: $1: $(cat "$TMP/out") KiB are read for a change"
    [ "$(cat "$TMP/out")" -le 16 ] || fail "$1: large pieces are read for single bytes"
}
reads_pages nothing 64 150
reads_pages nothing 24 170
for what in parents groups sys meminfo; do reads_pages $what 64 150; done
hide meminfo env LD_PRELOAD="$LIB" BIGMAAC_STATS=1 "$TMP/again" 2>"$TMP/err" || fail "meminfo: status $?"
[ "$(stat_of recycled "$TMP/err")" = 9 ] || fail "without meminfo: $(cat "$TMP/err")"
