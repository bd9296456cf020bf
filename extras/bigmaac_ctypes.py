#!/usr/bin/env python3
"""bigmaac_ctypes - asks BigMaac about this process from Python, through ctypes.

    bigmaac python3 bigmaac_ctypes.py     under the library
    python3 bigmaac_ctypes.py             without: every call says so, nothing breaks

See bigmaac.h for the meaning of each value. SPDX-License-Identifier: MIT
"""
import ctypes
import errno
import os

NONE, BIGMAAC, FRY = range(3)
ADAPTIVE, SEQUENTIAL, RANDOM, KEEP, OPT_OUT = range(5)


class Stats(ctypes.Structure):
    """struct bigmaac_stats: size, then counters; bytes unless the name says otherwise."""
    _fields_ = [("size", ctypes.c_size_t)] + [
        (name, ctypes.c_uint64)
        for name in ("bigmaacs", "bigmaac_bytes", "bigmaac_peak", "fries", "fry_bytes", "fry_peak",
                     "files", "file_bytes", "file_peak", "warm_bytes", "fell_through")]

    def as_dict(self):
        return {name: getattr(self, name) for name, _ in self._fields_[1:]}


def _function(name, *arguments):
    """A function of the preloaded library, or None: CDLL(None) is what the process has loaded."""
    function = getattr(ctypes.CDLL(None), name, None)
    if function is not None:
        function.argtypes, function.restype = arguments, ctypes.c_int
    return function


_kind = _function("bigmaac_kind", ctypes.c_void_p)
_stats = _function("bigmaac_stats", ctypes.POINTER(Stats))
_advise = _function("bigmaac_advise", ctypes.c_void_p, ctypes.c_int)


def loaded():
    return _kind is not None


def kind(address):
    """NONE, BIGMAAC or FRY, for any address; an array's is array.ctypes.data in numpy."""
    return _kind(address) if _kind else NONE


def stats():
    """The library's counters now, as a dict; None without the library."""
    if not _stats:
        return None
    out = Stats(size=ctypes.sizeof(Stats))
    _check(_stats(ctypes.byref(out)))
    return out.as_dict()


def advise(address, advice):
    """Advice for the bigmaac that starts at address. Raises OSError; ENOSYS without the library."""
    _check(_advise(address, advice) if _advise else errno.ENOSYS)


def _check(error):
    if error:
        raise OSError(error, os.strerror(error))


def example():
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    block = libc.malloc(64 << 20)
    print("library loaded:", "yes" if loaded() else "no (run me with: bigmaac python3 ...)")
    print("64 MiB block:  ", ("none of ours", "bigmaac", "fry")[kind(block)])
    try:
        advise(block, RANDOM)
        print("advice random: ", "taken")
    except OSError as error:
        print("advice random: ", error.strerror)
    for name, value in (stats() or {}).items():
        print(f"{name:15}{value}")
    libc.free(block)


if __name__ == "__main__":
    example()
