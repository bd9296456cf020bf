#!/usr/bin/env bash
# timeout: 3000
# glibc's own tests of malloc, processes, threads and timers, from Debian's package glibc-source, built outside of its tree
# against the installed C library: each that is quick and succeeds there without us has to succeed with us.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
source=$(echo /usr/src/glibc/glibc-*.tar.xz)
[ -e "$source" ] || skip "needs the package glibc-source"
need xz
# All of them: GLIBC_SECONDS=100 GLIBC_MINUTES=45 make test-long ONLY=glibc_suite
seconds=${GLIBC_SECONDS:-3}   # what is quick, without us
minutes=${GLIBC_MINUTES:-6}  # for all: what is left then is not run

# Can't be the same, each for a reason that is glibc's, not a program's.
declare -A except=(
    [malloc-tst-mallinfo2]="asks glibc's malloc what it gave out"
    [malloc-tst-malloc-backtrace]="damages glibc's chunk headers and waits for its message"
    [malloc-tst-safe-linking]="damages the list of free chunks, which are not glibc's here"
)

top=$(basename "$source" .tar.xz) src=$TMP/$(basename "$source" .tar.xz)
export src TMP
tar -C "$TMP" -xf "$source" --wildcards "$top/support/*" "$top/malloc/*" "$top/nptl/*" "$top/sysdeps/pthread/*" "$top/rt/*" \
    "$top/posix/*" "$top/include/*.h" "$top/sysdeps/x86_64/stackinfo.h" "$top/test-skeleton.c" || fail "unpack"
mkdir "$TMP/obj" "$TMP/bin" "$TMP/extra" "$TMP/run"
: >"$TMP/extra/config.h"
# What its headers, taken only where the system has none of that name, expect of its build.
printf '#define %s\n' 'libc_hidden_proto(...)' 'libc_hidden_def(x)' 'libc_hidden_weak(x)' attribute_hidden \
    'rtld_hidden_proto(x)' 'libpthread_hidden_proto(x)' 'weak_alias(a,b)' 'hidden_proto(x)' >"$TMP/extra/libc-symbols.h"
cat >"$TMP/cc.sh" <<'S'
for path in SRCDIR OBJDIR INSTDIR LIBDIR BINDIR SBINDIR SLIBDIR ROOTSBINDIR COMPLOCALEDIR SYSCONFDIR; do
    set -- "-D${path}_PATH=\"/\"" "$@"
done
exec "${CC:-gcc}" -std=gnu11 -w -O1 -g0 -D_GNU_SOURCE -fno-builtin -DTIMEOUTFACTOR=1 -DMODULE_NAME=testsuite \
    -include limits.h -include "$TMP/extra/libc-symbols.h" '-DOBJDIR_ELF_LDSO_PATH="/lib64/ld-linux-x86-64.so.2"' \
    -I"$src" -I"$src/support" -I"$src/sysdeps/x86_64" -I"$src/sysdeps/pthread" -I"$src/nptl" -I"$TMP/extra" \
    -idirafter "$src/include" "$@"
S
# shellcheck disable=SC2016
find "$src/support" -name "*.c" ! -name "tst-*" ! -name "test-*" ! -name "*_main.c" -print0 | xargs -0 -P2 -I{} \
    sh -c 'sh "$TMP/cc.sh" -c -o "$TMP/obj/$(basename {} .c).o" {} 2>/dev/null || true'
