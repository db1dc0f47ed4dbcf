"""What makes this machine fast, applied once, before the work."""

import ctypes
import gc
import os

MALLOC_OPTIONS = {  # of glibc's malloc.h
    -1: 2**31 - 1,  # M_TRIM_THRESHOLD: give nothing back to the system
    -2: 64 * 2**20,  # M_TOP_PAD: ask it for 64 MiB at least
    -3: 2**30,  # M_MMAP_THRESHOLD: reuse blocks of up to 1 GiB
}


def prepare() -> None:
    """Set what has to be set before torch is loaded; what the user has set in the environment stays."""
    # threads that wait without spinning cost nothing when alone, and a tenth of the time on a busy machine
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    gc.set_threshold(100_000, 20, 100)  # the imports make many objects and no garbage
    keep_memory()


def keep_memory() -> None:
    """Have glibc keep freed tensors; it would return each large one to the system, only to fault it in again."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return  # another C library
    for option, value in MALLOC_OPTIONS.items():
        mallopt(option, value)
