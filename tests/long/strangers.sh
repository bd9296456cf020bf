#!/usr/bin/env bash
# timeout: 7000
# The suites of strangers: perl's core tests, R's and redis' own, from the sources of Debian's packages, and Python's, which has
# a package of its own, run by the programs that are installed. What passes without the library has to pass with it: with the defaults, with everything above 4 KiB as
# bigmaacs, and with --all. A part of them; the whole takes most of an hour: STRANGERS=all make test-long ONLY=strangers
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
need perl; need R; need redis-server; need tclsh; need apt-get
whole=${STRANGERS:-some}
suites=${STRANGERS_SUITES:-perl R redis python}
folder=$BUILD/strangers # what was fetched stays there for the next run

# Fetched by a list of sources of our own: the machine's may have none. A fix of Debian's for security changes few tests, and
# its sources are not everywhere.
source_of() { # PACKAGE UPSTREAM-VERSION: sets $archive
    local apt
    archive=$(echo "$folder/$1_$2.orig.tar."?z)
    [ -e "$archive" ] && return
    mkdir -p "$folder/lists/partial"
    apt=(-o "Dir::Etc::SourceList=$folder/sources.list" -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$folder/lists"
        -o Dir::Cache::PkgCache= -o Dir::Cache::SrcPkgCache= -o APT::Sandbox::User=root)
    if [ ! -e "$folder/sources.list" ]; then
        # shellcheck disable=SC2016
        apt-get indextargets --format '$(ORIGIN) deb-src [signed-by=$(SIGNED_BY)] $(SITE) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
            sed -En 's/\[signed-by=(\$.*)?\] //; s/^(Debian|Ubuntu) //p' |
            grep -v 'security\|updates' | sort -u >"$folder/sources.list"
        apt-get "${apt[@]}" -qq update >"$folder/log" 2>&1 || rm "$folder/sources.list"
    fi
    (cd "$folder" && apt-get "${apt[@]}" -qq --download-only source "$1") >>"$folder/log" 2>&1
    archive=$(echo "$folder/$1_$2.orig.tar."?z)
    [ -e "$archive" ] || skip "this machine can't get the sources of $1 $2: $(tail -n 1 "$folder/log")"
}
upstream() { dpkg-query -W -f '${source:Upstream-Version}' "$1" 2>/dev/null; }
unpack() { # TREE PATTERN...: from $archive
    mkdir "$TMP/$1" && tar -C "$TMP/$1" --strip-components 1 --wildcards -xf "$archive" "${@:2}" || fail "unpack $archive"
}

# One tree for each test that runs at a time: they write where they are. perl's want perl and its modules beside them.
prepare_perl() {
    source_of perl "$(upstream perl)"
    unpack perl.0 '*/t'
    perl -e 'print "$_\n" for grep m{^/usr/(lib|share)/(.*/)?perl(-base)?(/[\d.]+)?$}, @INC' |
        xargs -I{} cp -rs --remove-destination {}/. "$TMP/perl.0/lib"
    ln -s "$(command -v perl)" "$TMP/perl.0/perl" && ln -s ../perl "$TMP/perl.0/t/perl"
}
prepare_R() {
    source_of r-base "$(upstream r-base-core)"
    unpack R.0 '*/tests'
    sed -i 's/timeout = 50)/timeout = 1000)/' "$TMP/R.0/tests/reg-packages.R" # seconds, for what takes 5 to 7
}
prepare_redis() {
    local program
    source_of redis "$(upstream redis-server)"
    unpack redis.0 '*/tests' '*/utils'
    mkdir "$TMP/redis.0/src"
    for program in server cli benchmark check-rdb check-aof; do
        ln -s "$(command -v redis-$program)" "$TMP/redis.0/src/redis-$program"
    done
}
prepare_python() {
    $PYTHON -c 'import test.test_dict' 2>/dev/null || skip "needs $PYTHON with its tests (libpython3-testsuite)"
    mkdir "$TMP/python.0"
}

# Those about memory, processes, descriptors and signals, without what takes long. Two of subprocess list all descriptors, swap
# files too where everything is in such (what small programs have open: no_descriptors.sh).
python_some="array asyncore bytes ctypes decimal dict epoll fcntl fileio fork1 gc list memoryview mmap os pickle posix pty resource select set \
    socketserver struct subprocess tempfile thread threadsignals wait3 wait4 weakref"

