#!/usr/bin/env bash
# The paging benchmark: each access pattern on data larger than the memory limit, with kernel
# swap and with each of BigMaac's paging policies, on the same disk.
#
#     bash bench/paging.sh [cloud | slow]
#
# With cloud the disk does 3,000 requests and 125 MB a second, as a common cloud volume; with slow 500 and 60 MB.
# From the environment:
#     LIMIT_MIB=512                 the limit; the data is 2.5 times that
#     SECONDS_EACH=6                per run; `phases` runs three times as long
#     PATTERNS="seqread seqrmw rand8r rand8w rand64k stride16k zipf two phases" (or rand256k)
#     POLICIES="swap sequential normal random adaptive"
#     READAHEADS="128 8192"         the disk's read_ahead_kb
#     REPEATS=1                     the median counts
#     BLOCKS=0                      data in mallocs of so many bytes: fries
#     BENCH_TMP=/var/tmp            where swap files go
#
# Rows go to build/bench/paging.tsv (paging-cloud.tsv; BLOCKS: paging-BLOCKS.tsv); see bench/plot.py.
. "$(dirname "$0")/limits.sh"
. "$(dirname "$0")/common.sh"
LIMIT_MIB=${LIMIT_MIB:-512} SECONDS_EACH=${SECONDS_EACH:-6} REPEATS=${REPEATS:-1}
PATTERNS=${PATTERNS:-seqread seqrmw rand8r rand8w rand64k stride16k zipf two phases}
POLICIES=${POLICIES:-swap sequential normal random adaptive}
READAHEADS=${READAHEADS:-128 8192} BLOCKS=${BLOCKS:-0}
DATA_MIB=$((LIMIT_MIB * 5 / 2))
case ${1:-} in
    "") ;;
    cloud) THROTTLE="3000 125" ;;
    slow) THROTTLE="500 60" ;;
    *) die "which disk is \"$1\"?" ;;
esac
NAME=paging${1:+-$1}
[ "$BLOCKS" = 0 ] || NAME=$NAME-$BLOCKS
TSV=$BUILD/$NAME.tsv
PROGRAM=$BUILD/paging
failures=0

${CC:-cc} -std=gnu11 -O3 -Wall -Wextra -pthread -o "$PROGRAM" "$TOP/bench/paging.c" -lm ||
    die "can't compile paging.c"

# One line of the program -> a row for each result; `phases` comes round more than once: the mean.
rows() { # READAHEAD POLICY REPEAT
    awk -v readahead="$1" -v policy="$2" -v repeat="$3" '
    {
        for (i = 1; i <= NF; i++) { split($i, pair, "="); field[pair[1]] = pair[2] }
        count = split(field["results"], results, ",")
        for (i = 1; i <= count; i++) {
            split(results[i], part, ":")
            name = part[1]
            if (!(name in times)) order[++names] = name
            times[name]++; unit[name] = part[2]
            rate[name] += part[3]; final[name] += part[4]; settle[name] += part[5]
        }
        for (i = 1; i <= names; i++) {
            name = order[i]
            shown = name == field["pattern"] ? name : field["pattern"] "." name
            printf "%s\t%s\t%s\t%s\t%s\t%.6g\t%.6g\t%.0f\t%s\t%s\t%.1f\n", readahead, policy,
                shown, repeat, unit[name], rate[name] / times[name], final[name] / times[name],
                settle[name] / times[name], field["fill_gb"], field["majflt"],
                field["read_bytes"] / 1048576
        }
    }'
}

