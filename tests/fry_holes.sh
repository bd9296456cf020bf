# Fries that live beside punched pages, on a disk that others have filled since: they have their
# blocks, so every store goes well (a folio that spans a hole needs blocks for the hole, too).
. "$TOP/tests/lib.sh"
loop_mount ext4 1024 -m 0 -b 4096
export BIGMAAC_TEMPLATE=$MOUNT/bigmaac.XXXXXX
cat >"$TMP/holes.c" <<'C'
#include "sys_blocks.h"
#include <sys/statvfs.h>
#include <sys/syscall.h>
enum { COUNT = 2000, KEEP = 4 };
static struct block b[COUNT];
static long long room(const char *path)
{
    struct statvfs fs;
    return statvfs(path, &fs) == 0 ? (long long)fs.f_bavail * (long long)fs.f_bsize : -1;
}
int main(int argc, char **argv)
{
    int folder = argc == 3 ? open(argv[2], O_RDONLY | O_DIRECTORY) : -1;
    CHECK(folder >= 0);
    for (size_t i = 0; i < COUNT; i++) /* page runs */
        CHECK(block_new(&b[i], 200000, i));
    CHECK(blocks_of_kind(b, COUNT, BIGMAAC_KIND_FRY) == COUNT);
    long long before = room(argv[2]);
    for (size_t i = 0; i < COUNT; i++)
        if (i % KEEP)
            block_drop(&b[i]);
    for (int i = 0; i < 40; i++) { /* time and calls for the purge */
        usleep(100000);
        for (size_t size = 200; size < 400000; size += 9100)
            free(opaque(malloc(size)));
    }
    CHECK(syscall(SYS_syncfs, folder) == 0);
    CHECK(room(argv[2]) > before + (200 << 20)); /* or nothing was punched, and this tests nothing */
    CHECK(system(argv[1]) == 0);
    for (size_t i = 0; checks_failed == 0 && i < COUNT; i += KEEP)
        block_paint(&b[i], i + COUNT);
    CHECK(blocks_damaged(b, COUNT) == 0);
    return check_result();
}
C
compile_c "$TMP/holes" "$TMP/holes.c" -fno-builtin
echo "unset LD_PRELOAD; dd if=/dev/zero of=$MOUNT/full bs=4K 2>/dev/null; sync -f $MOUNT" >"$TMP/fill"
(ulimit -c 0; with BIGMAAC_MIN_FRY_SIZE=128 "$TMP/holes" "sh $TMP/fill" "$MOUNT" 2>"$TMP/err") ||
    fail "status $?: $(cat "$TMP/err")"

# The hole may lie where nothing is mapped: what a fork has frozen is unmapped when it is freed.
cat >"$TMP/gaps.c" <<'C'
#include "../bigmaac.c"
#include "check.h"
int main(int argc, char **argv)
{
    const size_t bytes = 64 * mib, gap = 41 * page_size;
    char *p = bigmaac_malloc(bytes), *end = p;
    CHECK(argc == 2 && p && bigmaac_kind(p) == BIGMAAC_KIND_BIGMAAC);
    struct big *r = big_containing(mem_offset(p));
    for (size_t at = 100 * page_size; at < bytes; at += huge_size + 7 * page_size)
        CHECK(file_punch(&r->file, at, gap) && mem_unmap(big_offset(r) + at, gap));
    CHECK(system(argv[1]) == 0);
    for (size_t at = 100 * page_size; at < bytes; at += huge_size + 7 * page_size) {
        for (; end < p + at; end += page_size)
            *end = 1; /* in order: the kernel reads ahead in ever larger folios */
        end += gap;
    }
    return check_result();
}
C
compile_c "$TMP/gaps" "$TMP/gaps.c" -DBIGMAAC_PREFIX -fno-builtin -I"$TOP/tests" -ldl
rm -f "$MOUNT/full"
(ulimit -c 0; BIGMAAC_PAGING=normal "$TMP/gaps" "sh $TMP/fill" 2>"$TMP/err") || fail "gaps: status $?: $(cat "$TMP/err")"
