#!/usr/bin/env bash
# bench/run.sh [PATTERN] - runs the benchmarks, or those whose name contains PATTERN.
#
# A benchmark is one script here; what others source is none. It prints rows: name, unit, value,
# what the value is compared with, their ratio, the target, ok or MISSED. A missed target is
# told, not an error: figures depend on the machine. Exit status 77: can't run on this machine.
# What was measured goes to build/bench/results as well, one line each, also from a script that is run by itself;
# bench/table.py prints README's tables of it.
cd "$(dirname "$0")/.." || exit 2
. bench/common.sh
only=${1:-} broken=0
log=build/bench/run.log
echo "machine: $MACHINE"
: >"$log"
for script in bench/*.sh; do
    name=${script#bench/}
    case $name in run.sh | demo.sh | common.sh | limits.sh) continue ;; esac
    case $name in *"$only"*) ;; *) continue ;; esac
    echo "--- $name"
    bash "$script" 2>&1 | tee -a "$log"
    status=${PIPESTATUS[0]}
    [ "$status" = 0 ] && continue
    if [ "$status" = 77 ]; then echo "skipped"; else echo "BROKEN: exit status $status"; broken=$((broken + 1)); fi
done
echo "targets: $(grep -c ' ok$' "$log") met, $(grep -c ' MISSED' "$log") missed; $broken benchmarks broken"
echo "README's tables of what was measured: bench/table.py"
[ "$broken" = 0 ]
