#!/usr/bin/env bash
# tests/run.sh quick|long [PATTERN] - runs the tests, or those whose name contains PATTERN.
#
# A test is one file here (long ones are in long/):
#   api_*.c     program; runs without the library, and with it at several thresholds
#   abort_*.c   program that must die of SIGABRT; its first line is the expected message, as
#               a shell pattern:  /* free(): double free of 0x* */
#   fork_*.c    program; runs with BIGMAAC_FORK=private and =copy
#   unit_*.c    program that includes ../bigmaac.c; runs plain, under ASan + UBSan (built with -O0, as for TSan, which takes
#               less time than what it saves), and where there are threads under TSan (BIGMAAC_TEST_PLAIN=1:
#               no sanitizers, no fuzzer, no copying forks: they are the same for every user)
#   *.sh        script; exit 0: passed, 77: skipped (the last line says why), else failed
# Scripts find in the environment: TOP (the checkout), LIB (the library), BUILD (a folder for
# what they make), TMP (an empty folder of their own on a disk), and lib.sh beside them.
# Nobody keeps a list. Two files run at a time (BIGMAAC_TEST_JOBS), those with the longest "# timeout: SECONDS" first.
# BIGMAAC_TEST_UNTIL (seconds since 1970): no test is begun after that; those left out are listed.
# After each test the runner looks for what it may have left behind: files, mounts, loop devices, control groups,
# processes, and open files in its folder, whoever has them. As root each test has a name space of mounts of its own:
# a neighbour's would have a copy of its mounts, and so keep them busy.
# The programs that run under the library through PRELOAD have leakcheck.c with them, which looks
# for leaks inside each process when it ends.
set -u
suite=${1:-quick} only=${2:-}
TOP=$(cd "$(dirname "$0")/.." && pwd)
BUILD=$TOP/build/tests LIB=$TOP/bigmaac.so
CC=${CC:-gcc}
LEAKCHECK_SO=$BUILD/leakcheck.so PRELOAD=$LIB
export TOP BUILD LIB CC PRELOAD
unset TMPDIR # the tests know where swap files are without a setting
mkdir -p "$BUILD"
modes="private copy"
[ -z "${BIGMAAC_TEST_PLAIN:-}" ] || modes=private
cores=$(nproc) jobs=${BIGMAAC_TEST_JOBS:-2}
RESULTS=$BUILD/results.$$ # lines of two words and more: PASS, FAIL, SKIP NAME; EXITS COUNT; ENDED FILE
apart=$(unshare -m true 2>/dev/null && echo unshare -m)

finish() { # RESULT NAME SECONDS [WHY [LOG]]: prints it, and the end of the log, in one piece
    local text
    printf -v text '%s  %-44s %5.1f s%s\n' "$1" "$2" "$3" "${4:+  $4}"
    [ -z "${5:-}" ] || text+=$(tail -n 25 "$5" | sed 's/^/    | /')$'\n'
    flock "$RESULTS" printf %s "$text"
    [ "$1" != FAIL ] || { sed 1q <<<"$text"; sed 1d <<<"${text%$'\n'}" | tail -n 8; } >>"$RESULTS.$BASHPID.why" # said at the end again
    echo "$1 $2" >>"$RESULTS"
}

left_behind() { # prints what a test has left, nothing if it left nothing
    local process
    find "$TMP" -mindepth 1 -maxdepth 1 -name 'bigmaac.????????' 2>/dev/null | head -3
    [ -d /sys/fs/cgroup/memory ] && find /sys/fs/cgroup/memory -maxdepth 1 -name "$TEST_ID-*"
    for process in $(grep -lzx "BIGMAAC_TEST=$TEST_ID" /proc/[0-9]*/environ 2>/dev/null); do
        echo "process $process: $(tr '\0' ' ' 2>/dev/null <"${process%/environ}/cmdline")"
    done
    losetup -n -O BACK-FILE 2>/dev/null | grep "^$TMP/"
    grep -o " $TMP/[^ ]*" /proc/self/mounts | sed 's/^/mounted:/'
    find /proc/[0-9]*/fd -lname "$TMP/*" -printf '%p -> %l\n' 2>/dev/null | head -n 3
    grep '^LEAK' "$LEAKCHECK" | head -n 3
}

