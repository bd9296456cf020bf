#!/usr/bin/env bash
# The paging engine in the simulator: what a change of it does to every pattern on every disk. Needs no privileges and
# no quiet machine; see bench/sim.c.
#
#     bash bench/sim.sh [DISK | PATTERN]...
. "$(dirname "$0")/common.sh"
[ -z "$(find "$TOP/bench" -name 'sim_*.h' -newer "$BUILD/sim" 2>/dev/null)" ] || rm -f "$BUILD/sim" # compile knows no headers
compile sim -I"$TOP" -Wno-unused-function -Wno-unused-result -Wl,--no-as-needed -lm -ldl
export BIGMAAC_RESERVE=0 # its blocks are never touched
exec "$BUILD/sim" "$@"
