#!/usr/bin/env bash
# Installs what the tests use, on Debian or Ubuntu as root; elsewhere it says what is missing,
# and the tests that need it skip themselves.
set -u
quick="python3 python3-numpy python3-pandas python3-torch redis-server libjemalloc2 libmimalloc2.0 xfsprogs
    btrfs-progs e2fsprogs strace valgrind stress-ng libcap2-bin util-linux
    dmsetup python3-yaml groff-base g++ procps make dpkg binutils clang tcc libclang-rt-14-dev
    libfaketime fakeroot libuid-wrapper"
long="glibc-source sqlite3 xz-utils r-base-core nodejs perl git libc6-dbg python3-pytest python3-hypothesis redis-tools
    postgresql qemu-system-x86 busybox-static cpio qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
wanted=$quick
[ "${1:-quick}" = long ] && wanted="$quick $long"
command -v dpkg-query >/dev/null || { echo "not Debian or Ubuntu: install $wanted by hand"; exit 0; }
missing=""
for package in $wanted; do
    dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" != 0 ]; then
    echo "not root: these tests' packages are missing and can't be installed:$missing"
    exit 0
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
case $missing in *postgresql*) # without a server of its own
    mkdir -p /etc/postgresql-common/createcluster.d
    echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.d/bigmaac-tests.conf ;;
esac
apt-get update -qq >/dev/null 2>&1
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $missing >/dev/null 2>&1 ||
    for package in $missing; do
        apt-get install -y -qq --no-install-recommends "$package" >/dev/null 2>&1 || echo "not available: $package"
    done
exit 0
