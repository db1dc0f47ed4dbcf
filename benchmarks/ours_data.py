"""Our data path, measured in a child process."""

import json
from statistics import median

from benchmarks.processes import Process, python

MOVES = 2 + 2 * 4  # for each byte of an image: it is read and written once, and so is the float32 that it becomes


def data_path(**request: object) -> Process:
    """Measure as `data_path.Request` says."""
    return python("-m", "benchmarks.data_path", json.dumps(request))


def figure(runs: list[Process], name: str) -> float:
    """Read the median of a figure that children printed."""
    return median(float(json.loads(run.output.splitlines()[-1])[name]) for run in runs)


def peak_mib(runs: list[Process]) -> float:
    """Take the median of the peak memory, MiB."""
    return median(run.peak_bytes for run in runs) / 2**20
