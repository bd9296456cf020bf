# The model test of fork with 10,000 forks in each mode: zero differences.
# timeout: 3600
. "$TOP/tests/lib.sh"
compile_c "$TMP/fork_model" "$TOP/tests/fork_model.c" -fno-builtin
for mode in private copy; do
    with BIGMAAC_FORK=$mode BIGMAAC_MIN_BIGMAAC_SIZE=64K BIGMAAC_MIN_FRY_SIZE=128 "$TMP/fork_model" long ||
        fail "BIGMAAC_FORK=$mode: status $?"
done
