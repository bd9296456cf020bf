#!/usr/bin/env python3
"""Prints README's tables of what the benchmarks measured: build/bench/results, build/bench/jobs.tsv.

    python3 bench/table.py              the rows of README, of those that were measured
    python3 bench/table.py --all        every result, by its own name

Of each result those of the newest commit count; of several runs the middle one, by the ratio.
"""
import os
import sys

BUILD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "build", "bench")
# README's label, what it is compared with, the results: one; one for each comparison of the same value; or several in a
# row, which from four on are told from the least to the most.
SWAP, GLIBC, BESIDE = ["kernel swap"], ["glibc"], ["glibc", "mimalloc"]
ROWS = [
    ("numpy in 2 GiB: fill, sum, scale, one column of 5 GB; readahead 128 KiB", SWAP,
     ["numpy matrix of 5000 MiB in 2048 MiB, readahead 128 KiB"]),
    ("the same, readahead 8 MiB", SWAP, ["numpy matrix of 5000 MiB in 2048 MiB, readahead 8192 KiB"]),
    ("numpy on 1 GiB in 512 MiB: matmul; argsort; fancy indexing", SWAP,
     [f"{job} on 1024 MiB in 512 MiB" for job in ("matmul", "argsort", "fancy")]),
    ("pandas groupby on 1 GiB in 512 MiB", SWAP, ["groupby on 1024 MiB in 512 MiB"]),
    ("blocks of 256 KiB at random, 2.5 times the memory; readahead 128 KiB", SWAP, ["paging rand256k, readahead 128 KiB"]),
    ("blocks of 64 KiB; readahead 8 MiB", SWAP, ["paging rand64k, readahead 8192 KiB"]),
    ("2.5 million Python dicts, 805 MB in 450 MiB, `--all`", SWAP, ["dicts in 450 MiB, beside swap"]),
    ("node, 6 million objects, 817 MB in 450 MiB", SWAP, ["node in 450 MiB, beside swap"]),
    ("JVM, 1,000 arrays of 1 MiB in 450 MiB", SWAP, ["jvm in 450 MiB, beside swap"]),
    ("DuckDB, 20 million rows, 1.4 GB in 600 MiB", SWAP, ["duckdb in 600 MiB, beside swap"]),
    ("numpy `a += b*0.5`, 200 MB, two of the three arrays fit", SWAP, ["numpy, 200 MB, two of three arrays in RAM"]),
    ("the same, 1 GB", SWAP, ["numpy, 1000 MB, two of three arrays in RAM"]),
    ("200 MB, all fit", GLIBC, ["numpy a += b*0.5, arrays of 200 MB, in RAM"]),
    ("1 GB, all fit", GLIBC, ["numpy a += b*0.5, arrays of 1000 MB, in RAM"]),
    ("first fill of a fresh 2 GiB block", GLIBC, ["first fill of a fresh 2 GiB block"]),
    ("8 GiB, of which a word in each MiB is used", GLIBC, ["8 GiB, of which a word in each MiB is used"]),
    ("10,000 blocks of 1 MiB, of each one page", GLIBC, ["10,000 blocks of 1 MiB, of each one page"]),
    ("a pass over 4 GiB, a sixth of the memory, changed over and over", GLIBC, ["a sixth of the memory, changed over and over"]),
    ("fork with 4 GiB, until both sides run", ["glibc, 4 KiB pages"], ["fork with 4096 MiB, until both sides run"]),
    ("malloc + touch + free of 1 to 64 MiB", GLIBC, [f"malloc + touch + free, {1 << i} MiB" for i in range(7)]),
    ("copying against realloc, 0.25 to 4 GiB in steps, in 1 GiB", ["realloc"],
     ["copying against realloc, 0.25 to 4 GiB in 1 GiB"]),
    ("malloc + free passed through", ["a library that only jumps"], ["malloc + free of 100 B, passed through"]),
    ("start of /bin/true", ["without"], ["start of /bin/true with the library"]),
    ("fries, 16-64 B, 1,000 live", BESIDE, [f"churn 16-64 B, 1000 live, {way}" for way in BESIDE]),
    ("fries, 16-64 B, 100,000 live", BESIDE, [f"churn 16-64 B, 100000 live, {way}" for way in BESIDE]),
    ("fries, 256-4096 B, 100,000 live", BESIDE, [f"churn 256-4096 B, 100000 live, {way}" for way in BESIDE]),
    ("fries, 4-64 KiB, 1,000 live", BESIDE, [f"churn 4096-65536 B, 1000 live, {way}" for way in BESIDE]),
    ("fries, one thread allocates, another one frees", BESIDE + ["jemalloc"],
     [f"producer/consumer, {way}" for way in BESIDE + ["jemalloc"]]),
]


