"""What makes this machine fast, applied once, before the work."""

import ctypes
import gc
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # of glibc's malloc.h
KEEP = {
    M_TRIM_THRESHOLD: 2**31 - 1,  # give nothing back to the system
    M_TOP_PAD: 64 * 2**20,  # ask it for 64 MiB at least
    M_MMAP_THRESHOLD: 2**30,  # reuse blocks of up to 1 GiB
}
RETURN = {M_TRIM_THRESHOLD: 2**17, M_TOP_PAD: 0, M_MMAP_THRESHOLD: 2**17}  # what glibc begins with


def prepare() -> None:
    """Set what has to be set before torch is loaded; what the user has set in the environment stays."""
    if "OMP_WAIT_POLICY" not in os.environ:
        # waiting threads sleep, so that they leave the cores to others, but not before they have looked for some
        # microseconds whether the next operation comes: small ones take twice the time if threads have to be woken up
        os.environ["OMP_WAIT_POLICY"] = "passive"
        os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    gc.set_threshold(100_000, 20, 100)  # options and hooks make many objects and little garbage
    keep_memory()


@contextmanager
def without_collector() -> Iterator[None]:
    """Keep the garbage collector from looking through what is imported, which holds no garbage."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def keep_memory() -> None:
    """Have glibc keep freed tensors; it would return each large one to the system, only to fault it in again."""
    set_malloc(KEEP)


def return_memory() -> None:
    """Have glibc return freed tensors to the system, as it does by itself."""
    set_malloc(RETURN)


def set_malloc(options: Mapping[int, int]) -> None:
    """Set options of glibc's allocator; another C library has none and is left alone."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    for option, value in options.items():
        mallopt(option, value)
