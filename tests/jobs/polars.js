// A frame of 6 million rows: new columns, a sort, a groupby.
const pl = require("nodejs-polars");
const n = 6e6, k = new Int32Array(n), v = new Float64Array(n);
for (let i = 0; i < n; i++) { k[i] = (i * 7919) % 100003; v[i] = (i * 31) % 1009; }
let d = pl.DataFrame({k: pl.Series("k", k), v: pl.Series("v", v)});
d = d.withColumn(pl.col("v").mul(2).alias("w")).withColumn(pl.col("v").add(pl.col("w")).alias("z"));
const s = d.sort("v", true);
const g = d.groupBy("k").agg(pl.col("v").sum().alias("s"), pl.col("w").max().alias("m"), pl.col("z").count().alias("c")).sort("k");
console.log(s.height, s.getColumn("z").sum(), g.height, g.row(77), g.row(50000), g.getColumn("s").sum());
