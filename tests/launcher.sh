#!/usr/bin/env bash
# extras/bigmaac: options, refusals with a reason and a way out, --check, --profile, --top.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
need_python ctypes
unset BIGMAAC_TEMPLATE
dash="$(command -v dash || echo sh)"
bigmaac() { "$dash" "$TOP/extras/bigmaac" "$@"; }
mkdir "$TMP/swap"
on_disk=(--dir "$TMP/swap")

# refused STATUS PATTERN ARGUMENT...: nothing runs, one line says why and what to do.
refused() {
    local want=$1 pattern=$2 status
    shift 2
    bigmaac "$@" >"$TMP/out" 2>"$TMP/err"
    status=$?
    [ $status = "$want" ] || fail "bigmaac $*: status $status, not $want: $(cat "$TMP/err")"
    [ "$(wc -l <"$TMP/err")" = 1 ] || fail "bigmaac $*: not one line: $(cat "$TMP/err")"
    grep -Eq "^bigmaac: .*$pattern" "$TMP/err" || fail "bigmaac $*: no \"$pattern\" in: $(cat "$TMP/err")"
    [ ! -s "$TMP/out" ] || fail "bigmaac $*: wrote to stdout"
}
succeeds() { "$@" >"$TMP/out" 2>"$TMP/err" || fail "$*: status $?: $(cat "$TMP/out" "$TMP/err")"; }
says() { grep -Eq -- "$1" "$TMP/out" || fail "no \"$1\" in: $(cat "$TMP/out")"; }

# ---- options
refused 125 'see bigmaac --help'
refused 125 'see bigmaac --help' --stats
refused 125 '--frobnicate: no such option; see' --frobnicate true
refused 125 '--min needs a value' --min
refused 125 '--min needs a value' --min= true
refused 125 '--verbose takes no value' --verbose=1 true
refused 125 'BIGMAAC_STATS="yes": not 0, 1 or the path of a file' --stats=yes true
refused 125 '--stats= needs the path of a file' --stats= true
refused 125 'BIGMAAC_MIN_BIGMAAC_SIZE="huge": not a size.*nothing was started' --min huge true
refused 125 'BIGMAAC_MIN_FRY_SIZE="20M": larger than' --fries 20M true
refused 125 'BIGMAAC_PAGING="fast": not one of adaptive' --paging fast true
refused 125 'BIGMAAC_FORK="spoon": not one of private' "${on_disk[@]}" --fork=spoon true
for name in BIGMAAC_STATS BIGMAAC_VERBOSE BIGMAAC_PROFILE BIGMAAC_STRICT; do
    export $name=7
    refused 125 "$name=\"7\": not 0[ ,]+(or )?1.*; nothing was started" "${on_disk[@]}" true
    bigmaac --check "${on_disk[@]}" >"$TMP/out" && fail "--check is content with $name=7"
    export $name=
    succeeds bigmaac "${on_disk[@]}" true
    bigmaac --check "${on_disk[@]}" >"$TMP/out" || fail "--check is not content with $name="
    unset $name
done
succeeds bigmaac --help; says '^usage: bigmaac'; says '--profile'
succeeds bigmaac --version; says "^bigmaac $(sed -n 's/^VERSION = //p' "$TOP/Makefile")$"

# ---- what the program gets
shown='printf "%s|" "$@" "$BIGMAAC_MIN_BIGMAAC_SIZE" "$BIGMAAC_MIN_FRY_SIZE" "$BIGMAAC_TEMPLATE" "$BIGMAAC_FORK" \
    "$BIGMAAC_PAGING" "$BIGMAAC_STATS" "$BIGMAAC_VERBOSE" "$LD_PRELOAD"'
succeeds bigmaac --min 3M --fries=64 "${on_disk[@]}" --fork copy --paging random --stats --verbose -- \
    sh -c "$shown" - 'two words' --min ''
[ "$(cat "$TMP/out")" = "two words|--min||3M|64|$TMP/swap/bigmaac.XXXXXXXX|copy|random|1|1|$LIB|" ] ||
    fail "the program got: $(cat "$TMP/out")"
other=$(ldconfig -p 2>/dev/null | sed -n 's/.*libm\.so\.6 .*x86-64.*=> //p;s/.*libm\.so\.6 .*AArch64.*=> //p' | head -n 1)
if [ -n "$other" ]; then
    LD_PRELOAD=$other succeeds bigmaac "${on_disk[@]}" printenv LD_PRELOAD
    says "^$LIB:$other$"
