# Real programs whose output must be the same with everything above 4 KiB as bigmaacs and above
# 64 B as fries, and with the defaults. valgrind looks at the preload once.
# timeout: 1800
. "$TOP/tests/lib.sh"
cd "$TMP" || exit 1
head -c 40000000 /dev/urandom | od -An -tx8 -w8 -v >numbers
cat >q.sql <<'S'
CREATE TABLE t(a INTEGER, b TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)
    INSERT INTO t SELECT i * 7919 % 1000003, printf('%08d', i) FROM n;
CREATE INDEX i ON t(b);
SELECT count(*), sum(a), max(b) FROM t; SELECT sum(a) FROM t WHERE b LIKE '%99';
S
jobs_() {
    sort --parallel=2 -S 512M numbers | sha256sum
    command -v xz >/dev/null && xz -T2 -6 -c numbers | xz -dc | sha256sum
    gcc -O2 -fPIC -c -o x.o "$TOP/bigmaac.c" -I"$TOP" && sha256sum x.o
    command -v sqlite3 >/dev/null && sqlite3 :memory: <q.sql
    perl -e 'my %h; $h{$_ % 300007} .= "x$_" for 1 .. 1500000; my $n = 0; $n += length for values %h; print "$n\n"'
    command -v Rscript >/dev/null && Rscript -e 'set.seed(1); m <- matrix(runif(4e6), 2000); cat(sum(m %*% m[, 1:50]), "\n")'
    command -v node >/dev/null && node -e 'let m = new Map(); for (let i = 0; i < 1e6; i++) m.set("k" + i, Buffer.alloc(20)); console.log(m.size)'
    $PYTHON -c 'import pandas, numpy; r = numpy.random.default_rng(1); f = pandas.DataFrame({"k": r.integers(0, 1000, 2000000), "v": r.integers(0, 99, 2000000)}); print(f.groupby("k").v.sum().sum(), len(f.merge(f.drop_duplicates("k"), on="k")))'
    git init -q g 2>/dev/null && cp "$TOP"/*.c g && git -C g add -A && git -C g -c user.name=a -c user.email=a@b commit -qm x &&
        git -C g gc -q && git -C g fsck 2>&1 | grep -v notice; rm -rf g
}
jobs_ >plain 2>&1
for settings in "BIGMAAC_MIN_BIGMAAC_SIZE=4K" "BIGMAAC_MIN_BIGMAAC_SIZE=4K BIGMAAC_MIN_FRY_SIZE=64" \
    "BIGMAAC_MIN_FRY_SIZE=64" "BIGMAAC_STRICT=1"; do
    # shellcheck disable=SC2086
    (export LD_PRELOAD="$LIB" $settings; jobs_ >with 2>&1)
    diff plain with || fail "$settings: the output differs"
done
for job in "--malloc 2" "--vm 2 --vm-bytes 256M" "--fork 2"; do
    # shellcheck disable=SC2086
    with BIGMAAC_MIN_BIGMAAC_SIZE=64K BIGMAAC_MIN_FRY_SIZE=64 stress-ng $job --verify -t 20 --temp-path "$TMP" || fail "stress-ng $job"
done
with BIGMAAC_MIN_BIGMAAC_SIZE=64K valgrind -q --soname-synonyms=somalloc=nouserintercepts --error-exitcode=9 \
    sort -S 1M q.sql >/dev/null || fail "valgrind: status $?"
