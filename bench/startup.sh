#!/usr/bin/env bash
# What the library adds to the start of a process: /bin/true by posix_spawn, with and without.
#
#     COUNT=500 bash bench/startup.sh
. "$(dirname "$0")/common.sh"
compile spawn
compile shim -shared -fPIC -fvisibility=hidden -Wl,-z,now
cp "$BUILD/shim" "$BUILD/shim.so"
read -r without with shim <<<"$("$BUILD/spawn" "${COUNT:-500}" /bin/true "$LIB" "$BUILD/shim.so")"
row_head
row "start of /bin/true with the library" ms "$with" "$without" "-<=0.3"
row "  and with a library that only jumps" ms "$shim" "$without" -