fi
LD_PRELOAD=$LIB succeeds bigmaac "${on_disk[@]}" printenv LD_PRELOAD
says "^$LIB$"
(cd "$TMP" && succeeds bigmaac --dir swap sh -c 'cd / && printenv BIGMAAC_TEMPLATE') || exit 1
says "^$TMP/swap/bigmaac.XXXXXXXX$"
ln -s "$TOP/extras/bigmaac" "$TMP/link"
succeeds "$dash" "$TMP/link" "${on_disk[@]}" printenv LD_PRELOAD
says "^$LIB$"
bigmaac "${on_disk[@]}" sh -c 'exit 37'; [ $? = 37 ] || fail "the command's status is lost"
# It is the same process: signals reach the program.
# shellcheck disable=SC2016
"$dash" "$TOP/extras/bigmaac" "${on_disk[@]}" sh -c 'echo $$' >"$TMP/out" & wait $!
[ "$(cat "$TMP/out")" = $! ] || fail "the launcher did not exec"
succeeds bigmaac "${on_disk[@]}" --stats "$PYTHON" -c 'x = bytearray(50 << 20)'
[ "$(stat_of bigmaac_peak "$TMP/err")" -ge $((50 << 20)) ] || fail "nothing was swapped: $(cat "$TMP/err")"
succeeds bigmaac "${on_disk[@]}" "$PYTHON" -c 'x = bytearray(50 << 20)'
[ ! -s "$TMP/err" ] || fail "a normal run printed: $(cat "$TMP/err")"

# ---- programs that can't be preloaded
refused 127 'no-such-program-here: not found; check' no-such-program-here
refused 127 'not found' ./no/such/program
refused 126 'is a folder' "$TMP/swap"
echo 'echo hi' >"$TMP/plain"; refused 126 'not executable; chmod' "$TMP/plain"
echo 'int main(void) { return 0; }' >"$TMP/main.c"
if "$CC" -static -o "$TMP/static" "$TMP/main.c" 2>/dev/null; then
    refused 126 'statically linked.*use a dynamically' "$TMP/static"
    "$CC" -static-pie -o "$TMP/static-pie" "$TMP/main.c" 2>/dev/null && refused 126 'statically' "$TMP/static-pie"
    printf '#!%s\n' "$TMP/static" >"$TMP/script"; chmod +x "$TMP/script"
    refused 126 'static: statically linked' "$TMP/script"
    printf '#!/usr/bin/env -S static -x\n' >"$TMP/script2"; chmod +x "$TMP/script2"
    PATH=$TMP:$PATH refused 126 'static: statically linked' script2
fi
printf '#!%s/missing\n' "$TMP" >"$TMP/script3"; chmod +x "$TMP/script3"
refused 127 'its interpreter .*/missing is not found' "$TMP/script3"
printf '\177ELF\001\001\001\0\0\0\0\0\0\0\0\0\002\0\050\0%044d' 0 >"$TMP/foreign"; chmod +x "$TMP/foreign"
refused 126 'another architecture' "$TMP/foreign"
"$CC" -o "$TMP/setuid" "$TMP/main.c" || fail "compile"
succeeds bigmaac "${on_disk[@]}" "$TMP/setuid"
if [ "$(id -u)" = 0 ]; then
    chown 65534 "$TMP/setuid"; chmod u+s "$TMP/setuid"
    refused 126 'setuid.*run it without bigmaac' "$TMP/setuid"
    chown 0:65534 "$TMP/setuid"; chmod 2755 "$TMP/setuid"
    refused 126 'setuid, setgid' "$TMP/setuid"
fi

# ---- folders
refused 125 'missing: it does not exist; make it' --dir "$TMP/missing" true
refused 125 'it is not a folder' --dir "$TMP/main.c" true
[ "$(id -u)" != 0 ] || BIGMAAC_TEMPLATE=/proc/bigmaac.XXXXXX refused 125 "swap folder /proc: it is the kernel's .proc., not a place for files; choose a folder on a disk" true
bigmaac --dir /dev/shm true 2>"$TMP/err" || fail "tmpfs: status $?"
grep -q 'bigmaac: swap folder /dev/shm is in memory (tmpfs).*give a folder' "$TMP/err" || fail "tmpfs: $(cat "$TMP/err")"
bigmaac --check --dir /dev/shm >"$TMP/out" && fail "--check is content with tmpfs"
says 'is in memory: .*give a folder'