count=0
run() { # NAME LIMIT COMMAND...: one test
    local name=$1 limit=$2 log begin end status why left
    shift 2
    count=$((count + 1))
    log=$BUILD/$(tr -c 'A-Za-z0-9_=.\n-' _ <<<"$name").log
    TMP=$(mktemp -d "${BIGMAAC_TEST_TMP:-/var/tmp}/bigmaac-test.XXXXXX")
    export TMP TEST_ID=bigmaac-test-$BASHPID-$count LEAKCHECK=$BUILD/leaks.$BASHPID
    : >"$LEAKCHECK" && chmod 666 "$LEAKCHECK"
    begin=$(date +%s%N)
    # shellcheck disable=SC2086
    BIGMAAC_TEST=$TEST_ID timeout -k 10 "$limit" $apart "$@" >"$log" 2>&1 </dev/null
    status=$?
    end=$(date +%s%N)
    seconds=$(awk "BEGIN { print ($end - $begin) / 1e9 }")
    for _ in 1 2 3 4 5 6 7 8 9 10; do # the kernel takes away what was killed and unmounted in its own time
        left=$(left_behind)
        [ -n "$left" ] || break
        sleep 0.2
    done
    echo "EXITS $(grep -c '^ok' "$LEAKCHECK")" >>"$RESULTS"
    if [ "$status" = 77 ]; then
        why=$(cat "$TMP/skipped" 2>/dev/null || tail -n 1 "$log")
        finish SKIP "$name" "$seconds" "$why"
    elif [ "$status" != 0 ]; then
        [ "$status" = 124 ] && why="took over $limit s" || why="exit status $status"
        finish FAIL "$name" "$seconds" "$why; $log ends:" "$log"
    elif [ -n "$left" ]; then
        finish FAIL "$name" "$seconds" "left behind: $left"
    else
        finish PASS "$name" "$seconds"
    fi
    rm -rf "$TMP" "$LEAKCHECK"
}

compile() { # OUT SOURCE FLAGS...; a test that does not compile fails
    local out=$1 source=$2
    shift 2
    mkdir -p "$(dirname "$out")"
    if [ "$out" -nt "$source" ] && [ "$out" -nt "$TOP/bigmaac.c" ] && [ "$out" -nt "$TOP/tests/check.h" ]; then
        return 0
    fi
    "$CC" -std=gnu11 -O1 -g -Wall -Wextra -Wno-unused-result -fno-builtin -I"$TOP" -I"$TOP/tests" \
        -pthread "$@" -o "$out" "$source" -lm -ldl 2>"$out.err" && return 0
    finish FAIL "compile $(basename "$source")" 0 "$(head -n 5 "$out.err")"
    return 1
}


run_api() { # NAME PROGRAM
    run "$1 (without the library)" 1200 "$2"
    run "$1 (defaults)" 1200 env LD_PRELOAD="$PRELOAD" "$2"
    run "$1 (bigmaacs above 4K)" 1200 env LD_PRELOAD="$PRELOAD" BIGMAAC_MIN_BIGMAAC_SIZE=4K "$2"
    run "$1 (fries above 64)" 1200 env LD_PRELOAD="$PRELOAD" BIGMAAC_MIN_FRY_SIZE=64 BIGMAAC_MIN_BIGMAAC_SIZE=1M "$2"
    run "$1 (all as fries)" 1200 env LD_PRELOAD="$PRELOAD" BIGMAAC_MIN_FRY_SIZE=1 BIGMAAC_MIN_BIGMAAC_SIZE=8G "$2"
}

expect_abort() { # PROGRAM SOURCE
    local pattern out status
    pattern=$(head -n 1 "$2" | sed 's,^/\* ,,; s, \*/$,,')
    out=$(env LD_PRELOAD="$LIB" BIGMAAC_MIN_BIGMAAC_SIZE=64K BIGMAAC_MIN_FRY_SIZE=64 "$1" 2>&1 >/dev/null)
    status=$?
    # shellcheck disable=SC2053
    if [ $status = 134 ] && [[ $out == bigmaac\[*\]:\ $pattern ]]; then
        return 0
    fi
    printf 'expected a SIGABRT and: bigmaac[PID]: %s\ngot status %s and: %s\n' "$pattern" "$status" "$out"
    return 1
}
export -f expect_abort

tsan() { # PROGRAM: its shadow memory has fixed addresses
    setarch -R true 2>/dev/null || { echo "this machine can't switch off address randomisation"; exit 77; }
    TSAN_OPTIONS="die_after_fork=0 ${TSAN_OPTIONS:-}" exec setarch -R "$1"
}
export -f tsan

