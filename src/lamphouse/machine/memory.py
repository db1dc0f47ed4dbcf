"""The process's memory: keep what was freed, and notice when there is not enough."""

import ctypes
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # in glibc's malloc.h
REUSED_BLOCKS = (2**30, 2**25)  # bytes of the largest; glibc before 2.35 accepts the second at most
MESSAGES = ("out of memory", "can't allocate memory", "bad_alloc", "unable to allocate")  # CUDA, MPS; CPU; C++; numpy


def out_of_memory(error: BaseException) -> bool:
    """Whether an error means that a device, whichever it is, has not enough memory."""
    is_named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"  # torch's own
    return is_named or any(message in str(error).lower() for message in MESSAGES)


def advice(size: int, fitting: int) -> str:
    """Say which batch size fits into memory when `size` does not; `fitting` is 0 if none does."""
    if not fitting:
        return "out of memory even with a batch of one image: use a smaller model"
    return f"out of memory with batches of {size} images, but not with {fitting}: --data.batch_size {fitting}"


@contextmanager
def only_available_memory() -> Iterator[None]:
    """Let allocations fail that exceed the available memory: Linux would grant them, and kill the process later."""
    if sys.platform != "linux":
        yield
        return
    import resource  # noqa: PLC0415  # not on Windows

    available, (soft, hard) = _available(), resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (available if soft < 0 else min(available, soft), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _available() -> int:
    """Sum the bytes that this process uses and those that it could get, also within a container's limit."""
    free = _bytes("/proc/meminfo", "MemAvailable")
    with suppress(OSError, ValueError):  # there is no limit
        limit, used = (
            int(Path("/sys/fs/cgroup", name).read_text("utf-8")) for name in ("memory.max", "memory.current")
        )
        free = min(free, max(limit - used, 0))
    return _bytes("/proc/self/status", "VmData") + free


def _bytes(path: str, name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+) kB", Path(path).read_text("utf-8"))
    return int(found[1]) * 1024 if found else 0


def keep_memory() -> None:
    """Make glibc keep freed tensors; by default it returns large ones to the system, which has to map them again."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # of other C libraries
        return
    for size in REUSED_BLOCKS:
        if mallopt(M_MMAP_THRESHOLD, size):
            break
    mallopt(M_TRIM_THRESHOLD, 2**31 - 1)  # return nothing to the system
    mallopt(M_TOP_PAD, 2**26)  # request at least 64 MiB at a time
