# The library on a second kernel, Debian's 6.1, with swap files on ext4 and on xfs and memory limits of cgroup v2: the
# core tests, fills of four times the limit without an OOM kill, mapped memory of twice, as much rewritten after a fork; strict
# overcommit, which is a whole machine's.
# timeout: 3600
. "$TOP/tests/lib.sh"
# shellcheck source=tests/long/guest/lib.sh
. "$TOP/tests/long/guest/lib.sh"
for tool in qemu-system-x86_64 $GUEST_TOOLS; do need "$tool"; done
[ "$(uname -m)" = x86_64 ] || skip "this machine can't run it: it is no x86-64"
guest_fetch amd64 bookworm linux-image-cloud-amd64
guest_root "$(command -v busybox)" "$LIB" "${GUEST_SUITES:-aborts api forks beyond mapped full overcommit}" vda:ext4 vdb:xfs
guest_module virtio_pci virtio_blk ext4 xfs
ldd "$ROOT"/t/* 2>/dev/null | grep -o '/[^ ]*\.so[^ ]*' | sort -u | while read -r file; do
    case $file in "$ROOT"*) ;; *) install -D "$file" "$ROOT$file" ;; esac
done
guest_run "$(echo "$FETCHED"/boot/vmlinuz-6.1.*)" ttyS0 58 qemu-system-x86_64 -accel tcg,thread=multi -cpu max
