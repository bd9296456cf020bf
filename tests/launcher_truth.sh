#!/usr/bin/env bash
# What the launcher says where something is not as usual: libraries that can't work, programs that can't be
# preloaded, limits that are not in our own group, tools and files that are not there. It is true, or "unknown".
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
unset BIGMAAC_TEMPLATE TMPDIR
mkdir "$TMP/own" "$TMP/swap"; chmod 755 "$TMP"; chmod 1777 "$TMP/swap"
cp "$TOP/extras/bigmaac" "$LIB" "$TMP/own"
launcher=$TMP/own/bigmaac
check() { sh "$launcher" --check --dir "$TMP/swap" >"$TMP/out" 2>"$TMP/err"; }
says() { grep -Eq -- "$1" "$TMP/out" || fail "no \"$1\" in: $(cat "$TMP/out" "$TMP/err")"; }
silent() { [ ! -s "$TMP/err" ] || fail "$*: on stderr: $(cat "$TMP/err")"; }
refused() { # STATUS PATTERN ARGUMENT...
    local want=$1 pattern=$2 status
    shift 2
    sh "$launcher" --dir "$TMP/swap" "$@" >"$TMP/out" 2>"$TMP/err"; status=$?
    { [ $status = "$want" ] && [ "$(wc -l <"$TMP/err")" = 1 ] && grep -Eq "^bigmaac: .*$pattern" "$TMP/err"; } ||
        fail "$*: status $status, not $want, or no \"$pattern\" in: $(cat "$TMP/err")"
}

echo "== libraries"
unusable() { # PATTERN
    check && fail "--check is content with a library that can't work: $(cat "$TMP/out")"
    says "^  can not be used  *$1"; silent --check
    refused 125 "$1.*nothing was started" true
}
check || fail "$(cat "$TMP/out")"; says '^Ready: '; silent --check
for bytes in 100000 5000 1000; do head -c $bytes "$LIB" >"$TMP/own/bigmaac.so"; unusable '.'; done
head -c 100000 "$LIB" >"$TMP/own/bigmaac.so"; unusable 'bigmaac.so does not answer .*make it again, or install'
echo text >"$TMP/own/bigmaac.so"; unusable 'the loader says: bigmaac.so cannot be preloaded \(file too short\)'
other=$(ldconfig -p 2>/dev/null | sed -n 's/.*libm\.so\.6 .*x86-64.*=> //p;s/.*libm\.so\.6 .*AArch64.*=> //p' | head -n 1)
[ -z "$other" ] || { cp "$other" "$TMP/own/bigmaac.so"; unusable 'bigmaac.so does not answer'; }
printf '\177ELF\001\001\001\0\0\0\0\0\0\0\0\0\003\0\050\0%044d' 0 >"$TMP/own/bigmaac.so"
unusable 'it is built for other processors'
cp "$LIB" "$TMP/own/bigmaac.so"

echo "== programs"
script() { printf "$2" >"$TMP/$1"; chmod +x "$TMP/$1"; }
script crlf '#!/bin/sh\r\necho hi\r\n'; refused 127 "crlf: its first line ends in CR and LF.*sed -i" "$TMP/crlf"
script crlf2 '#!/usr/bin/env python3\r\nprint(1)\r\n'; refused 127 "its first line ends in CR and LF" "$TMP/crlf2"
script nosuch '#!/usr/bin/env nosuch\n'; refused 127 'its interpreter nosuch is not found; install it' "$TMP/nosuch"
script tiny '#!/bin/missing'; refused 127 'its interpreter /bin/missing is not found' "$TMP/tiny"
for text in '#!/bin/sh' '#! /bin/sh\n:' '' 'echo plain\n'; do
    script right "$text"
    sh "$launcher" --dir "$TMP/swap" "$TMP/right" >"$TMP/out" 2>"$TMP/err" || fail "the script \"$text\" is refused: $(cat "$TMP/err")"
    silent "$text"
done
refused 127 'll: not found; check the name.*alias.*bigmaac sh -c' ll
echo 'int main(void) { return 0; }' >"$TMP/main.c"
if command -v musl-gcc >/dev/null; then
    musl-gcc -o "$TMP/musl" "$TMP/main.c" || fail "musl-gcc"
    refused 126 'musl: needs glibc to be preloaded.*ld-musl.*with glibc' "$TMP/musl"
    mkdir "$TMP/alpine" && cp "$TMP/musl" "$TMP/alpine/sh"
    env PATH="$TMP/alpine:$PATH" /bin/sh "$launcher" --check --dir "$TMP/swap" >"$TMP/out" 2>"$TMP/err" && fail "--check is content with musl"
    says "can not be used  *it needs glibc, and this system's programs are for another C library \(/lib/ld-musl"; silent musl
fi
if "$CC" -static -o "$TMP/static" "$TMP/main.c" 2>/dev/null; then
    mkdir "$TMP/small" && cp "$TMP/static" "$TMP/small/sh"
    env PATH="$TMP/small:$PATH" /bin/sh "$launcher" --check --dir "$TMP/swap" >"$TMP/out" 2>"$TMP/err" || fail "$(cat "$TMP/out" "$TMP/err")"
    says "^  unknown  *sh is statically linked, so it can't be tried here"; silent static