# ---- --check
bigmaac --check --dir "$TMP/missing" >"$TMP/out" && fail "--check is content with a missing folder"
[ "$(grep -c '^  - ' "$TMP/out")" = 1 ] || fail "--check: not one advice: $(cat "$TMP/out")"
succeeds bigmaac --check "${on_disk[@]}"
says "^swap folder +$TMP/swap \(--dir\)"; says '^  file system +[a-z0-9]+ on /'; says '^  free +[0-9]'
says '^memory limit'; says '^vm.max_map_count +[0-9]+'; says "^library +$LIB$"; says '^bigmaacs +above 10M$'
[ "$(awk 'length > 200' "$TMP/out" | wc -l)" = 0 ] || fail "--check: long lines"
BIGMAAC_MIN_FRY_SIZE=64 succeeds bigmaac --check "${on_disk[@]}" --min 1M
says '^bigmaacs +above 1M$'; says '^fries +above 64$'
(ulimit -n 256; ulimit -f 4096; ulimit -v 8000000; bigmaac --check "${on_disk[@]}" >"$TMP/out"); status=$?
[ $status = 0 ] || fail "--check under limits: $status"
says '^open files +256$'; says 'half of 256 descriptors'; says '^file size +4194304$'; says 'ulimit -f unlimited'
says '^address space +8192000000$'
bigmaac --check --min huge >"$TMP/out" && fail "--check is content with --min huge"
says 'can not be used +BIGMAAC_MIN_BIGMAAC_SIZE="huge": not a size'
bigmaac --check --dir "$TMP/missing" >"$TMP/out" && fail "--check is content with a missing folder"
says 'does not exist; make it'
refused 125 '--check starts nothing' --check true
if [ "$(id -u)" = 0 ] && [ -d /sys/fs/cgroup/memory ]; then
    limited $((200 << 20)) "$dash" "$TOP/extras/bigmaac" --check "${on_disk[@]}" >"$TMP/out" || fail "--check under a limit"
    says '^memory limit +200M \(cgroup v1, /bigmaac-test'
fi

