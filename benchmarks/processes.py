"""Child processes, measured from start to exit.

This process itself does not import torch, because the peak memory of a child starts with that of its parent.
"""

import csv
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from time import perf_counter

ROOT = Path(__file__).parents[1]
UNIT = 1 if sys.platform == "darwin" else 1024  # bytes; the unit in which the system counts memory
FOR_OURS = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "PYTHONDONTWRITEBYTECODE")  # the last: libraries are compiled already


@dataclass(frozen=True)
class Process:
    """Time, memory and output of a process.

    Args:
        seconds: from start to exit.
        peak_bytes: peak memory, libraries included.
        output: what it printed.
        metrics: rows of metrics.csv, if it created a run.
        cpu_seconds: of all its threads, which other processes hardly affect.
        steps: rows of steps.csv.
    """

    seconds: float
    peak_bytes: int
    output: str
    metrics: Sequence[Mapping[str, str]]
    cpu_seconds: float = 0.0
    steps: Sequence[Mapping[str, str]] = ()


def python(*args: object) -> Process:
    """Run Python in an empty directory, on a terminal.

    Raises:
        RuntimeError: its exit status is not 0.
    """
    with TemporaryDirectory() as folder:
        terminal, end = pty.openpty()
        start = perf_counter()
        child = subprocess.Popen(
            [sys.executable, *map(str, args)], cwd=folder, env=environment(), stdin=end, stdout=end, stderr=end
        )
        os.close(end)
        output: list[bytes] = []
        reader = Thread(target=read, args=(terminal, output))
        reader.start()
        _, status, usage = os.wait4(child.pid, 0)
        seconds = perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        reader.join()
        text = b"".join(output).decode(errors="replace").replace("\r\n", "\n")
        if child.returncode:
            raise RuntimeError(f"{' '.join(map(str, args))} ended with status {child.returncode}:\n{text}")
        metrics, steps = (read_table(Path(folder), name) for name in ("metrics.csv", "steps.csv"))
        return Process(seconds, usage.ru_maxrss * UNIT, text, metrics, usage.ru_utime + usage.ru_stime, steps)


def environment() -> dict[str, str]:
    """Copy the environment without variables that only ours is affected by."""
    kept = {name: value for name, value in os.environ.items() if name not in FOR_OURS}
    return kept | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]), "TERM": "xterm", "COLUMNS": "100"}


def read(terminal: int, output: list[bytes]) -> None:
    """Read from a terminal until its other end is closed."""
    with suppress(OSError):  # raised by Linux at the end
        while data := os.read(terminal, 65536):
            output.append(data)
    os.close(terminal)


def read_table(folder: Path, name: str) -> list[dict[str, str]]:
    """Read a table of the run in a directory, ours or Lightning's."""
    for path in (*folder.glob(f"runs/*/*/{name}"), *folder.glob(f"lightning_logs/*/{name}")):
        with path.open(newline="") as file:
            return list(csv.DictReader(file))
    return []


def interleaved(repeats: int, **kinds: Callable[[], Process]) -> dict[str, list[Process]]:
    """Run the kinds in turn, so that other load on the machine affects all of them."""
    runs: dict[str, list[Process]] = {kind: [] for kind in kinds}
    for _ in range(repeats):
        for kind, run in kinds.items():
            runs[kind].append(run())
    return runs
