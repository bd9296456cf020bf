#!/usr/bin/env python3
"""Draws build/bench/paging.tsv: BigMaac's adaptive paging against kernel swap, per pattern.

    plot.py [TSV [SVG]]       default: build/bench/paging.tsv, build/bench/paging.svg
"""
import math
import os
import statistics
import sys
from xml.sax.saxutils import escape

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
COLOURS = ["#2a6fbb", "#d9822b", "#4c9f70", "#8a5a9e"]
LEFT, TOP_SPACE, PLOT_HEIGHT, GROUP_WIDTH = 70, 60, 300, 90


def read_ratios(path):
    """{readahead: {pattern: adaptive/swap}}; several runs: the median; parts: geometric mean."""
    rates = {}
    with open(path) as table:
        columns = table.readline().rstrip("\n").split("\t")
        for line in table:
            row = dict(zip(columns, line.rstrip("\n").split("\t")))
            key = row["readahead"], row["policy"], row["pattern"]
            rates.setdefault(key, []).append(float(row["rate"]))
    logs = {}
    for (readahead, policy, name), values in rates.items():
        swap = rates.get((readahead, "swap", name))
        adaptive, swapped = statistics.median(values), statistics.median(swap or [0])
        if policy == "adaptive" and adaptive > 0 and swapped > 0:
            pattern = name.split(".")[0]
            logs.setdefault(readahead, {}).setdefault(pattern, []).append(math.log(adaptive / swapped))
    return {readahead: {pattern: math.exp(statistics.mean(values)) for pattern, values in some.items()}
            for readahead, some in logs.items()}


def text(x, y, words, more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{escape(words)}</text>'


def draw(ratios):
    readaheads = sorted(ratios, key=int)
    patterns = list(dict.fromkeys(p for r in readaheads for p in ratios[r]))
    every = [value for some in ratios.values() for value in some.values()]
    low = min(math.floor(math.log10(min(every))), -1)
    high = max(math.ceil(math.log10(max(every))), 1)

    def y_of(value):
        return TOP_SPACE + PLOT_HEIGHT * (high - math.log10(value)) / (high - low)

    width, bottom = LEFT + GROUP_WIDTH * len(patterns) + 20, TOP_SPACE + PLOT_HEIGHT
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{bottom + 50}" '
           f'viewBox="0 0 {width} {bottom + 50}" font-family="sans-serif" font-size="12">',
           f'<rect width="{width}" height="{bottom + 50}" fill="white"/>',
           text(LEFT, 22, "Paging: BigMaac (adaptive) against kernel swap", 'font-size="15"')]
    for power in range(low, high + 1):
        y, one = y_of(10.0 ** power), power == 0
        out.append(f'<line x1="{LEFT}" x2="{width - 20}" y1="{y:.1f}" y2="{y:.1f}" '
                   f'stroke="{"#333" if one else "#ddd"}"/>')
        out.append(text(LEFT - 8, y + 4, f"{10.0 ** power:g}x", 'text-anchor="end"'))
    bar = (GROUP_WIDTH - 20) / len(readaheads)
    for n, readahead in enumerate(readaheads):
        colour = COLOURS[n % len(COLOURS)]
        x = LEFT + n * 190
        out.append(f'<rect x="{x}" y="34" width="12" height="12" fill="{colour}"/>')
        out.append(text(x + 18, 44, f"disk's read_ahead_kb {readahead}"))
        for p, pattern in enumerate(patterns):
            value = ratios[readahead].get(pattern)
            if value is None:
                continue
            x, y, zero = LEFT + p * GROUP_WIDTH + 10 + n * bar, y_of(value), y_of(1)
            out.append(f'<rect x="{x:.1f}" y="{min(y, zero):.1f}" width="{bar - 3:.1f}" '
                       f'height="{max(abs(zero - y), 1):.1f}" fill="{colour}"/>')
            out.append(text(x + (bar - 3) / 2, y - 4 if value >= 1 else y + 13, f"{value:.2g}",
                            'text-anchor="middle" font-size="10"'))
    for p, pattern in enumerate(patterns):
        out.append(text(LEFT + (p + 0.5) * GROUP_WIDTH, bottom + 20, pattern, 'text-anchor="middle"'))
    out.append(text(LEFT, bottom + 42, "higher is better; logarithmic", 'fill="#666"'))
    return "\n".join(out + ["</svg>"]) + "\n"


if len(sys.argv) > 3:
    sys.exit("usage: plot.py [TSV [SVG]]")
source = sys.argv[1] if len(sys.argv) > 1 else os.path.join(TOP, "build/bench/paging.tsv")
target = sys.argv[2] if len(sys.argv) > 2 else os.path.splitext(source)[0] + ".svg"
found = read_ratios(source)
if not found:
    sys.exit(f"{source}: no pattern has both swap and adaptive")
with open(target, "w") as svg:
    svg.write(draw(found))
print(target)
