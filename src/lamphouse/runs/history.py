"""What was done with a run: its history.json has an entry for `fit` and for each `resume`."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import rank_zero_only

from lamphouse.data import TensorDataModule
from lamphouse.errors import InputError
from lamphouse.files import write_whole
from lamphouse.runs.directory import Run, find_runs
from lamphouse.shards import StreamedSamples, checksum


def read_history(run: Run) -> list[dict[str, Any]]:
    """Read a run's history; a run of an earlier version has none."""
    try:
        history: list[dict[str, Any]] = json.loads(run.history.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise InputError(f"{run.history}: not readable: delete it, nothing depends on it") from error
    return history


@rank_zero_only
def begin_entry(
    run: Run,
    data: LightningDataModule,
    step: int = 0,
    changed: Mapping[str, Sequence[Any]] = {},
    job: Mapping[str, Any] = {},
) -> None:
    """Add an entry: from which step on a run is trained, on which data, in which job, and what options changed to."""
    began = f"{datetime.now():%Y-%m-%d %H:%M:%S}"
    entry = {"began": began, "from_step": step, "changed": changed, "data": identity(data), "job": job, "ended": None}
    write_whole(run.history, json.dumps([*read_history(run), entry], indent=2) + "\n")


@rank_zero_only
def end_entry(run: Run, ended: str) -> None:
    """Complete the last entry: when and why training ended."""
    complete_entry(run, ended)


def complete_entry(run: Run, ended: str) -> None:
    """Complete the last entry from any process."""
    if history := read_history(run):
        write_whole(run.history, json.dumps([*history[:-1], {**history[-1], "ended": ended}], indent=2) + "\n")


def is_open(run: Run) -> bool:
    """Return whether the last entry is not complete."""
    return any(entry["ended"] is None for entry in read_history(run)[-1:])


def has_ended(run: Run, checkpoint: Mapping[str, Any] | None) -> bool:
    """Return whether a run has done what follows training, too; its last checkpoint may have been removed since."""
    ended = [str(entry["ended"]) for entry in read_history(run)[-1:]]
    return all(text.startswith("after ") if checkpoint is None else text == checkpoint["ended"] for text in ended)


def begun_by(root: Path, job: Mapping[str, Any]) -> Run | None:
    """Find the newest run below a directory that this job has begun, if there is one."""
    with suppress(InputError):  # there is no run
        for run in reversed(find_runs(root)):
            if job.items() <= next(iter(read_history(run)), {}).get("job", {}).items():
                return run
    return None


def identity(data: LightningDataModule) -> dict[str, list[int]]:
    """Return the number of samples in each part, a checksum of their targets, and what sets a stream's own order."""
    parts = data.parts if isinstance(data, TensorDataModule) else {}
    found = {part: [len(samples), checksum(samples)] for part, samples in parts.items()}
    if isinstance(train := parts.get("train"), StreamedSamples) and not train.mixes_all:
        found["train"] += [train.chunk, train.mixed]
    return found


@rank_zero_only
def check_data(run: Run, data: LightningDataModule) -> None:
    """Raise an `InputError` if the data is not that on which the run has been trained."""
    before: dict[str, list[int]] = next((entry["data"] for entry in read_history(run)), {})
    for part, found in identity(data).items():
        if part in before and before[part] != found:
            counts = f"{before[part][0]:,} samples, and now has {found[0]:,}"
            reason = (
                f"its {part} part had {counts}"
                if before[part][0] != found[0]
                else f"its {part} targets or their order differ"
            )
            raise InputError(f"--data: {reason}: put back the data that the run began with, or start a new run")
