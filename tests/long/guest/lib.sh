# lib.sh - sourced by kernel61.sh and aarch64.sh: other kernels in a virtual machine, emulated, so slow, with the library, its
# tests and swap files on disks of its own. guest/init is what runs there.
# shellcheck shell=bash
GUEST_TOOLS="busybox cpio mkfs.ext4 mkfs.xfs dpkg-deb apt-get xz"
PATH=$PATH:/usr/sbin:/sbin
ROOT=$TMP/root

# guest_fetch ARCHITECTURE RELEASE META...: for each package that META depends on, or META itself, its content in FETCHED; kept
# in build/ until `make clean`. With lists and a state of apt's of its own: this machine may be another release.
guest_fetch() {
    local arch=$1 release=$2 meta name apt
    FETCHED=$TOP/build/guest/$arch-$release-$3
    [ ! -e "$FETCHED/ready" ] || return 0
    rm -rf "$FETCHED" && mkdir -p "$FETCHED/apt/lists/partial" "$FETCHED/apt/archives/partial"
    case $release in # this machine may have no key for Ubuntu's signature
    resolute) echo "deb [trusted=yes] ${UBUNTU_MIRROR:-http://archive.ubuntu.com/ubuntu} $release main" ;;
    *) echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $release main" ;;
    esac >"$FETCHED/apt/sources"
    : >"$FETCHED/apt/status"
    apt=(-o "APT::Architecture=$arch" -o "APT::Architectures=$arch" -o "Dir::State=$FETCHED/apt" -o "Dir::State::status=$FETCHED/apt/status"
        -o "Dir::Cache=$FETCHED/apt" -o "Dir::Etc::sourcelist=$FETCHED/apt/sources" -o Dir::Etc::sourceparts=/dev/null)
    apt-get "${apt[@]}" update -qq >/dev/null 2>&1
    for meta in "${@:3}"; do
        name=$(apt-cache "${apt[@]}" depends "$meta" 2>/dev/null | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
        (cd "$FETCHED" && apt-get "${apt[@]}" download -qq "${name:-$meta}" 2>/dev/null && dpkg-deb -x ./*.deb . && rm ./*.deb) ||
            skip "this machine can't download $release's ${name:-$meta} for $arch"
    done
    rm -r "$FETCHED/apt" && touch "$FETCHED/ready"
}

# guest_module NAME...: modules of the kernel in FETCHED, and what they need.
guest_module() {
    local name file
    for name; do
        [ ! -e "$ROOT/modules/$name.ko" ] || continue
        file=$(find "$FETCHED/lib/modules" "$FETCHED/usr/lib/modules" -name "$name.ko*" 2>/dev/null | head -n 1)
        [ -n "$file" ] || continue # part of the kernel itself
        case $file in *.xz) xz -dc "$file" >"$ROOT/modules/$name.ko" ;; *) cp "$file" "$ROOT/modules/$name.ko" ;; esac
        # shellcheck disable=SC2046
        guest_module $(grep -ao 'depends=[a-z0-9_,-]*' "$ROOT/modules/$name.ko" | head -n 1 | sed 's/depends=//; s/[,-]/ /g')
        echo "$name" >>"$ROOT/modules/order"
    done
}

# guest_kernel: KERNEL, the one in FETCHED. Ubuntu packs its own for EFI, which QEMU can't unpack before 8.0: after "zimg" it says
# where what is packed begins, and how many bytes that has.
guest_kernel() {
    local at from bytes
    KERNEL=$(echo "$FETCHED"/boot/vmlinuz-*)
    at=$(grep -abo zimg "$KERNEL" | sed -n '1s/:.*//p')
    [ -n "$at" ] || return 0
    read -r from bytes < <(od -An -tu4 -j $((at + 4)) -N 8 "$KERNEL")
    tail -c +$((at - 4 + from + 1)) "$KERNEL" | head -c "$bytes" | zstd -dc >"$TMP/kernel" || fail "unpack $KERNEL"
    KERNEL=$TMP/kernel
}

# guest_root BUSYBOX LIBRARY SUITES DISK:FILESYSTEM...: what the guest begins with, programs compiled by CC.
guest_root() {
    local source name
    rm -rf "$ROOT" && mkdir -p "$ROOT/bin" "$ROOT/t" "$ROOT/modules"
    cp "$1" "$ROOT/bin/busybox"
    cp "$2" "$ROOT/t/bigmaac.so"
    echo "$3" >"$ROOT/t/suites"
    echo "${@:4}" >"$ROOT/t/disks"
    install -m 755 "$TOP/tests/long/guest/init" "$ROOT/init"
    for source in "$TOP"/tests/api_*.c "$TOP"/tests/fork_*.c "$TOP"/tests/abort_*.c; do
        name=$(basename "$source" .c)
        compile_c "$ROOT/t/$name" "$source" -O1 -w -fno-builtin -lm -ldl
        case $name in abort_*) echo "$name $(head -n 1 "$source" | sed 's,^/\* ,,; s, \*/$,,')" >>"$ROOT/t/aborts" ;; esac
    done
    for name in unit_config unit_extent unit_stress unit_map unit_large_pages; do
        compile_c "$ROOT/t/$name" "$TOP/tests/$name.c" -O1 -w -fno-builtin -DBIGMAAC_PREFIX
    done
    guest_program memory.sh fill
    guest_program limits.sh take
    guest_program fork_home.sh home
    guest_program filesystems.sh churn
    guest_program filesystems.sh full
    guest_program map.sh job
}

# guest_program SCRIPT NAME: the program NAME.c that a script in tests/ holds.
guest_program() {
    sed -n "/^cat >\"\$TMP\/$2.c\" <<'C'$/,/^C$/p" "$TOP/tests/$1" | sed '1d;$d' >"$TMP/$2.c"
    [ -s "$TMP/$2.c" ] || fail "$1 holds no $2.c"
    compile_c "$ROOT/t/$2" "$TMP/$2.c"
}

# guest_run KERNEL CONSOLE PASSED QEMU...: boots, prints what the guest says, and looks at it; at least PASSED tests passed.
guest_run() {
    local kernel=$1 console=$2 passed=$3
    shift 3
    (cd "$ROOT" && find . | cpio -o -H newc --quiet) >"$TMP/initrd" || fail "cpio"
    rm -f "$TMP"/*.img
    truncate -s 1536M "$TMP/ext4.img" "$TMP/xfs.img"
    mkfs.ext4 -q -m 0 "$TMP/ext4.img" && mkfs.xfs -q "$TMP/xfs.img" || fail "mkfs"
    timeout 3500 "$@" -smp 2 -m 512 -nographic -no-reboot -nic none -kernel "$kernel" -initrd "$TMP/initrd" \
        -append "console=$console loglevel=4 panic=-1" \
        -drive "file=$TMP/ext4.img,if=virtio,format=raw,cache=unsafe" \
        -drive "file=$TMP/xfs.img,if=virtio,format=raw,cache=unsafe" </dev/null >"$TMP/console" 2>&1
    tr -d '\r' <"$TMP/console"
    grep -q '^DONE ' "$TMP/console" || fail "the guest did not come to its end"
    grep -E '^FAIL|BUG:|Oops|WARNING:|blocked for more than' "$TMP/console" && fail "the lines above"
    [ "$(grep -c '^PASS' "$TMP/console")" -ge "$passed" ] || fail "few tests ran"
}