sh "$TMP/cc.sh" -c -o "$TMP/obj/support_test_main.o" "$src/support/support_test_main.c" 2>/dev/null
ar rc "$TMP/libsupport.a" "$TMP"/obj/*.o || fail "nothing of its support library compiles"
# shellcheck disable=SC2016
for folder in malloc nptl sysdeps/pthread rt posix; do ls "$src/$folder"/tst-*.c "$src/$folder"/bug-*.c 2>/dev/null; done | xargs -P2 -I{} \
    sh -c 'sh "$TMP/cc.sh" -o "$TMP/bin/$(basename $(dirname {}))-$(basename {} .c)" {} "$TMP/libsupport.a" -pthread -lrt -ldl -lm 2>/dev/null || true'
cat >"$TMP/one.sh" <<'S'
# one.sh SECONDS WAY PROGRAM [VARIABLE=VALUE...]: its exit status into run/WAY/PROGRAM
limit=$1 way=$2 program=$3
shift 3
[ "$(date +%s)" -lt "$END" ] || exit 0
mkdir "$TMP/run/$way/$program.dir" && cd "$TMP/run/$way/$program.dir"
timeout -k 1 "$limit" env "$@" "$TMP/bin/$program" >"../$program.out" 2>&1 </dev/null
echo $? >"../$program"
cd .. && rm -rf "$program.dir"
S
finish=$(($(date +%s) + minutes * 60))
END=$((finish - minutes * 30)) # for what runs without us
export END
# Some, such as tst-cancel7, are races that other work on the machine decides: it fails without us as well, sooner or later.
unstable() { # PROGRAM
    local run
    for run in $(seq 40); do
        mkdir "$TMP/run/again"
        (cd "$TMP/run/again" && timeout -k 1 $((seconds + 25)) "$TMP/bin/$1" >/dev/null 2>&1 </dev/null) || {
            rm -rf "$TMP/run/again"
            echo "== $1 fails without the library, too: the run $run of it"
            return 0
        }
        rm -rf "$TMP/run/again"
    done
    return 1
}
way() { # WAY SECONDS [VARIABLE=VALUE...]: runs what is named on stdin
    local way=$1 limit=$2
    shift 2
    mkdir "$TMP/run/$way"
    xargs -P2 -I{} bash "$TMP/one.sh" "$limit" "$way" {} "$@"
}
ls "$TMP/bin" | way plain $seconds
grep -lx 0 "$TMP"/run/plain/* | xargs -n1 basename >"$TMP/good"
echo "$(ls "$TMP/bin" | wc -l) tests build, $(wc -l <"$TMP/good") are quick and succeed without the library"
[ "$(wc -l <"$TMP/good")" -ge 300 ] || [ "$(date +%s)" -ge $END ] || fail "so few can't be right"

wrong="" each=$(((finish - $(date +%s)) / 3)) # of the time that is left
[ $each -ge 30 ] || each=30
for name in fries 4096 default; do
    END=$(($(date +%s) + each))
    case $name in
    default) set -- ;;
    4096) set -- BIGMAAC_MIN_BIGMAAC_SIZE=4096 ;;
    fries) set -- BIGMAAC_MIN_FRY_SIZE=1 ;;
    esac
    way "$name" $((seconds + 25)) LD_PRELOAD="$LIB" "$@" <"$TMP/good"
    same=0
    while read -r test; do
        status=$(cat "$TMP/run/$name/$test" 2>/dev/null) || continue
        if [ "$status" = 0 ]; then
            same=$((same + 1))
        elif [ -z "${except[$test]:-}" ] && ! unstable "$test"; then
            wrong="$wrong $name:$test:$status"
            echo "== $name $test: status $status"
            tail -n 3 "$TMP/run/$name/$test.out"
        fi
    done <"$TMP/good"
    [ $same -gt 0 ] || wrong="$wrong $name:none-ran"
    echo "$name: $same the same, $(find "$TMP/run/$name" -type f ! -name "*.out" | wc -l) run"
done
# Where tst-cancel7 loses its race, with us or without, its command waits for ever: it is run 40 times and more.
for process in /proc/[0-9]*; do
    program=$(readlink "$process/exe") || continue
    case $program in
    "$TMP"/bin/nptl-tst-cancel*7) kill -9 "${process#/proc/}" && echo "== $program left its command, ended" ;;
    esac
done
[ -z "$wrong" ] || fail "different with the library:$wrong"
