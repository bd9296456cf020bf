#!/usr/bin/env bash
# Real programs must give what they give without the library, with everything above 4 KiB as bigmaacs
# and above 64 B as fries, and with the defaults: sort of 600 MB, xz, gcc on a large file, sqlite3 on
# 500 MB in memory, perl, R, node, git gc. valgrind looks at the preload once.
# timeout: 2700
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
for program in xz gcc sqlite3 perl Rscript node git valgrind; do need $program; done
cd "$TMP" || exit 1
export LC_ALL=C
head -c 450000000 /dev/urandom | base64 -w 99 >lines
cc1=$TMP/part # of the compiler: two blocks of xz's
head -c 16M "$(gcc -print-prog-name=cc1)" >"$cc1"
cat >query.sql <<'S'
PRAGMA cache_size = -2000000;
CREATE TABLE t(a INTEGER, b TEXT, c TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)
    INSERT INTO t SELECT i * 7919 % 1000003, printf('%08d', i), printf('%0420d', i * 31) FROM n;
CREATE INDEX i ON t(b);
SELECT count(*), sum(a), max(b), max(c) FROM t; SELECT sum(a) FROM t WHERE b LIKE '%99';
UPDATE t SET c = c || a WHERE a % 5 = 0; DELETE FROM t WHERE a % 7 = 0;
SELECT count(*), sum(length(c)) FROM t; SELECT a, c FROM t WHERE b = '00777777';
PRAGMA integrity_check; PRAGMA page_count;
S
perl >large.c <<'P'
my $n = 1500;
for my $f (1 .. $n) {
    my ($before, $shift, $by, @cases) = ($f > 1 ? $f - 1 : 1, $f % 13 + 1, $f % 97 + 2);
    push @cases, "    case $_: s += b[$_ % n] * ${f}u; break;\n" for 0 .. 5;
    print "static unsigned f$f(unsigned a, unsigned *b, int n)\n{\n    unsigned s = a * ${f}u;\n",
        "    for (int i = 0; i < n; i++)\n        s = (s << $shift) ^ (b[i] + s / ${by}u)",
        " ^ (s > ${f}u ? b[(i + $f) % n] : f$before(s, b, n / 2));\n    switch (s % 7) {\n@cases    }\n    return s;\n}\n";
}
print "unsigned (*const all[])(unsigned, unsigned *, int) = {", join(", ", map { "f$_" } 1 .. $n), "};\n";
P
perl >history <<'P'
# For git fast-import: 600 commits, each changes one of 20 files of 3,000 lines a little.
my @files = map { my $f = $_; [map { "file $f line $_ " . $_ * $f * 7919 % 100003 } 1 .. 3000] } 1 .. 20;
for my $c (1 .. 600) {
    my $f = $files[$c % 20];
    $f->[$_ * $c * 31 % 3000] = "changed by $c, $_ " . $_ * $c % 9973 for 1 .. 30;
    my $text = join("\n", @$f) . "\n";
    print "commit refs/heads/main\ncommitter a <a\@b> ${c}000 +0000\ndata 2\nc\nM 644 inline f", $c % 20, "\ndata ", length $text, "\n$text\n";
}
P
lines_() { sort --parallel=2 -S 900M lines | sha256sum; }
xz_() { xz -T2 -6 --block-size=8M -c "$cc1" >"$1/xz" && sha256sum <"$1/xz" && xz -T2 -dc "$1/xz" | cmp - "$cc1" && echo same; }
gcc_() { gcc -w -O2 -pipe -c -o "$1/o" large.c && sha256sum <"$1/o"; }
sqlite_() { sqlite3 :memory: <query.sql; }
perl_() { perl -e 'my %h; $h{$_ % 300007} .= "x$_" for 1 .. 1500000; my $n = 0; $n += length for values %h; print "$n\n"; print unpack("%32C*", join "", map { $h{$_} } sort keys %h), "\n"'; }
r_() { Rscript -e 'set.seed(1); m <- matrix(runif(4e6), 2000); cat(sum(m %*% m[, 1:50]), sum(sort(m)[1:9]), nchar(paste(1:300000, collapse = "")), "\n")'; }
node_() { node -e 'let m = new Map(); for (let i = 0; i < 1e6; i++) m.set("k" + i, Buffer.alloc(20, i)); let b = Buffer.alloc(2e8, "abc"); let s = 0; for (let v of m.values()) s += v[7]; console.log(m.size, s, require("crypto").createHash("sha1").update(b).update(require("zlib").deflateSync(b.subarray(0, 3e7))).digest("hex"))'; }
git_() {
    git init -q "$1/git" && git -C "$1/git" fast-import --quiet <history && git -C "$1/git" -c pack.threads=2 gc -q --aggressive --prune=now &&
        git -C "$1/git" fsck --strict --no-dangling && git -C "$1/git" log -p --all main | sha256sum && git -C "$1/git" count-objects -v | grep -v size
}
jobs_() { # NAME SETTING...: all of it, the output to NAME.out, what each job took to the log
    local name=$1 job began
    shift
    mkdir "$name"
    for job in lines_ xz_ gcc_ sqlite_ perl_ r_ node_ git_; do
        began=$(date +%s%N)
        (export "$@"; echo "$job"; "$job" "$name"; echo "status $?") >>"$name.out" 2>&1
        echo "$name $job $((($(date +%s%N) - began) / 1000000)) ms"
    done
    rm -rf "$name"
}
jobs_ plain A=1
grep -v -e '^status 0$' plain.out | grep status && fail "without the library: $(cat plain.out)"
jobs_ all LD_PRELOAD="$LIB" BIGMAAC_MIN_BIGMAAC_SIZE=4K BIGMAAC_MIN_FRY_SIZE=64
jobs_ defaults LD_PRELOAD="$LIB" BIGMAAC_STRICT=1
for name in all defaults; do
    diff plain.out $name.out || fail "$name: the output differs"
done
with BIGMAAC_MIN_BIGMAAC_SIZE=64K valgrind -q --soname-synonyms=somalloc=nouserintercepts --error-exitcode=9 \
    sort -S 1M large.c >/dev/null || fail "valgrind: status $?"
exit 0
