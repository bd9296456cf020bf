# Swap files on ext4, xfs, btrfs, tmpfs and overlayfs: blocks keep their contents, through forks
# too; what is given back is, whatever pages the kernel caches files in; what a full file system can't hold is the next malloc's;
# no file name is left.
. "$TOP/tests/lib.sh"
need_root

cat >"$TMP/churn.c" <<'C'
#include "sys_churn.h"
#include <linux/fs.h>
#include <sys/ioctl.h>
int main(int argc, char **argv)
{
    int fds[1000], flags = 0;
    churn(3000, 2);
    size_t files = swap_fds(fds, 1000);
    CHECK(files > 5); /* they are in the folder that we asked for */
    for (size_t i = 0; argc > 1 && strcmp(argv[1], "nocow") == 0 && i < files; i++)
        CHECK(ioctl(fds[i], FS_IOC_GETFLAGS, &flags) == 0 && (flags & FS_NOCOW_FL));
    return check_result();
}
C
cat >"$TMP/full.c" <<'C'
#include "sys_full.h"
static struct block blocks[FULL_MAX];
int main(int argc, char **argv)
{
    size_t count = full_exhaust(blocks);
    CHECK(count >= 6 && count <= 20);
    full_elsewhere(blocks, count);
    full_again(blocks, count);
    full_fries(argc > 1 ? strtoul(argv[1], NULL, 10) : 6);
    return check_result();
}
C
compile_c "$TMP/churn" "$TMP/churn.c"
compile_c "$TMP/full" "$TMP/full.c"
for unit in unit_map unit_large_pages; do
    compile_c "$TMP/$unit" "$TOP/tests/$unit.c" -DBIGMAAC_PREFIX -w -fno-builtin -ldl
done

quiet_but() { # PATTERN: stderr in $TMP/err holds lines with that only
    grep -v "$1" "$TMP/err" && fail "$TYPE: printed what it should not"
    return 0
}
only_names() { # none of ours in $FOLDER
    [ -z "$(find "$FOLDER" -name 'bigmaac.*')" ] || fail "$TYPE: left $(ls "$FOLDER")"
}
check() { # TYPE FOLDER EXPECTED-MESSAGE [ARGUMENT]
    TYPE=$1 FOLDER=$2
    export BIGMAAC_TEMPLATE=$FOLDER/bigmaac.XXXXXX
    for mode in private copy; do
        with BIGMAAC_FORK=$mode BIGMAAC_MIN_BIGMAAC_SIZE=64K BIGMAAC_MIN_FRY_SIZE=128 "$TMP/churn" "${4:-}" 2>"$TMP/err" ||
            fail "$TYPE, fork=$mode: exit status $? with: $(head -n 5 "$TMP/err")"
        quiet_but "$3"
    done
    only_names
}
available() { sync -f "$FOLDER"; df --output=avail -B1 "$FOLDER" | tail -n 1; }
check_units() { # what depends on how large the pages are that the kernel caches files in
    for unit in unit_map unit_large_pages; do
        "$TMP/$unit" 1 200 >"$TMP/err" 2>&1 || fail "$TYPE: $unit: $(head -n 5 "$TMP/err")"
    done
    only_names
}
check_full() { # after check: leaves 16 MiB
    local wanted=$((16 * 1048576)) part=0
    while [ "$(available)" -gt $((wanted + 524288)) ]; do # btrfs: what df says changes while it fills
        part=$((part + 1))
        fallocate -l $(($(available) - wanted)) "$FOLDER/ballast.$part" || fail "$TYPE: can't fill it"
        [ $part -lt 20 ] || fail "$TYPE: it does not get full"
    done
    with BIGMAAC_MIN_BIGMAAC_SIZE=512K BIGMAAC_MIN_FRY_SIZE=64 "$TMP/full" "${2:-6}" 2>"$TMP/err" ||
        fail "$TYPE, full: exit status $? with: $(head -n 5 "$TMP/err")"
    quiet_but "$1"
    rm "$FOLDER"/ballast.*
    only_names
}

NOTHING='^$'
[ -n "${ONLY_FS:-}" ] || ONLY_FS="ext4 xfs btrfs tmpfs overlay"
for type in $ONLY_FS; do
    case $type in
    ext4) loop_mount ext4 1024 -m 0; check ext4 "$MOUNT" "$NOTHING"; check_units; check_full "$NOTHING" ;;
    xfs) loop_mount xfs 1024; check xfs "$MOUNT" "$NOTHING"; check_units; check_full "$NOTHING" ;;
    btrfs) loop_mount btrfs 1024; check btrfs "$MOUNT" "$NOTHING" nocow; check_units
        check_full "$NOTHING" 3 ;; # it frees what was reserved in one piece once all of it is free
    tmpfs)
        MOUNT=$TMP/tmpfs; mkdir "$MOUNT"
        mount -t tmpfs -o size=1g none "$MOUNT" || skip "this machine can't mount tmpfs"
        MOUNTS+=("$MOUNT"); trap loop_unmount EXIT
        warning='^bigmaac\[[0-9]*\]: .*\(tmpfs\|memory\|RAM\)'
        check tmpfs "$MOUNT" "$warning"
        [ "$(grep -c . "$TMP/err")" = 1 ] || fail "tmpfs: one warning expected: $(cat "$TMP/err")"
        check_full "$warning" ;;
    overlay)
        loop_mount ext4 1024 -m 0
        mkdir "$MOUNT/lower" "$MOUNT/upper" "$MOUNT/work" "$TMP/overlay"
        mount -t overlay -o "lowerdir=$MOUNT/lower,upperdir=$MOUNT/upper,workdir=$MOUNT/work" none "$TMP/overlay" ||
            skip "this machine can't mount overlayfs"
        MOUNTS=("$TMP/overlay" "${MOUNTS[@]}")
        check overlay "$TMP/overlay" "$NOTHING"; check_units; check_full "$NOTHING" ;;
    esac
done