run() { # READAHEAD POLICY PATTERN REPEAT
    local seconds=$SECONDS_EACH line status way=(bigmaac)
    [ "$3" = phases ] && seconds=$((SECONDS_EACH * 3 > 9 ? SECONDS_EACH * 3 : 9))
    local command=("$PROGRAM" "$3" "$DATA_MIB" "$seconds" "$4")
    [ "$BLOCKS" = 0 ] || command+=(--blocks "$BLOCKS")
    drop_caches
    if [ "$2" = swap ]; then
        way=(plain "$LIMIT_MIB")
    else
        way=(bigmaac "$LIMIT_MIB" BIGMAAC_PAGING="$2" BIGMAAC_MIN_FRY_SIZE=0)
        [ "$BLOCKS" = 0 ] || way=("${way[@]:0:3}" BIGMAAC_MIN_FRY_SIZE=128)
    fi
    "${way[@]}" timeout 600 "${command[@]}" >"$WORK/line" 2>"$WORK/err"
    status=$?
    line=$(cat "$WORK/line")
    if [ $status != 0 ] || [ -z "$line" ]; then
        failures=$((failures + 1))
        echo "FAILED: $3 with $2, readahead $1: exit status $status: $(tail -n 2 "$WORK/err") $line"
        return
    fi
    rows "$1" "$2" "$4" <<<"$line" | tee -a "$TSV" |
        awk -F '\t' '{ printf "  %-15s %-11s %12.1f %-6s settled after %5d ms  fill %.2f GB/s  %d major faults, %.0f MiB read\n",
            $3, $2, $6, $5, $8, $9, $10, $11 }'
}

# What the disk itself can do, by dd past the page cache, on a file of real data.
disk() { # READAHEAD REPEAT
    local begin end
    if [ ! -e "$WORK/disk" ]; then
        dd if=/dev/urandom of="$WORK/disk" bs=8M count=$(((DATA_MIB + 7) / 8)) conv=fsync status=none ||
            die "no room for $DATA_MIB MiB in $WORK"
    fi
    drop_caches
    begin=$(date +%s%N)
    dd if="$WORK/disk" of=/dev/null iflag=direct bs=8M status=none || { echo "dd: no direct reads"; return; }
    end=$(date +%s%N)
    printf '%s\tdd\tseqread\t%s\tMB/s\t%s\t\t\t\t\t\n' "$1" "$2" \
        "$(awk "BEGIN { print $(stat -c %s "$WORK/disk") * 1000 / ($end - $begin) }")" | tee -a "$TSV" |
        awk -F '\t' '{ printf "  %-15s %-11s %12.1f %-6s\n", $3, $2, $6, $5 }'
}