limit_of() { sed -n 's/^# timeout: //p' "$1" | grep . || echo 1200; }

run_file() {
    local source=$1 name program
    name=$(basename "$source")
    program=$BUILD/${name%.*}
    case $name in
    lib.sh | run.sh | setup.sh) ;;
    fuzz.sh) [ -n "${BIGMAAC_TEST_PLAIN:-}" ] || run "$name" "$(limit_of "$source")" bash "$source" ;;
    api_*.c) compile "$program" "$source" && run_api "$name" "$program" ;;
    abort_*.c) compile "$program" "$source" && run "$name" 1200 bash -c 'expect_abort "$@"' - "$program" "$source" ;;
    fork_*.c)
        compile "$program" "$source" || return
        for mode in $modes; do
            run "$name ($mode)" 1200 env LD_PRELOAD="$PRELOAD" BIGMAAC_FORK=$mode \
                BIGMAAC_MIN_BIGMAAC_SIZE=64K BIGMAAC_MIN_FRY_SIZE=128 "$program"
        done ;;
    unit_*.c)
        compile "$program" "$source" -g1 -DBIGMAAC_PREFIX && run "$name" 1200 "$program"
        [ -z "${BIGMAAC_TEST_PLAIN:-}" ] || return
        compile "$program.asan" "$source" -O0 -g1 -DBIGMAAC_PREFIX -fsanitize=address,undefined -fno-sanitize-recover=undefined &&
            run "$name (ASan, UBSan)" 1200 env ASAN_OPTIONS=detect_leaks=0 "$program.asan"
        grep -q 'pthread\|watch' "$source" || return
        compile "$program.tsan" "$source" -O0 -g1 -DBIGMAAC_PREFIX -fsanitize=thread &&
            run "$name (TSan)" 1200 bash -c 'tsan "$@"' - "$program.tsan" ;;
    *.sh) run "$name" "$(limit_of "$source")" bash "$source" ;;
    esac
}

cd "$TOP" || exit 1
: >"$RESULTS"
bash tests/setup.sh "$suite"
compile "$LEAKCHECK_SO" tests/leakcheck.c -shared -fPIC && PRELOAD=$LIB:$LEAKCHECK_SO
echo "machine: $(uname -r), $cores cores, $(awk '/MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo)"
begin=$(date +%s)
folder=tests
[ "$suite" = quick ] || folder=tests/$suite
[ "$suite" = quick ] && first=tests/same.sh || first=
# By the limit that a file says for itself; names that come late in the alphabet are larger tests on the whole.
rest=$(for source in "$folder"/*.c "$folder"/*.sh; do
    [ ! -e "$source" ] || [ "$source" = "$first" ] || echo "$(limit_of "$source") $source"
done | sort -k1,1nr -k2,2r | cut -d' ' -f2)
set -m # else programs would begin with SIGINT ignored
trap 'kill $(jobs -p) 2>/dev/null; rm -f "$RESULTS" "$RESULTS".*.why' EXIT
started=0
for source in $first $rest; do
    case $source in *"$only"*) ;; *) continue ;; esac
    while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n; done
    if [ "$(date +%s)" -ge "${BIGMAAC_TEST_UNTIL:-99999999999}" ]; then
        finish LEFT "$(basename "$source")" 0 "no time: BIGMAAC_TEST_UNTIL=$BIGMAAC_TEST_UNTIL is over"
        continue
    fi
    { run_file "$TOP/$source"; echo "ENDED $source" >>"$RESULTS"; } &
    started=$((started + 1))
done
wait
total() { grep -c "^$1 " "$RESULTS"; }
[ "$(total ENDED)" = $started ] || finish FAIL "$((started - $(total ENDED))) files of tests" 0 "did not come to their end"
failures=$(sed -n 's/^FAIL / /p' "$RESULTS" | tr -d '\n')
cat "$RESULTS".*.why 2>/dev/null
echo "took $(($(date +%s) - begin)) s${failures:+; failed:$failures}"
echo "$(awk '$1 == "EXITS" { n += $2 } END { print n + 0 }' "$RESULTS") ends of programs checked for leaks"
left=$(total LEFT)
echo "$(total PASS) passed, $(total FAIL) failed, $(total SKIP) skipped$([ "$left" = 0 ] || echo ", $left left out")"
[ "$(total FAIL)" = 0 ]
