"""bigmaac - selective user-space swap: programs on data larger than their memory.

    bigmaac python job.py          the launcher, as in every other installation of it
    python -m bigmaac job.py       the same with this Python
    bigmaac.lib()                  the library's path, for LD_PRELOAD

and, inside a program that runs under it, what bigmaac.h offers (through ctypes):

    bigmaac.loaded()               is it preloaded here?
    bigmaac.kind(address)          NONE, BIGMAAC or FRY; an array's address is array.ctypes.data
    bigmaac.stats()                the counters, as a dict; None without the library
    bigmaac.advise(address, RANDOM)

See bigmaac.h for the meaning of each value. SPDX-License-Identifier: MIT
"""
import ctypes
import errno
import os
import signal
import sys

__version__ = "0"  # make-wheel fills in the Makefile's

NONE, BIGMAAC, FRY = range(3)
ADAPTIVE, SEQUENTIAL, RANDOM, KEEP, OPT_OUT = range(5)

_here = os.path.dirname(os.path.abspath(__file__))


def lib():
    """The path of the library, for LD_PRELOAD in the environment of a new process."""
    return _part("bigmaac.so")


def include():
    """The folder of bigmaac.h, for -I."""
    return os.path.dirname(_part("bigmaac.h"))


def _part(name):
    path = os.path.join(_here, name)
    if not os.path.exists(path):
        raise FileNotFoundError(errno.ENOENT, "not an installed wheel (make wheel builds one)", path)
    return path


def launch(arguments):
    """Replaces this process by the launcher, with the signals that Python ignores as it found them."""
    for name in ("SIGPIPE", "SIGXFSZ"):
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    if arguments and arguments[-1] == "--jupyter":
        arguments = [*arguments, sys.executable]  # the kernel is for the Python that has this package
    os.execv("/bin/sh", ["sh", _part("launcher"), *arguments])


def main():
    """The command `bigmaac`."""
    try:
        launch(sys.argv[1:])
    except OSError as error:
        sys.exit(f"bigmaac: {error}")


class Stats(ctypes.Structure):
    """struct bigmaac_stats: size, then counters; bytes unless the name says otherwise."""
    _fields_ = [("size", ctypes.c_size_t)] + [
        (name, ctypes.c_uint64)
        for name in ("bigmaacs", "bigmaac_bytes", "bigmaac_peak", "fries", "fry_bytes", "fry_peak",
                     "files", "file_bytes", "file_peak", "warm_bytes", "fell_through",
                     "maps", "map_bytes", "map_peak", "map_moved", "map_home", "map_cold")]

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
