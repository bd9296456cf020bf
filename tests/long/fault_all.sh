#!/usr/bin/env bash
# timeout: 2700
# Fault injection at every point: tests/unit_fault.c with an errno of each system call at every place where the library
# makes it, with each at every third, and for good at every fifth. The quick suite runs a sample of this. For good at every point, too, and
# more in the other setups: FAULT=all make test-long ONLY=fault_all
# shellcheck source=tests/lib.sh
. "$TOP/tests/lib.sh"
program=$BUILD/unit_fault_all
"$CC" -std=gnu11 -O1 -g -fno-builtin -I"$TOP" -I"$TOP/tests" -pthread -DBIGMAAC_PREFIX -Wno-unused-result \
    -o "$program" "$TOP/tests/unit_fault.c" -lm -ldl || fail "compile"
"$program" "${FAULT:-most}" || fail "see above"
