"""Compare what training loops computed, and find where they first differ."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor

from lamphouse.loops.trace import Entry, Trace, fingerprint

TIMES = {"images_per_second", "seconds"}  # columns of metrics.csv that are no result
HINTS = {  # where to look, by what differs first
    "optimizer steps": "gradient accumulation: after which batches a step is taken, the last of an epoch among them",
    "learning rate": "the schedule: stepped twice, never, or after an epoch instead of a step",
    "mode": "the mode: in evaluation mode dropout is off and BatchNorm does not update its statistics",
    "random numbers": "random numbers drawn outside of the seeded places: by a loader without a generator of its own, "
    "a callback or a validation",
    "batch": "the data: an order or an augmentation that does not follow from seed and epoch",
    "weights": "the step: zero_grad forgotten, gradients clipped before they were unscaled, the loss of accumulated "
    "batches not divided by their number",
    "loss": "the forward pass: another precision, or an algorithm that is not deterministic "
    "(--trainer.deterministic true)",
    "metrics": "the evaluation: its mode, its precision or its batches",
    "best weights": "early stopping and checkpoints: which metric, which epoch",
}


@dataclass(frozen=True)
class Outcome:
    """What one loop computed."""

    loop: str
    trace: Trace
    last: Mapping[str, Tensor]  # weights at the end
    best: Mapping[str, Tensor] = field(default_factory=dict)
    rows: Sequence[Mapping[str, Any]] = ()  # metrics of each epoch


@dataclass(frozen=True)
class Difference:
    """The first thing in which two loops differ."""

    kind: str  # one of HINTS
    what: str  # parameter or metric
    step: int | None = None  # in which it came about, counted from 0; None after training

    def __str__(self) -> str:
        return f"{self.what}, step {self.step}" if self.step is not None else self.what


def compare(first: Trace, second: Trace) -> Difference | None:
    """Find the first difference between two loops after their training, or None where every bit is the same."""
    return first_difference(*(Outcome("", trace, trace.model.state_dict()) for trace in (first, second)))


def first_difference(reference: Outcome, other: Outcome) -> Difference | None:
    """Find the first difference between what two loops computed, or None where every bit is the same."""
    return next(_differences(reference, other), None)


def _differences(reference: Outcome, other: Outcome) -> Iterator[Difference]:
    for mine, yours in zip_longest(reference.trace.entries, other.trace.entries):
        if mine is None or yours is None:
            yield Difference("metrics", "number of batches", (mine or yours)["optimizer steps"])
            return
        yield from _in_entry(mine, yours)
    for name in different(reference.last, other.last):
        yield Difference("weights", name, reference.trace.steps - 1)
    for row, (mine, yours) in enumerate(zip_longest(reference.rows, other.rows, fillvalue={})):
        for name in sorted(mine.keys() | yours.keys()):
            if name not in TIMES and str(mine.get(name)) != str(yours.get(name)):
                yield Difference("metrics", f"{name} of row {row}")
    for name in different(reference.best, other.best):
        yield Difference("best weights", f"{name} of the best weights")


def _in_entry(mine: Entry, yours: Entry) -> Iterator[Difference]:
    """Compare a batch; weights that differ before a step came about in the step before."""
    step = mine["optimizer steps"]
    for name in mine:
        first, second = (fingerprint(one[name]) if name == "loss" else one.get(name) for one in (mine, yours))
        if first != second:
            weight = name not in HINTS
            yield Difference("weights" if weight else name, name, step - 1 if weight else step)


def different(mine: Mapping[str, Tensor], yours: Mapping[str, Tensor]) -> Iterator[str]:
    """Yield the names of tensors whose bits differ."""
    for name in dict.fromkeys([*mine, *yours]):
        if name not in mine or name not in yours or fingerprint(mine[name]) != fingerprint(yours[name]):
            yield name


def largest_difference(mine: Mapping[str, Tensor], yours: Mapping[str, Tensor]) -> float:
    """Return the largest absolute difference between weights, infinity where names or shapes differ."""
    if {name: tensor.shape for name, tensor in mine.items()} != {name: tensor.shape for name, tensor in yours.items()}:
        return math.inf
    gaps = [(mine[name].double() - yours[name].double()).abs().max() for name in mine if mine[name].numel()]
    return float(torch.stack(gaps).max())


def table(outcomes: Sequence[Outcome]) -> str:
    """Format a table with a row for each loop, compared to the first."""
    reference = outcomes[0]
    names = list(_last_values(reference))
    header = f"{'loop':<12}" + "".join(f"{name:>11}" for name in names)
    lines = [f"{header}{'weights ±':>11}  {'first difference':<32}{'ms/step':>8}{'ratio':>7}"]
    for outcome in outcomes:
        values = "".join(f"{_last_values(outcome).get(name, math.nan):>11.6f}" for name in names)
        gap = largest_difference(reference.last, outcome.last)
        seconds = outcome.trace.seconds_per_step()
        ratio = seconds / reference.trace.seconds_per_step()
        difference = "-" if outcome is reference else first_difference(reference, outcome) or "none"
        lines.append(f"{outcome.loop:<12}{values}{gap:>11.1e}  {difference!s:<32}{seconds * 1e3:>8.3f}{ratio:>7.2f}")
    return "\n".join(lines)


def _last_values(outcome: Outcome) -> dict[str, float]:
    values = {name: float(value) for row in outcome.rows for name, value in row.items() if "/" in name and value != ""}
    return {"last loss": outcome.trace.losses()[-1], **values}


def verdict(outcomes: Sequence[Outcome]) -> tuple[bool, str]:
    """Return whether all loops computed the same bits and, if not, where to look."""
    reference, *others = outcomes
    differences = {outcome.loop: first_difference(reference, outcome) for outcome in others}
    found = {loop: difference for loop, difference in differences.items() if difference}
    if not found:
        steps, tensors, rows = reference.trace.steps, len(reference.last), len(reference.rows)
        return True, f"the loops computed the same bits: {steps} steps, {tensors} tensors, {rows} rows of metrics"
    hints = [f"{loop} differs from {reference.loop} first in {d}; look at {HINTS[d.kind]}" for loop, d in found.items()]
    return False, "\n".join(hints)