def lines_of(name):
    """The lines of a file of raw results, as lists; none where nothing was measured."""
    try:
        with open(os.path.join(BUILD, name), encoding="utf-8") as file:
            return [line.rstrip("\n").split("\t") for line in file]
    except FileNotFoundError:
        return []


def number(text):
    try:
        return float(text)
    except ValueError:
        return None


def shown(value, unit=""):
    if value is None:
        return "-"
    for least, letter in ((1e6, " million"), (1e4, " thousand")):
        if value >= least:
            value, unit = value / (1e6 if letter == " million" else 1e3), letter + unit
            break
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:.{digits}f}{unit}"


class Result:
    """What was measured by one name: the runs of its newest commit."""

    def __init__(self, runs):
        self.runs = [r for r in runs if r[1] == runs[-1][1]]
        self.date, self.commit, self.machine, self.script, self.name, self.unit = self.runs[-1][:6]
        if self.unit not in ("/s", "ops/s"):
            self.unit = " " + self.unit
        pairs = [(number(r[6]), number(r[7])) for r in self.runs]
        self.ratios = sorted(v / o for v, o in pairs if v is not None and o)
        pairs.sort(key=lambda p: p[0] / p[1] if p[0] is not None and p[1] else p[0] or 0)
        self.value, self.other = pairs[len(pairs) // 2]

    def ratio(self):
        if not self.ratios or self.other is None:
            return ""
        several = f" ({len(self.ratios)} runs: {self.ratios[0]:.2f} to {self.ratios[-1]:.2f})" if len(self.ratios) > 1 else ""
        return f"{self.value / self.other:.2f} x{several}"


def span(values):
    least, most = shown(min(values)), shown(max(values))
    return least if least == most else f"{least}-{most}"


def cells(results, others):
    """Value, comparison and ratio of a row."""
    first, unit = results[0], results[0].unit
    if len(others) > 1:  # one value beside several
        beside = ", ".join(f"{shown(r.other)} {other}" for r, other in zip(results, others))
        return shown(first.value, unit), beside, f"{first.ratio()} {others[0]}"
    if len(results) > 3:
        return span([r.value for r in results]) + unit, f"{span([r.other for r in results])} {others[0]}", ""
    return ("; ".join(shown(r.value) for r in results) + unit,
            "" if first.other is None else "; ".join(shown(r.other) for r in results) + f"{unit} {others[0]}",
            "; ".join(r.ratio() for r in results))


def rows(results):
    """README's rows, of results by name; says which nobody measured."""
    for label, others, names in ROWS:
        found = [results[name] for name in names if name in results]
        if len(found) == len(names):
            yield label, found, cells(found, others)
        else:
            print(f"not measured: {label}", file=sys.stderr)


def header(of):
    """When, on what, which commit: said once."""
    dates, machines, commits = (sorted({r[i] for r in of}) for i in (0, 2, 1))
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    return f"Measured {when} on {' and '.join(machines)}; commit {', '.join(commits)}."


def main():
    by_name = {}
    for line in lines_of("results"):
        by_name.setdefault(line[4], []).append(line)
    results = {name: Result(runs) for name, runs in by_name.items()}
    if "--all" in sys.argv:
        table = [(r.name, [r], cells([r], [""])) for r in results.values()]
    else:
        table = list(rows(results))
    if table:
        print(header([run for _, found, _ in table for r in found for run in r.runs]))
        print("\n| | BigMaac | compared with | |\n|---|---|---|---|")
        for label, _, row in table:
            print(f"| {label} | {' | '.join(c.strip() for c in row)} |")
    jobs = {line[3]: line for line in lines_of("jobs.tsv")}
    if jobs:
        print("\n" + header(jobs.values()))
        print("\n| job | limit, MiB | needs | without a limit, s | in the limit | kernel swap, s | BigMaac, s | set |\n|---|---|---|---|---|---|---|---|")
        for job in jobs.values():
            print(f"| {' | '.join(job[3:])} |")


if __name__ == "__main__":
    main()
