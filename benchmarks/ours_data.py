"""Our data path, measured in a child process."""

import json
from statistics import median

from benchmarks.processes import Process, python

MOVES = 2 + 2 * 4  # per byte of an image: read and written once, as uint8 and as float32


def data_path(**request: object) -> Process:
    """Measure a `data_path.Request`."""
    return python("-m", "benchmarks.data_path", json.dumps(request))


def figure(runs: list[Process], name: str) -> float:
    """Return the median of a figure that child processes printed."""
    return median(float(json.loads(run.output.splitlines()[-1])[name]) for run in runs)


def peak_mib(runs: list[Process]) -> float:
    """Return the median peak memory, MiB."""
    return median(run.peak_bytes for run in runs) / 2**20