fi
refused 125 "/proc: it is the kernel's .proc., not a place for files; choose" --dir /proc true

echo "== what is set for the program says nothing of the launcher's own tools"
for shell in sh dash "busybox sh" zsh; do
    command -v ${shell% *} >/dev/null || continue
    # shellcheck disable=SC2086
    BIGMAAC_STATS=1 BIGMAAC_VERBOSE=1 LD_PRELOAD=$LIB $shell "$launcher" --check --dir "$TMP/swap" >"$TMP/out" 2>"$TMP/err" ||
        fail "$shell: $(cat "$TMP/out" "$TMP/err")"
    says '^also preloaded'; says '^memory  *[0-9]'; [ "$(wc -l <"$TMP/out")" -lt 40 ] || fail "$(cat "$TMP/out")"
    # The first shell alone is preloaded: it may tell its settings.
    [ "$(grep -c 'bigmaac\[' "$TMP/err")" -le 2 ] || fail "$shell: its tools speak: $(cat "$TMP/err")"
    ! grep -q ' stats ' "$TMP/err" || fail "$shell: its tools tell statistics"
    [ "$(LD_PRELOAD=$LIB $shell "$launcher" --dir "$TMP/swap" printenv LD_PRELOAD launcher_preload)" = "$LIB" ] ||
        [ "$TMP/own/bigmaac.so:$LIB" = "$(LD_PRELOAD=$LIB $shell "$launcher" --dir "$TMP/swap" printenv LD_PRELOAD launcher_preload)" ] ||
        fail "$shell: the program gets $(LD_PRELOAD=$LIB $shell "$launcher" --dir "$TMP/swap" printenv LD_PRELOAD launcher_preload)"
done

echo "== tools that are not there"
tools="sh awk df od sed tr id grep stat head readlink uname getcap cat ls sort sleep stty dd find mktemp xargs cut"
poor() { env PATH="$TMP/path" /bin/sh "$launcher" "$@"; }
for missing in $tools "$tools"; do
    rm -rf "$TMP/path"; mkdir "$TMP/path"; ln -s "$(command -v rm)" "$TMP/path/rm"; ln -s /bin/true "$TMP/path/program"
    for tool in $tools; do
        case " $missing " in *" $tool "*) [ $tool = sh ] || continue ;; esac
        [ ! -x "$(command -v $tool)" ] || ln -s "$(command -v $tool)" "$TMP/path/$tool"
    done
    poor --check --dir "$TMP/swap" >"$TMP/out" 2>"$TMP/err" || fail "without $missing: --check: $(cat "$TMP/out" "$TMP/err")"
    silent "--check without $missing"
    poor --dir "$TMP/swap" program >"$TMP/out" 2>"$TMP/err" || fail "without $missing: $(cat "$TMP/err")"
    silent "without $missing"
    case $missing in awk | grep | sed | sort | stat | tr | head | sleep)
        poor --top --once >"$TMP/out" 2>"$TMP/err"
        [ $? = 125 ] && grep -q "^bigmaac: --top needs $missing, which is not here; install it" "$TMP/err" || fail "--top without $missing: $(cat "$TMP/err")" ;;
    esac
done
poor --check --dir "$TMP/swap" >"$TMP/out"
says '^  free  *unknown \(needs df\)'; says '^vm.max_map_count  *unknown'; says '^This machine \(unknown: needs uname\)'

echo "== descriptors"
(ulimit -Sn 1024; ulimit -Hn 1024; check); says 'half of 1024 descriptors.*the hard limit is as low: limits.conf'
(ulimit -Sn 1024; ulimit -Hn 2048; check); says 'half of 1024 descriptors.*ulimit -n 2048 helps'

[ "$(id -u)" = 0 ] || skip "what is left needs root"
echo "== a user without a name"
mkdir -m 700 "$TMP/private"
setpriv --reuid 4242 --clear-groups sh "$launcher" --dir "$TMP/private" true 2>"$TMP/err"
grep -q "private: user 4242 may not make files in it; choose" "$TMP/err" && [ "$(wc -l <"$TMP/err")" = 1 ] || fail "uid 4242: $(cat "$TMP/err")"
setpriv --reuid 4242 --clear-groups sh "$launcher" --check --dir "$TMP/swap" >"$TMP/out" 2>"$TMP/err" || fail "uid 4242: $(cat "$TMP/out")"
silent "uid 4242"

unshare -m true 2>/dev/null || skip "this machine can't make mount namespaces; the rest passed"
echo "== file systems that are mounted noexec"
mkdir "$TMP/noexec"
unshare -m sh -c '
mount -t tmpfs -o noexec none "$0/noexec" && cp "$0/own/bigmaac" "$0/own/bigmaac.so" /bin/true "$0/noexec" || exit 77
sh "$0/own/bigmaac" --dir "$0/swap" "$0/noexec/true"; sh "$0/noexec/bigmaac" --dir "$0/swap" true' "$TMP" 2>"$TMP/err" >"$TMP/out"
grep -q "noexec/true: $TMP/noexec is mounted noexec, so nothing there can be run; copy it elsewhere" "$TMP/err" || fail "$(cat "$TMP/err")"
grep -q "the loader says: .*; $TMP/noexec is mounted noexec: install the library elsewhere; nothing was started" "$TMP/err" || fail "$(cat "$TMP/err")"

