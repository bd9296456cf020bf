# A disk that fails under a program whose data are paged out under a memory limit: device-mapper's
# `error` target takes the place of the disk. One line names library, folder and address, then the
# program dies of SIGBUS.
. "$TOP/tests/lib.sh"
need_root; need mkfs.ext4; need losetup; need dmsetup
PATH=$PATH:/usr/sbin
dmsetup version >/dev/null 2>&1 || skip "this machine can't make device-mapper devices"
name=$TEST_ID sectors=$((512 << 11)) loop=
clean_up() {
    loop_unmount
    dmsetup remove --noudevsync --retry "$name" 2>/dev/null
    [ -z "$loop" ] || losetup -d "$loop"
}
trap clean_up EXIT
truncate -s 512M "$TMP/disk.img"
loop=$(losetup -f --show "$TMP/disk.img") || skip "this machine can't make loop devices"
dmsetup create --noudevsync "$name" --table "0 $sectors linear $loop 0" && dmsetup mknodes "$name" ||
    skip "this machine can't make device-mapper devices"
mkfs.ext4 -q -O ^has_journal "/dev/mapper/$name" || fail "mkfs.ext4"
MOUNT=$TMP/mnt
mkdir "$MOUNT"
mount "/dev/mapper/$name" "$MOUNT" || fail "mount"
MOUNTS+=("$MOUNT")
export BIGMAAC_TEMPLATE=$MOUNT/bigmaac.XXXXXX

cat >"$TMP/read.c" <<'C'
#include "sys_bus.h"
int main(int argc, char **argv)
{
    struct block b;
    CHECK(argc == 2 && block_new(&b, 192 << 20, 5) && system(argv[1]) == 0);
    for (size_t i = 0; checks_failed == 0 && i < b.size; i += 4096) {
        char line[32];
        snprintf(line, sizeof line, "%p\n", (void *)((char *)b.p + i));
        lseek(1, 0, SEEK_SET); /* the last one stays */
        syscall(SYS_write, 1, line, strlen(line));
        CHECK(((volatile char *)b.p)[i] == ((char *)&(uint64_t){word_at(5, i / 8)})[0]);
    }
    puts("alive");
    return 1;
}
C
compile_c "$TMP/read" "$TMP/read.c" -fno-builtin
cat >"$TMP/break" <<S
unset LD_PRELOAD
dmsetup suspend --nolockfs --noflush $name && dmsetup load $name --table "0 $sectors error" && dmsetup resume --noudevsync $name
S
(ulimit -c 0; limited $((64 << 20)) env LD_PRELOAD="$LIB" "$TMP/read" "sh $TMP/break" 2>"$TMP/err" >"$TMP/out")
status=$?
[ $status = 77 ] && tail -n 1 "$TMP/out" && exit 77
[ $status = 135 ] || fail "exit status $status: $(cat "$TMP/out" "$TMP/err")"
page=$(sed -n 's/^\(0x[0-9a-f]*\)...$/\1/p' "$TMP/out")
line="can't read or write memory at ${page}[0-9a-f]* that is swapped to $MOUNT (I/O error or disk full)"
grep -q "^bigmaac\[[0-9]*\]: $line; ending the program with SIGBUS$" "$TMP/err" &&
    [ "$(grep -c ^bigmaac "$TMP/err")" = 1 ] || fail "at $page...: $(cat "$TMP/err")"
