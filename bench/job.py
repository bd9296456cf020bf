#!/usr/bin/env python3
"""The numpy and pandas jobs of the benchmarks and of the demo.

    job.py NAME MIB       NAME: matrix matmul argsort fancy groupby; MIB of data

Prints a line for each step, `step NAME SECONDS`, then `total SECONDS`, `peak MIB` (resident) and
`digits ...`: what the job computed, to be compared between runs. Nothing in it is rounded: the
numbers are small integers, so that every way of summing gives the same digits.
"""
import sys
import time

import numpy

BEGIN = time.monotonic()
CHUNK = 1 << 20  # elements per step of making data: what is temporary stays small


class step:
    """Times one step."""

    def __init__(self, name):
        self.name = name

    def __enter__(self):
        self.begin = time.monotonic()

    def __exit__(self, *error):
        if error[0] is None:
            print(f"step {self.name} {time.monotonic() - self.begin:.2f}", flush=True)


def chunks(count):
    return ((i, min(i + CHUNK, count)) for i in range(0, count, CHUNK))


def matrix(mib):
    """The main job: one matrix, filled, summed, scaled, and one column of it."""
    n = int((mib * 2**20 / 8) ** 0.5)
    ramp = numpy.arange(n, dtype=numpy.float64) % 1000
    with step("fill"):
        a = numpy.empty((n, n))
        for i in range(n):
            numpy.add(ramp, i, out=a[i])
    with step("sum"):
        total = a.sum()
    with step("scale"):
        a *= 2
    with step("column"):
        column = a[:, n // 2].sum()
    return int(total), int(column), int(a[-1, -1])


def matmul(mib):
    """A tall matrix times a small one, as in a projection onto 16 directions."""
    rows = mib * 2**20 // (1040 * 8)
    a = numpy.empty((rows, 1024))
    ramp = numpy.arange(1024) % 17
    with step("fill"):
        for i in range(rows):
            numpy.add(ramp, i % 1000, out=a[i])
    b = (numpy.arange(1024 * 16) % 19).astype(numpy.float64).reshape(1024, 16)
    with step("matmul"):
        c = a @ b
    with step("check"):
        digits = int(c.sum()), int(c[rows // 3].sum()), int(c[-1, -1])
    return digits


def argsort(mib):
    """Events with their times, nearly in order, as they come out of a log: which order is right?"""
    n = mib * 2**20 // 16
    times = numpy.empty(n, dtype=numpy.int64)
    random = numpy.random.default_rng(1)
    with step("fill"):
        for i, end in chunks(n):
            times[i:end] = numpy.arange(i, end) + random.integers(0, 100_000, end - i)
    with step("argsort"):
        order = numpy.argsort(times, kind="stable")
    with step("check"):
        digits = hash_of(order, n)
        for i, end in chunks(n - 1):
            taken = times[order[i:end + 1]]
            if (taken[1:] < taken[:-1]).any():
                sys.exit("argsort: not in order")
    return digits


def hash_of(array, n):
    """A sum in which every place counts, modulo 2**64."""
    total = 0
    for i, end in chunks(n):
        weights = numpy.arange(2 * i + 1, 2 * end + 1, 2, dtype=numpy.uint64)
        total += int((array[i:end].astype(numpy.uint64) * weights).sum(dtype=numpy.uint64))
    return (total % 2**64,)


def fancy(mib):
    """Single elements, and whole rows, picked at random by their numbers."""
    rows = mib * 2**20 // 65536
    a = numpy.empty((rows, 8192))
    with step("fill"):
        for i in range(rows):
            a[i] = numpy.arange(i, i + 8192)
    random = numpy.random.default_rng(2)
    flat = a.reshape(-1)
    with step("elements"):
        elements = int(flat[random.integers(0, flat.size, mib * 50)].sum())
    with step("rows"):
        picked = 0
        for _ in range(max(1, rows // 64)):
            picked += int(a[random.integers(0, rows, 64)].sum())
    return elements, picked


def groupby(mib):
    """A pandas table of a key and a value, grouped by the key."""
    import pandas

    n = mib * 2**20 // 16
    key, value = numpy.empty(n, dtype=numpy.int64), numpy.empty(n, dtype=numpy.int64)
    random = numpy.random.default_rng(3)
    with step("fill"):
        for i, end in chunks(n):
            key[i:end] = random.integers(0, 1000, end - i)
            value[i:end] = numpy.arange(i, end) % 977
    table = pandas.DataFrame({"key": key, "value": value}, copy=False)
    with step("groupby"):
        result = table.groupby("key")["value"].agg(["sum", "max"])
    return int(result["sum"].sum()), int(result["sum"].iloc[7]), int(result["max"].sum()), len(result)


def peak_mib():
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmHWM"):
                return int(line.split()[1]) // 1024
    return 0


JOBS = {f.__name__: f for f in (matrix, matmul, argsort, fancy, groupby)}
if len(sys.argv) != 3 or sys.argv[1] not in JOBS or not sys.argv[2].isdigit():
    sys.exit(f"usage: job.py {'|'.join(JOBS)} MIB")
result = JOBS[sys.argv[1]](int(sys.argv[2]))
print(f"total {time.monotonic() - BEGIN:.2f}")
print(f"peak {peak_mib()}")
print("digits", *result)