# ---- --top: 48 MiB in two bigmaacs, 30 MB in fries (more than Python keeps to itself), all in RAM
cat >"$TMP/job.py" <<'END'
import sys
a = bytearray(b'x') * (32 << 20); b = bytearray(b'x') * (16 << 20)
c = [bytearray(b"x") * 600 for i in range(50000)]
print("ready", flush=True)
sys.stdin.readline()
END
mkfifo "$TMP/go"
{ exec "$dash" "$TOP/extras/bigmaac" "${on_disk[@]}" --fries 256 "$PYTHON" "$TMP/job.py"; } <"$TMP/go" >"$TMP/job.out" &
job=$!
exec 9>"$TMP/go"
until_ready grep -q ready "$TMP/job.out"
succeeds bigmaac --top --once $job
row=$(grep -E "^ *$job " "$TMP/out") || fail "--top shows no row: $(cat "$TMP/out")"
read -r _ command bigs bytes rss fries fries_rss disk rate_in _ policy <<<"$row"
[[ $command == python3* && $bigs == 2 && $bytes == 48M && $rss == 48M ]] || fail "--top: bigmaacs: $row"
fries=${fries%M}; fries_rss=${fries_rss%M}; disk=${disk%M}
[ "${fries%.*}" -ge 29 ] && [ "${fries_rss%.*}" -ge 29 ] || fail "--top: fries: $row"
[ "${disk%.*}" -ge 77 ] && [ "${disk%.*}" -le 160 ] || fail "--top: disk: $row"
[[ $rate_in =~ ^[0-9.]+[BKMG]$ && $policy == norm ]] || fail "--top: rates, policy: $row"
[ "$(awk 'length > 80' "$TMP/out" | wc -l)" = 0 ] || fail "--top is wider than 80 columns"
grep -Eq '^ *0x[0-9a-f]+ +32\.0 +32\.0 +100%  norm$' "$TMP/out" || fail "--top: no detail: $(cat "$TMP/out")"
succeeds bigmaac --top --once
grep -Eq "^ *$job python3" "$TMP/out" || fail "--top of all shows no row of $job"
echo >&9; exec 9>&-; wait $job || fail "the job failed"
refused 125 'is not a process id' --top --once x1
refused 125 "there is no process" --top --once 99999999
refused 125 'does not use bigmaac.so; start it' --top --once $$
# The live table ends by itself with its process; a policy that was asked for is shown.
for paging in random sequential; do
    { exec "$dash" "$TOP/extras/bigmaac" "${on_disk[@]}" --paging $paging "$PYTHON" -c '
import sys
x = bytearray(20 << 20); sys.stdin.readline()'; } <"$TMP/go" & job=$!
    exec 9>"$TMP/go"
    until_ready grep -q '(deleted)' "/proc/$job/maps"
    timeout 900 "$dash" "$TOP/extras/bigmaac" --top $job >"$TMP/out" 2>"$TMP/err" & top=$!
    until_ready eval '[ "$(grep -c " PID COMMAND" "$TMP/out")" -ge 2 ]' || fail "--top: not live: $(cat "$TMP/out")"
    echo >&9; exec 9>&-
    wait $top || fail "--top: $(cat "$TMP/err")"
    says " ${paging:0:3}[d]*\$"; grep -q 'process has ended' "$TMP/err" || fail "--top: no last word"
    wait $job || fail "the job failed"
done

# ---- --profile: nothing swapped, a histogram, thresholds; a crash costs the histogram only
succeeds bigmaac --profile "$PYTHON" -c 'x = bytearray(64 << 20)
print(open("/proc/self/maps").read().count("(deleted)"))'
[ "$(cat "$TMP/out")" = 0 ] || fail "--profile: swap files are mapped"
[ -s "$TMP/err" ] || fail "--profile: the library printed no histogram"
grep -Eq '^bigmaac\[[0-9]+\]: ' "$TMP/err" || fail "--profile: $(cat "$TMP/err")"
grep -q ' 90 .*: BIGMAAC_MIN_BIGMAAC_SIZE=[0-9]' "$TMP/err" || fail "--profile: no threshold for 90 %: $(cat "$TMP/err")"
grep -Eq ' [67][0-9]M in memory at the most, but for files: 6[4-9]M of malloc, [0-9]+M? of other' "$TMP/err" || fail "--profile: not all memory: $(cat "$TMP/err")"
bigmaac --profile "$PYTHON" -c 'x = [{} for i in range(999999)]' 2>"$TMP/err" || fail "--profile: status $?"
grep -q ' of other; PYTHONMALLOC=malloc ' "$TMP/err" || fail "--profile: objects of Python's: $(cat "$TMP/err")"
PYTHONMALLOC=malloc bigmaac --profile "$PYTHON" -c 'import mmap
x = mmap.mmap(-1, 64 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for i in range(0, 64 << 20, 4096): x[i] = 1' 2>"$TMP/err" || fail "--profile: status $?"
grep -Eq ' [67][0-9]M of other; BIGMAAC_MIN_MMAP_SIZE=256K ' "$TMP/err" || fail "--profile: mapped memory: $(cat "$TMP/err")"
bigmaac --profile "$PYTHON" -c 'x = [bytearray(50000) for i in range(999)]' 2>"$TMP/err" || fail "--profile: status $?"
grep -q ' 90 .*: BIGMAAC_MIN_FRY_SIZE=[0-9]' "$TMP/err" || fail "--profile: small requests as bigmaacs: $(cat "$TMP/err")"
bigmaac --profile sh -c 'kill -SEGV $$' 2>"$TMP/err"; [ $? = 139 ] || fail "--profile of a crash: status $?"

# ---- disks that are full or read-only (needs loop devices: last, as it may skip)
[ "$(id -u)" = 0 ] || { echo "not root: full and read-only disks are not tried"; exit 0; }
loop_mount ext4 24 -m 0
dd if=/dev/zero of="$MOUNT/filler" bs=1M count=24 2>/dev/null
refused 125 'its disk is full .*make room' --dir "$MOUNT" true
bigmaac --check --dir "$MOUNT" >"$TMP/out" && fail "--check is content with a full disk"
says 'disk is full'
rm "$MOUNT/filler"
mount -o remount,ro "$MOUNT" || fail "remount"
refused 125 'mounted read-only; choose' --dir "$MOUNT" true
exit 0
