"""Memory that does not suffice."""

import ctypes
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # of glibc's malloc.h
REUSED = (2**30, 2**25)  # bytes of the largest block that is reused; glibc before 2.35 takes the second at most
MESSAGES = ("out of memory", "can't allocate memory", "bad_alloc", "unable to allocate")  # CUDA, MPS; CPU; C++; numpy


def out_of_memory(error: BaseException) -> bool:
    """Tell whether there was not enough memory, of whichever device."""
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"  # of torch
    return named or any(message in str(error).lower() for message in MESSAGES)


def advice(size: int, fitting: int) -> str:
    """Say which batch size fits where another has not; 0 is none."""
    if not fitting:
        return "out of memory even with a batch of one image: use a smaller model"
    return f"out of memory with batches of {size} images, but not with {fitting}: --data.batch_size {fitting}"


@contextmanager
def only_what_is_there() -> Iterator[None]:
    """Have Linux refuse memory that it does not have; it would promise it, and kill the process that uses it."""
    try:
        import resource  # noqa: PLC0415  # not on Windows

        limit, (soft, hard) = _available(), resource.getrlimit(resource.RLIMIT_DATA)
    except (ImportError, OSError):
        yield
        return
    resource.setrlimit(resource.RLIMIT_DATA, (limit if soft < 0 else min(limit, soft), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _available() -> int:
    """Add up the bytes that this process has and those that it could get, also within a container's limit."""
    free = [_bytes("/proc/meminfo", r"MemAvailable:\s+(\d+) kB") * 1024]
    group = Path("/sys/fs/cgroup")
    if (group / "memory.max").is_file() and (group / "memory.max").read_text().strip() != "max":
        free.append(_bytes(group / "memory.max", r"(\d+)") - _bytes(group / "memory.current", r"(\d+)"))
    return _bytes("/proc/self/status", r"VmData:\s+(\d+) kB") * 1024 + max(min(free), 0)


def _bytes(path: str | Path, pattern: str) -> int:
    found = re.search(pattern, Path(path).read_text())
    return int(found[1]) if found else 0


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