# A pattern with parts (two, phases) counts as the geometric mean of its parts' rates; so the
# ratio of two policies is the geometric mean of the parts' ratios.
table() { # READAHEAD
    awk -F '\t' -v readahead="$1" -v patterns="$PATTERNS" -v policies="$POLICIES" -v scores="$WORK/scores" '
    function median(key,   n, i, j, t, v) {
        n = split(values[key], v, " ")
        for (i = 2; i <= n; i++)
            for (j = i; j > 1 && v[j - 1] + 0 > v[j] + 0; j--) { t = v[j]; v[j] = v[j - 1]; v[j - 1] = t }
        return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
    }
    function score(pattern, policy,   i, n, sum, value) {
        for (i = 1; i <= parts[pattern]; i++) {
            if (!((part[pattern, i], policy) in values)) return 0
            value = median(part[pattern, i] SUBSEP policy)
            if (value <= 0) return 0
            sum += log(value); n++
        }
        return n ? exp(sum / n) : 0
    }
    function shown(value) { return value > 0 ? sprintf(value < 10 ? "%.2f" : "%.0f", value) : "-" }
    function ratio(a, b) { return a > 0 && b > 0 ? a / b : 0 }
    function add(what, value) { if (value > 0) { total[what] += log(value); number[what]++ } }
    function mean(what) { return number[what] ? exp(total[what] / number[what]) : 0 }
    $1 == readahead {
        split($3, name, ".")
        if (!($3 in known)) { known[$3] = 1; part[name[1], ++parts[name[1]]] = $3 }
        values[$3, $2] = values[$3, $2] " " $6
        settle[$3, $2] = settle[$3, $2] " " $8
    }
    END {
        count = split(policies, policy, " ")
        printf "\nread_ahead_kb=%s; streams in MB/s, the rest in operations/s\n%-11s", readahead, "pattern"
        for (i = 1; i <= count; i++) printf " %11s", policy[i]
        printf "  adaptive/best fixed     adaptive/swap   best fixed/swap\n"
        rows = split(patterns, pattern, " ")
        for (r = 1; r <= rows; r++) {
            p = pattern[r]; best = 0; which = "-"
            printf "%-11s", p
            for (i = 1; i <= count; i++) {
                s[policy[i]] = score(p, policy[i])
                printf " %11s", shown(s[policy[i]])
                if (policy[i] != "swap" && policy[i] != "adaptive" && s[policy[i]] > best) {
                    best = s[policy[i]]; which = policy[i]
                }
            }
            fixed = ratio(s["adaptive"], best); swap = ratio(s["adaptive"], s["swap"]); possible = ratio(best, s["swap"])
            print p "\t" s["adaptive"] "\t" s["swap"] >scores
            add("fixed", fixed); add("swap", swap); add("possible", possible)
            printf "  %6s (%-10s) %17s %17s\n", shown(fixed), which, shown(swap), shown(possible)
        }
        printf "%-11s", "geo. mean"
        for (i = 1; i <= count; i++) printf " %11s", ""
        printf "  %6s %-12s %17s %17s\n", shown(mean("fixed")), "", shown(mean("swap")), shown(mean("possible"))
        if (("seqread", "dd") in values) {
            disk = median("seqread" SUBSEP "dd")
            printf "sequential read against dd iflag=direct bs=8M (%.0f MB/s):", disk
            for (i = 1; i <= count; i++)
                if (("seqread", policy[i]) in values)
                    printf " %s %.2f", policy[i], median("seqread" SUBSEP policy[i]) / disk
            printf "\n"
        }
        for (r = 1; r <= rows; r++)
            for (i = 1; i <= parts[pattern[r]]; i++) {
                key = part[pattern[r], i] SUBSEP "adaptive"
                if (key in settle) {
                    values["settle", key] = settle[key]
                    line = line sprintf(" %s %.0f", part[pattern[r], i], median("settle" SUBSEP key))
                }
            }
        if (line) printf "adaptive settled after (ms):%s\n", line
    }' "$TSV"
}

machine
echo "limit $LIMIT_MIB MiB, data $DATA_MIB MiB, $SECONDS_EACH s each, $REPEATS times$(
    [ "$BLOCKS" = 0 ] || echo ", in blocks of $BLOCKS bytes"
    [ -z "$THROTTLE" ] || echo ", the disk throttled to ${THROTTLE% *} requests and ${THROTTLE#* } MB a second")"
printf 'readahead\tpolicy\tpattern\trepeat\tunit\trate\tfinal\tsettle_ms\tfill_gb\tmajflt\tread_mib\n' >"$TSV"
for kib in $READAHEADS; do
    readahead "$kib"
    for ((repeat = 1; repeat <= REPEATS; repeat++)); do
        case "$THROTTLE- $PATTERNS " in "- seqread "* | "- "*" seqread "*) disk "$kib" "$repeat" ;; esac
        for pattern in $PATTERNS; do
            for policy in $POLICIES; do
                run "$kib" "$policy" "$pattern" "$repeat"
            done
        done
    done
done
for kib in $READAHEADS; do
    table "$kib"
    while IFS=$'\t' read -r pattern adaptive swap; do
        result "$NAME $pattern, readahead $kib KiB" /s "$adaptive" "$swap"
    done <"$WORK/scores"
done
echo "rows: $TSV"
[ "$BLOCKS" != 0 ] || "$PYTHON" "$TOP/bench/plot.py" "$TSV" "$BUILD/$NAME.svg" && echo "plot: $BUILD/$NAME.svg"
[ $failures = 0 ]
