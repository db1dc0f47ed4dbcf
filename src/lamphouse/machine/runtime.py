"""What makes this machine fast, applied once, before the work."""

import ctypes
import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # of glibc's malloc.h
REUSED = (2**30, 2**25)  # bytes of the largest block that is reused; glibc before 2.35 takes the second at most


def prepare() -> None:
    """Set what has to be set before torch is loaded; what the user has set in the environment stays."""
    if "OMP_WAIT_POLICY" not in os.environ:
        # waiting threads sleep, so that they leave the cores to others, but not before they have looked for some
        # microseconds whether the next operation comes: small ones take twice the time if threads have to be woken up
        os.environ["OMP_WAIT_POLICY"] = "passive"
        os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    gc.set_threshold(100_000, 20, 100)  # options and hooks make many objects and little garbage


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
    """Have glibc keep freed tensors; it would return each large one to the system, only to fault it in again.

    From then on it does not adapt itself any more. Another C library has no such options, and is left alone.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    any(mallopt(M_MMAP_THRESHOLD, size) for size in REUSED)
    mallopt(M_TRIM_THRESHOLD, 2**31 - 1)  # give nothing back to the system
    mallopt(M_TOP_PAD, 2**26)  # ask it for 64 MiB at least