# What takes long when the machine is busy, or long and has little to do with memory, is for the whole.
slow='op/(alarm|cond|fork|heredoc|kill0|magic|select|sigdispatch|sleep|sselect|stat|threads|tie|time)\.t|_thr\.t|re/(anyof|fold_grind|pat|reg_email|speed|user_prop|uniprops)|uni/(fold|variables)'
tests_of() { # SUITE
    case $1-$whole in
    perl-all) (cd "$TMP/perl.0/t" && ls base/*.t cmd/*.t op/*.t re/*.t uni/*.t) ;;
    perl-*) (cd "$TMP/perl.0/t" && ls base/*.t cmd/*.t op/*.t re/*.t uni/*.t) | grep -Ev "$slow" | awk 'NR % 3 == 0' ;;
    R-all) basename -s .R "$TMP"/R.0/tests/*.R |
        grep -Evx 'internet2?|libcurl|CRANtools|reg-large|reg-win|gct-foot|demos2?|reg-translation' ;;
    R-*) printf '%s\n' simple-true arith-true arith any-all structure eval-etc lm-tests complex print-tests datasets lapack \
        reg-tests-1a reg-tests-2 reg-tests-3 reg-IO primitives method-dispatch conditions array-subset ;;
    # Without those that want a display, a network, a compiler or root's neighbours: test_socket's VSOCK stays for ever here.
    python-all) ls "$(dirname "$($PYTHON -c 'import test; print(test.__file__)')")" | sed -En 's/^test_(\w+)(\.py)?$/\1/p' | sort -u |
        grep -Evx 'socket|idle|tk|ttk.*|tix|turtle|cppext|.*net|nntplib|venv|ensurepip|distutils|peg_generator|regrtest|site' ;;
    python-*) printf '%s\n' $python_some ;;
    redis-all) sed -n '/^set ::all_tests {/,/^}/p' "$TMP/redis.0/tests/test_helper.tcl" |
        grep -Eo '(unit|integration)/[a-z0-9/-]+' | grep -Ev 'memefficiency|maxmemory|oom-score|tls|client-eviction|cluster' ;;
    redis-*) printf '%s\n' integration/rdb unit/type/string unit/type/hash unit/type/stream-cgroups unit/type/incr ;;
    esac
}

cat >"$TMP/one.sh" <<'S'
# one.sh WAY SUITE TEST: what came of each check of the test, and its status at the end, into run/WAY/SUITE/TEST
way=$1 suite=$2 test=$3
out=$TMP/run/$way/$suite/$(echo "$test" | tr / -)
began=$(date +%s%N)
export LC_ALL=C.UTF-8 LANGUAGE=en TZ=UTC SRCDIR=.
case $suite in
perl)
    cd "$TMP/perl.$SLOT/t" || exit
    taint=$(sed -En '1s/^#!.*perl.* (-[tT]).*/\1/p' "$test")
    PERL_CORE=1 timeout -k 5 "$LIMIT" ./perl $taint -I../lib "$test" ;;
R)
    cd "$TMP/R.$SLOT/tests" || exit
    timeout -k 5 "$LIMIT" R --vanilla --no-echo <"$test.R" ;;
redis)
    cd "$TMP/redis.$SLOT" || exit
    timeout -k 5 "$LIMIT" tclsh tests/test_helper.tcl --clients 1 --single "$test" --baseport $((PORT + SLOT * 500)) --portcount 400 ;;
python)
    work=$(mktemp -d "$TMP/python.$SLOT/XXXXXX") && cd "$work" || exit
    ulimit -Sn 1024 # the usual one
    TMPDIR=$work PYTHONDONTWRITEBYTECODE=1 timeout -k 5 "$LIMIT" "$PYTHON" -m test \
        -i test_pass_fds_redirected -i test_close_fds_when_max_fd_is_lowered --junit-xml="$out.xml" "test_$test" ;;
esac >"$out.out" 2>&1 </dev/null
status=$?
case $suite in
perl) grep -aEo "^ *(not )?ok\b( [0-9]+)?" "$out.out" ;;
R) # without times, and the heading of lsof's table, as wide as the numbers of our descriptors' files make it
    sed -E "s/0x[0-9a-f]+/ADDRESS/g; /^( *[0-9.]+){3} *$/d; /^Time /d; /$(date +%F)/d; /^COMMAND +PID/d" "$out.out" ;;
redis) # psync2 does at random what it can in 40 s: its status tells
    sed -En 's/\x1b\[[0-9;]*m//g; s/ \([0-9]+ ms\)$//; /\]: PSYNC2: /d; /^\[(ok|err|exception)\]: /p' "$out.out" ;;
python) # XML of one line: a testcase, and in it what was not as it should be
    sed 's/<testcase /\n&/g' "$out.xml" | sed -E 's/0x[0-9a-f]+/ADDRESS/g' |
        sed -En 's/^<testcase name="([^"]*)".*<(failure|error)[ >].*/not ok \1/p; t; s/^<testcase name="([^"]*)".*<skipped.*/skipped \1/p; t
            s/^<testcase name="([^"]*)".*/ok \1/p'
    rm -rf "$work" ;;
