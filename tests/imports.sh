#!/usr/bin/env bash
# What the library asks of libc, and of the kernel. Functions of libc's may be wrapped by other preloaded libraries that
# allocate: only those are used that can be called while no lock of ours is held. README names every system call.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
need nm
# At the start, for threads and keys of ours, at the end; a variable; and what compilers call on their own, which has no effects.
allowed="dlsym getauxval secure_getenv __register_atfork
    pthread_create pthread_attr_init pthread_attr_destroy pthread_attr_setdetachstate pthread_attr_setstacksize
    pthread_key_create pthread_key_delete pthread_setspecific dlopen dlclose dladdr environ __environ
    __curbrk exit gnu_get_libc_version __errno_location __stack_chk_fail"
for name in $(nm -D --undefined-only "$LIB" | awk '$1 == "U" { sub("@.*", "", $2); print $2 }'); do
    grep -qwF -- "$name" <<<"$allowed" || wrong="${wrong:-} $name"
done
[ -z "${wrong:-}" ] || fail "imported, and not known to be called outside of every lock:$wrong"

told=$(sed -n '/^## System calls/,/^## Kernels/p' "$TOP/README.md")
for call in $(grep -o '\bSYS_[a-z0-9_]*' "$TOP/bigmaac.c" | sed 's/SYS_//' | sort -u); do
    [ "$call" = name ] || grep -qw "$call" <<<"$told" || untold="${untold:-} $call"
done
[ -z "${untold:-}" ] || fail "README does not name the system calls${untold:-}"
