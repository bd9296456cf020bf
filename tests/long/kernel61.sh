# The library on a second kernel, Debian's 6.1 in a virtual machine (emulated, so slow), with swap
# files on ext4 and on xfs and memory limits of cgroup v2: the core tests, fills of four times the
# limit without an OOM kill, and as much rewritten after a fork; strict overcommit, which is a whole machine's.
# timeout: 3600
. "$TOP/tests/lib.sh"
for tool in qemu-system-x86_64 busybox cpio mkfs.ext4 mkfs.xfs dpkg-deb apt-get; do need "$tool"; done
[ "$(uname -m)" = x86_64 ] || skip "this machine can't run it: it is no x86-64"
PATH=$PATH:/usr/sbin:/sbin

# --- The kernel: downloaded and unpacked, not installed; kept in build/ until `make clean`.
package() { apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/.*Depends: \(linux-image-6\.1\..*\)/\1/p' | head -n 1; }
KERNEL=$TOP/build/kernel61
if [ ! -e "$KERNEL/ready" ]; then
    name=$(package)
    [ -n "$name" ] || { apt-get update -qq >/dev/null 2>&1; name=$(package); }
    [ -n "$name" ] || skip "this machine can't get Debian's kernel 6.1: apt knows no linux-image-cloud-amd64 of it"
    rm -rf "$KERNEL" && mkdir -p "$KERNEL"
    (cd "$KERNEL" && apt-get download -qq "$name" 2>/dev/null && dpkg-deb -x ./*.deb .) || skip "this machine can't download $name"
    rm "$KERNEL"/*.deb && touch "$KERNEL/ready"
fi

# --- The first file system of the guest: busybox, programs and the libraries that they need.
ROOT=$TMP/root
mkdir -p "$ROOT/bin" "$ROOT/t" "$ROOT/modules"
cp "$(command -v busybox)" "$ROOT/bin/busybox"
install -m 755 "$TOP/tests/long/kernel61.init" "$ROOT/init"
for module in virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk libcrc32c xfs; do
    file=$(find "$KERNEL/lib/modules" -name "$module.ko")
    [ -n "$file" ] || fail "the kernel has no module $module"
    cp "$file" "$ROOT/modules/" && echo $module >>"$ROOT/modules/order"
done
cp "$LIB" "$ROOT/t/bigmaac.so"
for source in "$TOP"/tests/api_*.c "$TOP"/tests/fork_*.c "$TOP"/tests/abort_*.c; do
    name=$(basename "$source" .c)
    compile_c "$ROOT/t/$name" "$source" -O1 -w -fno-builtin -lm -ldl
    case $name in abort_*) echo "$name $(head -n 1 "$source" | sed 's,^/\* ,,; s, \*/$,,')" >>"$ROOT/t/aborts" ;; esac
done
for name in unit_config unit_extent unit_stress; do
    compile_c "$ROOT/t/$name" "$TOP/tests/$name.c" -O1 -w -fno-builtin -DBIGMAAC_PREFIX
done
# program SCRIPT NAME: the program NAME.c that a script in tests/ holds.
program() {
    sed -n "/^cat >\"\$TMP\/$2.c\" <<'C'$/,/^C$/p" "$TOP/tests/$1" | sed '1d;$d' >"$TMP/$2.c"
    [ -s "$TMP/$2.c" ] || fail "$1 holds no $2.c"
    compile_c "$ROOT/t/$2" "$TMP/$2.c"
}
program memory.sh fill
program limits.sh take
program fork_home.sh home
program filesystems.sh churn
program filesystems.sh full
echo "${GUEST_SUITES:-aborts api forks beyond full overcommit}" >"$ROOT/t/suites"
ldd "$ROOT"/t/* 2>/dev/null | grep -o '/[^ ]*\.so[^ ]*' | sort -u | while read -r file; do
    case $file in "$ROOT"*) ;; *) install -D "$file" "$ROOT$file" ;; esac
done
(cd "$ROOT" && find . | cpio -o -H newc --quiet) >"$TMP/initrd" || fail "cpio"

# --- Disks and the machine.
truncate -s 1536M "$TMP/ext4.img" "$TMP/xfs.img"
mkfs.ext4 -q -m 0 "$TMP/ext4.img" && mkfs.xfs -q "$TMP/xfs.img" || fail "mkfs"
timeout 3500 qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 512 -nographic -no-reboot -nic none \
    -kernel "$KERNEL"/boot/vmlinuz-* -initrd "$TMP/initrd" -append "console=ttyS0 loglevel=4 panic=-1" \
    -drive "file=$TMP/ext4.img,if=virtio,format=raw,cache=unsafe" \
    -drive "file=$TMP/xfs.img,if=virtio,format=raw,cache=unsafe" </dev/null >"$TMP/console" 2>&1
tr -d '\r' <"$TMP/console"
grep -q '^DONE 6\.1\.' "$TMP/console" || fail "the guest did not come to its end"
grep -E '^FAIL|BUG:|Oops|WARNING:|blocked for more than' "$TMP/console" && fail "the lines above"
[ "$(grep -c '^PASS' "$TMP/console")" -ge 70 ] || fail "few tests ran"
