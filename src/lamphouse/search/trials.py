"""Trials: whole processes of a program, each with a directory of its own, that outlive the process that began them."""

import csv
import fcntl
import math
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lamphouse.checkpoints.signals import StopSignals
from lamphouse.errors import InputError

METRICS = "metrics.csv"
POLL = 0.2  # seconds
LONGEST_LINE = 450  # characters

# makes the command of a trial from its directory and the values of its options: a new one, one that goes on with what
# the directory holds, or None where that is complete
Command = Callable[[Path, Mapping[str, Any]], Sequence[str] | None]


class TrialProcess:
    """A trial that this search runs, or that a search which was killed left running.

    Attributes:
        status: the exit status, once the process has ended.
    """

    def __init__(self, directory: Path, command: Callable[[], Sequence[str] | None]) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory, self.command = directory, command
        self.trial: Any = None  # Optuna's
        self.reported: set[int] = set()  # epochs
        self.process: subprocess.Popen[bytes] | None = None
        self.status: int | None = None
        self.pruned = False
        self.owner = (directory / ".owner").open("a")  # locked by the search that runs the trial
        self.owned = _locked(self.owner.fileno())
        # locked by the search and, for it inherits what is open, by the process, too, until it ends
        self.errors = (directory / "stderr.txt").open("ab")

    def poll(self) -> bool:
        """Start the process, once one that another search left is gone; return whether it has ended."""
        if self.process is None and self.status is None and _locked(self.errors.fileno()):
            self._start()
        if self.process is not None:
            self.status = self.process.poll()
        return self.status is not None

    def _start(self) -> None:
        try:
            command = self.command()
        except InputError as error:  # what the directory holds is damaged
            self.errors.write(f"{error}\n".encode())
            self.errors.flush()
            self.status = 2
            return
        if command is None:
            self.status = 0
            return
        with (self.directory / "stdout.txt").open("ab") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=self.errors,
                start_new_session=True,  # Ctrl-C is for the search, which tells its trials
            )

    def stop(self) -> None:
        """Ask the process to stop, which saves a checkpoint first."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def new_values(self, metric: str) -> dict[int, float]:
        """Read the values of epochs that are not reported yet."""
        values = values_of(self.directory, metric)
        return {epoch: value for epoch, value in values.items() if epoch not in self.reported}

    def error(self) -> str:
        """Return the last line that the process wrote to stderr, or else its exit status."""
        lines = [
            line for line in (self.directory / "stderr.txt").read_text(errors="replace").splitlines() if line.strip()
        ]
        return lines[-1].strip()[:LONGEST_LINE] if lines else f"exit status {self.status}"

    def lack(self, metric: str) -> str:
        """Say why a process that succeeded has no value."""
        columns = ", ".join(columns_of(self.directory)) or "no metrics.csv"
        return f"no value of {metric} that is a finite number; there are: {columns}"

    def close(self) -> None:
        """Give the trial up; a process that still runs keeps its own lock."""
        self.owner.close()
        self.errors.close()


def run_trials(
    active: list[TrialProcess],
    fill: Callable[[], bool],
    told: Callable[[TrialProcess], None],
    look: Callable[[], None] = lambda: None,
) -> None:
    """Run trials side by side until `fill` adds none to the active ones and all have ended.

    Args:
        active: trials that run; each is removed when it has ended.
        fill: adds trials, and returns whether it has.
        told: gets each trial that has ended.
        look: called between two looks at the processes.

    Raises:
        StoppedError: a signal stopped this process; the trials were stopped, too, and can go on.
    """
    with StopSignals() as signals:
        try:
            while fill() or active:
                ended = [trial for trial in active if trial.poll()]
                signals.check()
                look()
                for finished in ended:
                    told(finished)
                    active.remove(finished)
                    finished.close()
                time.sleep(0 if ended else POLL)
        finally:
            for running in active:
                running.stop()
            for running in active:
                if running.process is not None:
                    running.process.wait()
                running.close()


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def newest_table(directory: Path) -> Path | None:
    """Find the table of metrics that was written last below a directory."""
    return max(directory.rglob(METRICS), key=lambda path: path.stat().st_mtime_ns, default=None)


def values_of(directory: Path, metric: str) -> dict[int, float]:
    """Read a metric by epoch from the newest metrics.csv; rows that lack it, or are not yet whole, are left out."""
    path = newest_table(directory)
    if path is None:
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    values = {}
    for row in csv.DictReader(line for line in lines if line.endswith("\n")):
        try:
            values[int(float(row["epoch"]))] = float(row[metric])
        except (KeyError, TypeError, ValueError):
            continue
    return values


def columns_of(directory: Path) -> list[str]:
    """List the columns of the newest metrics.csv."""
    path = newest_table(directory)
    if path is None:
        return []
    with path.open(encoding="utf-8") as file:
        return next(csv.reader(file), [])


def best(values: Mapping[int, float], mode: str) -> tuple[int, float] | None:
    """Return the epoch with the best finite value, the first of equal ones, and the value."""
    finite = {epoch: value for epoch, value in values.items() if math.isfinite(value)}
    if not finite:
        return None
    epoch = (min if mode == "min" else max)(finite, key=lambda epoch: finite[epoch])
    return epoch, finite[epoch]
