# The suite as `nobody`: no_new_privs, no capability, and a system call filter like a container
# runtime's default. Nothing may fail, and enough must have run. Sanitizers, the fuzzer and copying forks, to whom it
# is all the same, don't run again; nor does what $same names, where no call is made that he may not make, or which unprivileged.sh
# and the others show already. All of it: UNPRIVILEGED=all make test-long ONLY=unprivileged_suite
# timeout: 4000
. "$TOP/tests/lib.sh"
need_root; need setpriv; need make
chmod 755 "$TMP"
home=$TMP/home
mkdir -p "$home/src" "$home/tmp"
(cd "$TOP" && tar -cf - --exclude=./build --exclude=./.git --exclude=./bigmaac.so .) | tar -xf - -C "$home/src" || fail "copy"
# What is inside the process, or about other programs; what each abort_* says is the same text by the same path.
same="unit_fault unit_sim unit_window unit_class unit_text unit_policy unit_stress wrappers glibc wheel valgrind fork_redis fork_make
    fork_torch numpy_job jupyter"
[ "${UNPRIVILEGED:-}" = all ] || for test in $same $(cd tests && ls abort_*.c | grep -v 'fry_twice.c\|_wild.c\|twice_late'); do
    rm -f "$home/src/tests/${test%.c}".{c,sh}
done
compile_c "$home/seccomp" "$TOP/tests/seccomp.c"
chown -R 65534:65534 "$home"
cd "$home/src" || fail "cd"
confined() {
    env -i PATH=/usr/sbin:/usr/bin:/bin HOME="$home" CC="$CC" BIGMAAC_TEST_TMP="$home/tmp" BIGMAAC_TEST_PLAIN=1 setpriv --reuid 65534 \
        --regid 65534 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all "$home/seccomp" container "$@"
}
confined true || skip "this machine can't drop privileges and filter system calls"
confined sh -c 'test "$(id -u)" = 65534 && grep -q "^NoNewPrivs:.1" /proc/self/status && grep -q "^Seccomp:.2" /proc/self/status &&
    grep -q "^CapEff:.0*$" /proc/self/status' || fail "it has privileges"
confined unshare -m true 2>/dev/null && fail "it may unshare"
confined $PYTHON -c 'import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
for call in (323, 298): # userfaultfd, perf_event_open
    assert libc.syscall(call, 0, 0, 0, 0, 0) == -1 and ctypes.get_errno() == errno.EPERM' || fail "the filter lets through what it should not"
confined make -s >"$TMP/make" 2>&1 || fail "make: $(tail -n 5 "$TMP/make")"
confined bash tests/run.sh quick >"$TMP/log" 2>&1
status=$?
cat "$TMP/log"
passed=$(sed -n 's/^\([0-9]*\) passed, 0 failed, .*/\1/p' "$TMP/log")
[ $status = 0 ] && [ "${passed:-0}" -ge 65 ] || fail "status $status; $(tail -n 2 "$TMP/log")"
for must in abort_fry_twice.c 'api_family.c (fries above 64)' 'fork_model.c (private)' limits.sh preload.sh launcher.sh; do
    grep -qF "PASS  $must " "$TMP/log" || fail "$must did not run"
done
grep '^SKIP' "$TMP/log" | grep -v "needs root$\|this machine can't" && fail "skipped for no good reason"
exit 0