echo "== no /proc/meminfo (systemd's ProcSubset=pid), no /proc"
unshare -m sh -c 'mount -t proc -o subset=pid none /proc && exec sh "$0/own/bigmaac" --check --dir "$0/swap"' "$TMP" >"$TMP/out" 2>"$TMP/err" ||
    fail "$(cat "$TMP/out" "$TMP/err")"
silent "ProcSubset"; says '^memory  *unknown'; says '^kernel swap  *unknown'; says '^open files  *[0-9]'; says '^vm.max_map_count  *unknown'
unshare -m sh -c 'mount -t tmpfs none /proc && exec sh "$0/own/bigmaac" --check --dir "$0/swap"' "$TMP" >"$TMP/out" 2>"$TMP/err" ||
    fail "$(cat "$TMP/out" "$TMP/err")"
silent "no /proc"; says '^memory  *unknown'; says '^memory limit  *unknown'; says '^open files  *unknown'; says '^  file system  *unknown'

echo "== limits of cgroup v2, as different mounts show them"
# v2 PATH ROOT: in a /proc of ours, where a group's path and the mount's root are these; the tree is $TMP/v2
v2() {
    unshare -m sh -c '
mount -t tmpfs none /proc && mkdir /proc/self || exit 1
echo "30 20 0:26 $2 $0/v2 rw,nosuid - cgroup2 cgroup2 rw" >/proc/self/mountinfo
echo "0::$1" >/proc/self/cgroup
exec sh "$0/own/bigmaac" --check --dir "$0/swap"' "$TMP" "$1" "$2" >"$TMP/out" 2>"$TMP/err" || fail "$(cat "$TMP/out" "$TMP/err")"
    silent "v2 $*"
}
mkdir -p "$TMP/v2/pods/pod/job"
echo max | tee "$TMP/v2/pods/memory.max" "$TMP/v2/pods/pod/memory.max" "$TMP/v2/pods/pod/job/memory.max" "$TMP/v2/pods/pod/job/memory.high" >/dev/null
v2 /pods/pod/job /; says '^memory limit +none \(cgroup v2\)'
echo $((300 << 20)) >"$TMP/v2/pods/memory.max"
v2 /pods/pod/job /; says '^memory limit +300M \(cgroup v2, /pods\)'
echo $((200 << 20)) >"$TMP/v2/pods/pod/job/memory.high"
v2 /pods/pod/job /; says '^memory limit +200M \(cgroup v2, /pods/pod/job\)'
# A container: the mount begins at its group, and its path is the host's, or outside of its namespace.
echo $((100 << 20)) >"$TMP/v2/memory.max"
v2 /host/c /host/c; says "^memory limit +100M \(cgroup v2, /; a parent group's can't be seen from here\)"
v2 / /; says "^memory limit +100M \(cgroup v2, /; a parent group's can't be seen from here\)"
v2 /../other /; says "^memory limit +unknown \(our control group can't be seen from here\)"
v2 / /../..; says "^memory limit +unknown \(our control group can't be seen from here\)"
v2 /missing /; says "^memory limit +100M \(cgroup v2, /; a parent group's can't be seen from here\)"
echo max >"$TMP/v2/memory.max"
v2 / /; says "^memory limit +none seen \(cgroup v2; a parent group's can't be seen from here\)"

echo "== limits of cgroup v1: a parent's, and what a namespace hides the kernel tells"
group=/sys/fs/cgroup/memory/$TEST_ID-parent
mkdir -p "$group/child" 2>/dev/null && echo $((300 << 20)) >"$group/memory.limit_in_bytes" || skip "this machine can't set a memory limit (cgroup v1, root); the rest passed"
trap 'rmdir "$group/child" "$group"' EXIT
in_child() { sh -c 'echo $$ >"$0/child/cgroup.procs"; exec "$@"' "$group" "$@" >"$TMP/out" 2>"$TMP/err" || fail "$(cat "$TMP/out" "$TMP/err")"; silent "v1"; }
in_child sh "$launcher" --check --dir "$TMP/swap"; says "^memory limit +300M \(cgroup v1, /$TEST_ID-parent\)"
in_child unshare -C sh "$launcher" --check --dir "$TMP/swap"; says '^memory limit +unknown'
mkdir "$TMP/view"
# shellcheck disable=SC2016
in_child unshare -C -m sh -c 'umount /sys/fs/cgroup/memory; mount -t cgroup -o memory none "$0/view" && exec sh "$0/own/bigmaac" --check --dir "$0/swap"' "$TMP"
says '^memory limit +300M \(cgroup v1, a parent group\)'
exit 0
