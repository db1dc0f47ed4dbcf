"""The machine and the versions that were measured."""

import os
import platform
import re
from collections.abc import Iterator
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("torch", "torchvision", "lightning", "numpy")


def describe() -> Iterator[str]:
    """Describe machine and versions, line by line; the rates name the accelerator."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    yield f"{date.today()}  {processor()}, {cores()} cores, {memory:.1f} GiB, {platform.platform()}"
    yield ", ".join([f"Python {platform.python_version()}", *(f"{name} {installed(name)}" for name in PACKAGES)])


def processor() -> str:
    """Return the name of the processor, with its matrix units."""
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    name = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    units = [unit for unit in ("avx512_bf16", "amx_bf16") if unit in text]
    return " ".join([name[1] if name else platform.machine(), *units])


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def installed(package: str) -> str:
    """Return the version of a package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"
