# The other architecture, where loads need an order: the library and its tests cross-compiled, on Debian's kernel 6.1 with pages
# of 4 KiB, its 6.12 with 16 KiB, and Ubuntu's 7.0 with 64 KiB, in a virtual machine of two processors, with paging, forks beside
# threads, and mapped memory. The last one only with GUEST_RELEASES="bookworm trixie resolute", or resolute: it takes three minutes and
# more. GUEST_KERNEL=FILE: it has that kernel, as QEMU takes it, with virtio_blk, ext4 and cgroup v2 built in.
# timeout: 3600
CC=aarch64-linux-gnu-gcc
. "$TOP/tests/lib.sh"
# shellcheck source=tests/long/guest/lib.sh
. "$TOP/tests/long/guest/lib.sh"
for tool in $CC qemu-system-aarch64 $GUEST_TOOLS; do need "$tool"; done
SYSTEM=/usr/aarch64-linux-gnu/lib
[ -e $SYSTEM/libc.so.6 ] || skip "needs libc6-dev-arm64-cross"
mkdir "$TMP/src" && cp "$TOP/bigmaac.c" "$TOP/bigmaac.h" "$TOP/Makefile" "$TMP/src"
make -C "$TMP/src" CC=$CC CFLAGS="-O2 -g -Werror" || fail "it does not compile without warnings"
guest_fetch arm64 bookworm busybox-static
busybox=$FETCHED/bin/busybox
guest() { # RELEASE PACKAGE SUITES PASSED KIB
    local kernel=
    case " ${GUEST_RELEASES:-bookworm trixie} " in *" $1 "*) ;; *) return ;; esac
    [ "$1" != resolute ] || kernel=${GUEST_KERNEL:-}
    [ -n "$kernel" ] || { guest_fetch arm64 "$1" "$2" && guest_kernel; }
    guest_root "$busybox" "$TMP/src/bigmaac.so" "$3" vda:ext4
    guest_module virtio_pci virtio_blk crc32c_generic ext4
    mkdir -p "$ROOT/lib" && cp -L $SYSTEM/{ld-linux-aarch64.so.1,lib{c,m}.so.6,libgcc_s.so.1,libpthread.so.0,libdl.so.2} "$ROOT/lib"
    guest_run "${kernel:-$KERNEL}" ttyAMA0 "$4" qemu-system-aarch64 -M virt -accel tcg,thread=multi -cpu max,pauth-impdef=on
    grep "^DONE.* of $5 kB" "$TMP/console" >>"$TMP/ends" || fail "its pages are not of $5 KiB"
}
guest bookworm linux-image-cloud-arm64 "${GUEST_SUITES:-api private forks mapped}" 15 4
guest trixie linux-image-arm64-16k "${GUEST_SUITES:-beyond mapped}" 10 16
need zstd
guest resolute linux-image-generic-64k "${GUEST_SUITES:-private forks beyond mapped}" 17 64
cat "$TMP/ends"
