# The model test of fork with 10,000 forks, and 3,000 where each copies: zero differences.
# timeout: 3600
. "$TOP/tests/lib.sh"
compile_c "$TMP/fork_model" "$TOP/tests/fork_model.c" -fno-builtin
for mode in private copy; do
    [ $mode = private ] && forks=10000 || forks=3000
    with BIGMAAC_FORK=$mode BIGMAAC_MIN_BIGMAAC_SIZE=64K BIGMAAC_MIN_FRY_SIZE=128 "$TMP/fork_model" "$forks" ||
        fail "BIGMAAC_FORK=$mode: status $?"
done
