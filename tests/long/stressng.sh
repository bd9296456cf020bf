#!/usr/bin/env bash
# stress-ng's allocating stressors verify their own data, with everything above 4 KiB as bigmaacs and
# above 64 B as fries, and with the defaults.
# timeout: 1500
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
need stress-ng
cd "$TMP" || exit 1
for settings in "BIGMAAC_MIN_BIGMAAC_SIZE=4K BIGMAAC_MIN_FRY_SIZE=64" "BIGMAAC_STRICT=1"; do
    for job in "--malloc 2" "--malloc 2 --malloc-pthreads 4 --malloc-bytes 64M" "--vm 2 --vm-bytes 256M" "--fork 2" \
        "--qsort 1 --tree 1 --tree-size 20000 --hsearch 1 --zlib 1"; do
        # shellcheck disable=SC2086
        with $settings stress-ng $job --verify --metrics-brief -v -t 8 --temp-path "$TMP" >out 2>&1 || fail "$settings: stress-ng $job: status $?: $(tail -n 20 out)"
        grep 'bigmaac\[' out && fail "$settings: stress-ng $job: complaints"
        # It starts a child anew that died of a signal, and only says so.
        grep -iE 'child died|killed by|SIG(SEGV|BUS|ABRT)|segmentation|bus error|abort' out && fail "$settings: stress-ng $job: a child died"
        # Each stressor has done something: name, operations, ...
        awk '/metrc/ && $4 ~ /^[a-z]+$/ && $5 ~ /^[0-9]+$/ { n++; if ($5 == 0) exit 1 } END { exit n == 0 }' out ||
            fail "$settings: stress-ng $job did nothing: $(cat out)"
    done
done

# Those that map, protect, move and advise for themselves: with every mapping of 4 KiB and more ours they end as without us.
what_came() { # COMMAND...: of the stressor $job
    # shellcheck disable=SC2086
    "$@" stress-ng --$job 1 $bytes --verify --metrics-brief -v -t 1 --temp-path "$TMP" >out 2>&1
    echo "status $?"
    grep -oE 'bigmaac\[.*|child died|unsuccessful|(SIG)(SEGV|BUS|ABRT)' out | sort -u
    awk -v job="$job" '/metrc/ && $4 == job { print ($5 == 0 ? "nothing done" : "done") }' out
}
for job in vm vm-addr vm-rw vm-segv vm-splice mmap mmapaddr mmapfixed mmapfork mmapmany mprotect mremap msync madvise remap stackmmap \
    brk mlock; do
    bytes=""
    stress-ng --help | grep -q -- "--$job-bytes" && bytes="--$job-bytes 64M"
    plain=$(what_came env)
    set -- env LD_PRELOAD="$LIB" BIGMAAC_MIN_BIGMAAC_SIZE=1M BIGMAAC_MIN_FRY_SIZE=128 BIGMAAC_MIN_MMAP_SIZE=4K
    for _ in 1 2 3; do # a busy machine's fault may be one
        now=$(what_came "$@")
        [ "$now" != "$plain" ] || break
        plain=$(what_came env)
    done
    [ "$now" = "$plain" ] || fail "stress-ng --$job: $now; without the library: $plain: $(tail -n 20 out)"
done
exit 0
