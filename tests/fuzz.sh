# Fuzzing under ASan and UBSan: settings (tests/fuzz/settings.c) and sequences of calls
# (tests/fuzz/calls.c). What was ever found is replayed from the corpora, then each target looks
# for something new for 15 s. A failure leaves its input in build/tests/fuzz-*; it becomes a file
# regression-WHAT of the corpus. For hours, with a seed of its own:
#     FUZZ_SEED=$RANDOM FUZZ_SECONDS=7200 bash tests/run.sh quick fuzz.sh
# timeout: 20000
. "$TOP/tests/lib.sh"
need clang
seconds=${FUZZ_SECONDS:-15}
flags="-O1 -g -DBIGMAAC_PREFIX -fno-builtin -pthread -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined"
cd "$TMP" || exit 1
for target in settings calls; do
    # shellcheck disable=SC2086
    clang -std=gnu11 $flags -I"$TOP" -o "$target" "$TOP/tests/fuzz/$target.c" -ldl >errors 2>&1 || {
        cat errors
        grep -q "libclang_rt.*No such file" errors && skip "needs libclang-rt-dev"
        fail "compile $target.c"
    }
    export ASAN_OPTIONS=detect_leaks=0
    options="-artifact_prefix=$BUILD/fuzz-$target- -max_len=600 -len_control=0 -rss_limit_mb=0 -timeout=60 -verbosity=0 -print_final_stats=1"
    mkdir "new-$target"
    # shellcheck disable=SC2086
    "./$target" $options "$TOP/tests/fuzz/corpus-$target"/* >log 2>&1 || { tail -n 40 log; fail "$target: an old input"; }
    # shellcheck disable=SC2086
    "./$target" $options -seed="${FUZZ_SEED:-1}" -max_total_time="$seconds" "new-$target" "$TOP/tests/fuzz/corpus-$target" >log 2>&1 ||
        { tail -n 40 log; fail "$target: an input was found"; }
    grep number_of_executed_units log
    # To keep what a long session has found: merged into the corpus, without what adds nothing.
    [ -z "${FUZZ_MERGE:-}" ] || "./$target" -merge=1 "$TOP/tests/fuzz/corpus-$target" "new-$target" 2>&1 | tail -n 1
done
