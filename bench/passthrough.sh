#!/usr/bin/env bash
# Instructions that the library adds to a malloc + free pair that it passes through, beyond what
# any preloaded library must: counted by callgrind, against a shim that only jumps.
. "$(dirname "$0")/common.sh"
command -v valgrind >/dev/null || { echo "needs valgrind"; exit 77; }
compile pair -fno-builtin
compile shim -shared -fPIC -fvisibility=hidden -Wl,-z,now
cp "$BUILD/shim" "$BUILD/shim.so"

instructions() { # LIBRARY PAIRS
    LD_PRELOAD=$1 valgrind --tool=callgrind --callgrind-out-file=/dev/null "$BUILD/pair" "$2" 2>&1 |
        sed -n 's/.*Collected : //p'
}
# Two counts, so that what start-up costs cancels.
per_pair() { # LIBRARY
    local few many
    few=$(instructions "$1" 1000) many=$(instructions "$1" 101000)
    awk -v few="$few" -v many="$many" 'BEGIN { if (few && many) printf "%.2f", (many - few) / 100000 }'
}

row_head
row "malloc + free of 100 B, passed through" instr "$(per_pair "$LIB")" "$(per_pair "$BUILD/shim.so")" "-<=8"
