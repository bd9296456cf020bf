#!/usr/bin/env bash
# Installs what the tests use, on Debian or Ubuntu as root, by one call of apt, and says before how much that is;
# elsewhere it says what is missing, and the tests that need it skip themselves. Of names with a | between them the
# first one is taken that the release has.
set -u
quick="python3 python3-venv python3-numpy python3-pandas python3-torch python3-yaml python3-ipykernel jupyter-nbconvert
    redis-server libjemalloc2 libmimalloc-dev xfsprogs btrfs-progs e2fsprogs strace valgrind stress-ng libcap2-bin
    util-linux dmsetup groff-base g++ procps make dpkg binutils clang tcc libclang-rt-dev|libclang-rt-18-dev|libclang-rt-14-dev
    musl-tools busybox-static zsh tmux xz-utils libfaketime fakeroot libuid-wrapper"
long="glibc-source sqlite3 r-base-core nodejs perl git libc6-dbg python3-pytest python3-hypothesis redis-tools postgresql
    qemu-system-x86 qemu-system-arm cpio gcc-aarch64-linux-gnu libc6-dev-arm64-cross debootstrap podman runc catatonit
    python3-scipy python3-xgboost python3-h5py python3-pil python3-lxml
    libpython3.11-testsuite|libpython3.12-testsuite|libpython3.13-testsuite tcl r-cran-data.table ffmpeg swi-prolog-core|swi-prolog-nox zstd luajit openssl
    ruby php-cli pari-gp ocaml-nox sbcl erlang-base racket mono-mcs|mono-devel mono-runtime libjemalloc-dev libgoogle-perftools-dev"
wanted=$quick
[ "${1:-quick}" = long ] && wanted="$quick $long"
command -v dpkg-query >/dev/null || { echo "not Debian or Ubuntu: install by hand" $wanted; exit 0; }
installed=" $(dpkg-query -W -f='${db:Status-Status} ${Package}\n' 2>/dev/null | sed -n 's/^installed //p' | tr '\n' ' ') "
missing=""
for names in $wanted; do
    for name in ${names//|/ }; do
        case $installed in *" $name "*) continue 2 ;; esac
    done
    missing="$missing $names"
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" != 0 ]; then
    echo "not root: these tests' packages are missing and can't be installed:$missing"
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
apt-get update -qq >/dev/null 2>&1
# shellcheck disable=SC2086
available=" $(apt-cache policy ${missing//|/ } 2>/dev/null |
    awk '/^[^ ].*:$/ { sub(/:$/, ""); name = $0 } /Candidate:/ && $2 != "(none)" { printf "%s ", name }') "
chosen=""
for names in $missing; do
    for name in ${names//|/ }; do
        case $available in *" $name "*) chosen="$chosen $name"; continue 2 ;; esac
    done
    echo "not available: $names"
done
[ -n "$chosen" ] || exit 0
case $chosen in *postgresql*) # without a server of its own
    mkdir -p /etc/postgresql-common/createcluster.d
    echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.d/bigmaac-tests.conf ;;
esac
# shellcheck disable=SC2086
size=$(apt-get install --assume-no --no-install-recommends $chosen 2>/dev/null | sed -n '
    s/^Need to get \(.*\) of archives.*/\1 to fetch, /p
    s/^After this operation, \(.*\) of additional disk space.*/\1 on the disk/p' | tr -d '\n')
echo "installing (${size:-of unknown size}):$chosen"
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $chosen >/dev/null 2>&1 || echo "apt-get install failed: tests will skip what is missing"
exit 0
