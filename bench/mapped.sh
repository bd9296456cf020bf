#!/usr/bin/env bash
# Programs with allocators or heaps of their own, on about twice the memory limit: with kernel swap, then with BigMaac's
# --all, on the same disk; what they compute must be the same. Then where memory suffices: without BigMaac and with it.
#
#     bash bench/mapped.sh          from the environment:
#     JOBS="dicts node jvm duckdb"  duckdb needs the npm package @duckdb/node-api in NODE_PATH
#     RUNS=3                        where memory suffices: the middle one counts
. "$(dirname "$0")/limits.sh"
. "$(dirname "$0")/common.sh"
JOBS=${JOBS:-dicts node jvm duckdb} RUNS=${RUNS:-3}
failures=0
declare -A limit=([dicts]=450 [node]=450 [jvm]=450 [duckdb]=600) target=([dicts]=0.5 [node]=0.8 [jvm]=0.6 [duckdb]=1)
ALL="BIGMAAC_MIN_BIGMAAC_SIZE=1M BIGMAAC_MIN_FRY_SIZE=128 BIGMAAC_MIN_MMAP_SIZE=256K"

cat >"$WORK/dicts.py" <<'P'
rows = [{'id': i, 'name': 'user%d' % i, 'score': i * 0.5} for i in range(2500000)]
total = sum(row['score'] for row in rows)
index = {row['name']: row for row in rows[::10]}
print(total, sum(len(name) for name in index))
P
cat >"$WORK/node.js" <<'J'
const rows = [], index = new Map();
for (let i = 0; i < 6e6; i++) rows.push({ id: i, name: 'user' + i, score: i * 0.5 });
let total = 0;
for (const row of rows) total += row.score;
for (let i = 0; i < 6e6; i += 10) index.set(rows[i].name, rows[i]);
console.log(total, index.size);
J
cat >"$WORK/Jvm.java" <<'J'
public class Jvm {
    public static void main(String[] args) {
        double[][] arrays = new double[1000][];
        for (int i = 0; i < arrays.length; i++) {
            arrays[i] = new double[131072];
            for (int k = 0; k < 131072; k += 64) arrays[i][k] = i;
        }
        double total = 0;
        for (double[] a : arrays) for (int k = 0; k < a.length; k += 64) total += a[k];
        System.out.println(total);
    }
}
J
cat >"$WORK/duckdb.js" <<'J'
const { DuckDBInstance } = require('@duckdb/node-api');
(async () => {
    const db = await DuckDBInstance.create(':memory:', { threads: '2', memory_limit: '16GB', temp_directory: '' });
    const c = await db.connect();
    await c.run('create table a as select (i * 7919) % 1000003 as k, i as v, hash(i) as h from range(20000000) t(i)');
    for (const query of ['select sum(v)::varchar, count(distinct h)::varchar from a',
                         'select sum(x)::varchar, count(m)::varchar from (select k, sum(v) x, max(h) m from a group by k)',
                         'select count(*)::varchar from (select * from a order by h limit 1000000 offset 1000)'])
        console.log(JSON.stringify((await c.runAndReadAll(query)).getRows()));
})();
J

command_of() { # JOB: sets command; false: it can't run here
    case $1 in
    dicts) command=("$PYTHON" "$WORK/dicts.py") ;;
    node) command=(node --max-old-space-size=6000 "$WORK/node.js"); command -v node >/dev/null || return 1 ;;
    jvm) command=(java -cp "$WORK" -Xmx2g -Xms64m Jvm)
        [ -e "$WORK/Jvm.class" ] || javac -d "$WORK" "$WORK/Jvm.java" 2>/dev/null || return 1 ;;
    duckdb) command=(node "$WORK/duckdb.js"); node -e 'require("@duckdb/node-api")' 2>/dev/null || return 1 ;;
    esac
}
timed() { # COMMAND...: its output into out, its seconds into seconds
    local began
    began=$(date +%s%N)
    "$@" >"$WORK/out" 2>"$WORK/err" || { seconds=""; out="status $?: $(tail -n 1 "$WORK/err")"; return 1; }
    seconds=$(awk "BEGIN { print ($(date +%s%N) - $began) / 1e9 }") out=$(cat "$WORK/out")
}
# Where 6 GiB are enough, without BigMaac and with it in turn: the middle one of each into without and with.
suffices() {
    rm -f "$WORK/without" "$WORK/with"
    for _ in $(seq "$RUNS"); do
        timed limited 6144 0 "${command[@]}" && echo "$seconds" >>"$WORK/without"
        # shellcheck disable=SC2086
        timed bigmaac 6144 env $ALL "${command[@]}" && echo "$seconds" >>"$WORK/with"
    done
    without=$(median <"$WORK/without") with=$(median <"$WORK/with")
}

machine
row_head
for name in $JOBS; do
    command_of "$name" || { echo "$name: skipped, it is not installed"; continue; }
    drop_caches
    timed plain "${limit[$name]}" timeout 900 "${command[@]}" || { echo "FAILED: $name, kernel swap: $out"; failures=$((failures + 1)); }
    swapped=$seconds right=$out
    drop_caches
    # shellcheck disable=SC2086
    timed bigmaac "${limit[$name]}" env $ALL timeout 900 "${command[@]}"
    [ "$out" = "$right" ] || { echo "FAILED: $name, BigMaac: $out instead of $right"; failures=$((failures + 1)); }
    row "$name in ${limit[$name]} MiB, beside swap" s "$seconds" "$swapped" "x<=${target[$name]}"
    suffices
    row "$name where memory suffices" s "$with" "$without" "x<=1.05"
done
[ $failures = 0 ]
