#!/usr/bin/env bash
# A PostgreSQL server with everything above 4 KiB as bigmaacs and above 64 B as fries, and with the
# defaults: initdb, pgbench, an immediate stop and the recovery from it. The balances add up, its own
# checkers find nothing, and the answers and the dump of a third database are a plain server's.
# timeout: 1800
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
for folder in /usr/lib/postgresql/*/bin; do PATH=$folder:$PATH; done
need initdb; need pgbench; need pg_amcheck
# The server refuses root, and may not be able to reach the library or the folder.
chmod 755 "$TMP"; mkdir "$TMP/s"; cp "$LIB" "$TMP/s/bigmaac.so"; LIB=$TMP/s/bigmaac.so
as_user() { "$@"; }
if [ "$(id -u)" = 0 ]; then
    need setpriv
    chown nobody "$TMP/s"
    as_user() { setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"; }
fi
cd "$TMP/s" || exit 1
export PGHOST=$TMP/s PGUSER=tester PGDATABASE=bench HOME=$TMP/s BIGMAAC_TEMPLATE=$TMP/s/bigmaac.XXXXXXXX BIGMAAC_STATS=1
cat >data.sql <<'S'
SET work_mem = '96MB';
CREATE TABLE a AS SELECT i, i * 7919 % 100003 AS k, repeat(md5(i::text), i % 40) AS t FROM generate_series(1, 150000) i;
CREATE INDEX ON a (k); CREATE INDEX ON a (md5(t));
ANALYZE a;
SELECT count(*), sum(x.i::bigint * y.i), md5(string_agg(md5(x.t || y.t), ',' ORDER BY x.i, y.i)) FROM a x JOIN a y USING (k);
SELECT md5(array_agg(t ORDER BY md5(t), i)::text) FROM a WHERE i % 3 = 0;
SELECT md5(jsonb_object_agg(i, t)::text) FROM a WHERE i < 20000;
DO $$ DECLARE s text := ''; BEGIN FOR n IN 1..20000 LOOP s := s || md5(n::text); END LOOP; RAISE NOTICE '%', md5(s); END $$;
UPDATE a SET t = t || k WHERE i % 4 = 0; DELETE FROM a WHERE i % 5 = 0;
CREATE TABLE b AS SELECT k % 100 AS g, count(DISTINCT t) AS n, md5(max(t)) AS m FROM a GROUP BY 1;
SELECT md5(string_agg(b::text, ',' ORDER BY g)) FROM b;
S
server() { # start or stop and the settings to do it with
    local what=$1
    shift
    as_user env "$@" pg_ctl -s -w -D data -l log -o "-k $TMP/s -c listen_addresses= -c shared_buffers=128MB -c fsync=off" $what 2>>pg_ctl.out
}
balances() { # they add up, and there is a line of history for each transaction
    psql -Atc "SELECT sum(abalance) = (SELECT sum(tbalance) FROM pgbench_tellers)
        AND sum(abalance) = (SELECT sum(bbalance) FROM pgbench_branches)
        AND sum(abalance) = (SELECT sum(delta) FROM pgbench_history)
        AND (SELECT count(*) FROM pgbench_history) = $1 FROM pgbench_accounts"
}
cluster() { # NAME SETTING...: the answers go to NAME.answers
    local name=$1 transactions
    shift
    as_user env "$@" initdb -k -N -A trust -U tester --locale=C -E UTF8 data >initdb.out 2>&1 || fail "$name: initdb: $(tail -n 5 initdb.out)"
    server start "$@" || fail "$name: start: $(tail -n 20 log)"
    trap 'server "stop -m immediate"' EXIT
    createdb bench
    psql -q -At -f data.sql >"$name.answers" 2>&1 || fail "$name: psql"
    pg_dump -t a -t b bench | grep -v restrict | sort | sha256sum >>"$name.answers"
    if [ "$name" != plain ]; then
        grep -q bigmaac.so "/proc/$(head -n 1 data/postmaster.pid)/maps" || fail "$name: the server is without the library"
        env "$@" pgbench -q -i -s 5 >pgbench.out 2>&1 || fail "$name: pgbench -i: $(tail pgbench.out)"
        env "$@" pgbench -c 8 -j 2 -T 10 >pgbench.out 2>&1 || fail "$name: pgbench: $(tail pgbench.out)"
        transactions=$(sed -n 's/^number of transactions actually processed: \([0-9]*\).*/\1/p' pgbench.out)
        [ "$transactions" -gt 100 ] && [ "$(balances "$transactions")" = t ] || fail "$name: the balances"
        server "stop -m immediate" && server start "$@" || fail "$name: no recovery: $(tail -n 20 log)"
        [ "$(balances "$transactions")" = t ] || fail "$name: the balances after the recovery"
    fi
    pg_amcheck --install-missing --heapallindexed --parent-check >amcheck.out 2>&1 || fail "$name: pg_amcheck: $(tail amcheck.out)"
    server "stop -m fast" || fail "$name: stop"
    trap - EXIT
    as_user pg_checksums --check -D data >checksums.out 2>&1 || fail "$name: pg_checksums: $(cat checksums.out)"
    grep -E 'bigmaac\[[0-9]+\]: ' log | grep -v ' stats ' && fail "$name: complaints"
    grep -E 'PANIC|terminated by signal|corrupt' log && fail "$name: $(tail -n 50 log)"
    mv log "$name.log"; rm -rf data
}
cluster plain A=1
cluster all LD_PRELOAD="$LIB" BIGMAAC_MIN_BIGMAAC_SIZE=4K BIGMAAC_MIN_FRY_SIZE=64
cluster defaults LD_PRELOAD="$LIB" BIGMAAC_STRICT=1
[ "$(wc -l <plain.answers)" = 6 ] || fail "the plain server: $(cat plain.answers)"
for name in all defaults; do
    diff plain.answers $name.answers || fail "$name: the answers differ"
done
swapped=$(sed -n 's/.* stats bigmaacs=\([0-9]*\) .*/\1/p' all.log | sort -n | tail -n 1)
[ "${swapped:-0}" -gt 1000 ] || fail "hardly anything was swapped: $swapped"
exit 0
