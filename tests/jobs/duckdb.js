// A table of 7 million rows: sums, a groupby, a sort.
const { DuckDBInstance } = require("@duckdb/node-api");
(async () => {
    const db = await DuckDBInstance.create(":memory:", { threads: "2", memory_limit: "16GB", temp_directory: "" });
    const c = await db.connect();
    await c.run("create table a as select (i * 7919) % 1000003 as k, i as v, hash(i) as h from range(7000000) t(i)");
    for (const query of ["select sum(v)::varchar, count(distinct h)::varchar from a",
                         "select sum(x)::varchar, count(m)::varchar from (select k, sum(v) x, max(h) m from a group by k)",
                         "select sum(h)::varchar from (select h from a order by h limit 1000000 offset 1000)"])
        console.log(JSON.stringify((await c.runAndReadAll(query)).getRows()));
})();