esac >"$out"
echo "status $status" >>"$out"
echo "$way $suite $test $((($(date +%s%N) - began) / 1000000)) ms" >>"$TMP/times"
S

run_all() { # WAY: the tests of $suite on stdin
    mkdir -p "$TMP/run/$1/$suite"
    xargs -r -P2 -n1 --process-slot-var=SLOT "${@:2}" bash "$TMP/one.sh" "$1" "$suite"
}
passes() { # WAY TEST: what succeeded in it, a line for each
    local file
    file=$TMP/run/$1/$suite/$(echo "$2" | tr / -)
    [ -e "$file" ] || return
    [ "$suite" != R ] || grep -qx 'status 0' "$file" || return # its output is no list of checks
    grep -aEv '^ *(not ok|\[err|\[exc|status [^0])' "$file" | sort
}
# What fails without us as well, sooner or later, is no difference: takes that away from $TMP/missing.
take_unstable_away() { # TEST
    local again
    for again in 1 2 3 4 5 6 7 8 9 10; do
        [ -s "$TMP/missing" ] || return
        echo "$1" | run_all "again$again" env LIMIT=$limit
        comm -12 "$TMP/missing" <(passes "again$again" "$1") >"$TMP/still"
        mv "$TMP/still" "$TMP/missing"
    done
}
compare() { # WAY COMMAND...: adds what differs to $wrong; it has failed three times, as once may be the busy machine's fault
    local test same=0 checks=0 again
    while read -r test; do
        comm -23 <(passes plain "$test") <(passes "$1" "$test") >"$TMP/missing"
        take_unstable_away "$test"
        for again in 1 2; do
            [ -s "$TMP/missing" ] || break
            echo "== $1 $suite $test: once more, for $(wc -l <"$TMP/missing") checks"
            echo "$test" | run_all "$1-$again" "${@:2}"
            comm -23 "$TMP/missing" <(passes "$1-$again" "$test") >"$TMP/still"
            mv "$TMP/still" "$TMP/missing"
        done
        if [ -s "$TMP/missing" ]; then
            wrong="$wrong $1:$suite:$test"
            echo "== $1 $suite $test: does not succeed:"
            head -n 5 "$TMP/missing"
            echo "== its output ends:"
            tail -n 8 "$TMP/run/$1/$suite/$(echo "$test" | tr / -).out"
        else
            same=$((same + 1)) checks=$((checks + $(passes plain "$test" | wc -l)))
        fi
    done <"$TMP/$suite.tests"
    echo "$suite, $1: $same of $(wc -l <"$TMP/$suite.tests") tests the same, $checks checks"
}

chmod 711 "$TMP" && mkdir -m 1777 "$TMP/swap" # some of what they start is nobody's
export BIGMAAC_TEMPLATE=$TMP/swap/bigmaac.XXXXXXXX
export TMP PYTHON LC_ALL=C PORT=$((10000 + $$ % 22 * 1000)) # somebody else may run this, too; below those that the kernel gives out
declare -A least=([perl]=20000 [R]=5000 [redis]=200 [python]=1000) # checks that succeed without us, or nothing was tested
limit=60
[ "$whole" = some ] || limit=1500
wrong=""
for suite in $suites; do
    "prepare_$suite"
    cp -a "$TMP/$suite.0" "$TMP/$suite.1"
    tests_of "$suite" >"$TMP/$suite.tests"
    run_all plain env LIMIT=$limit <"$TMP/$suite.tests"
    checks=$(while read -r test; do passes plain "$test"; done <"$TMP/$suite.tests" | wc -l)
    [ "$checks" -ge "${least[$suite]}" ] || fail "$suite: only $checks checks succeed without the library: $(tail -n 5 "$TMP/run/plain/$suite"/*.out)"
    for way in default 4096 all; do
        case $way in
        default) set -- env LD_PRELOAD="$LIB" ;;
        4096) set -- env LD_PRELOAD="$LIB" BIGMAAC_MIN_BIGMAAC_SIZE=4096 ;;
        all) set -- sh "$TOP/extras/bigmaac" --all env ;;
        esac
        "$@" grep -q bigmaac.so /proc/self/maps || fail "$way is without the library"
        run_all $way "$@" LIMIT=$((4 * limit)) <"$TMP/$suite.tests"
        compare $way "$@" LIMIT=$((4 * limit))
    done
    # Messages of ours are for people whose memory or disk runs out.
    grep -aH '^bigmaac\[' "$TMP"/run/*/"$suite"/*.out | grep -v /plain/ && wrong="$wrong $suite:messages"
done
sort -k4nr "$TMP/times" | head -n 5
sleep 4 # until what their tests leave to itself (CPython's subprocess: "sleep 3") has ended
[ -z "$wrong" ] || fail "different with the library:$wrong"
