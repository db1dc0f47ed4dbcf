"""What is printed about training loops that were compared."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lamphouse.loops.differences import HINTS, Outcome, first_difference


def largest_difference(mine: Mapping[str, Tensor], yours: Mapping[str, Tensor]) -> float:
    """Return the largest absolute difference between weights, infinity where names or shapes differ."""
    mine, yours = ({name: _wide(one[name]) for name in one if isinstance(one[name], Tensor)} for one in (mine, yours))
    if {name: tensor.shape for name, tensor in mine.items()} != {name: tensor.shape for name, tensor in yours.items()}:
        return math.inf
    gaps = [float((mine[name] - yours[name]).abs().max()) for name in mine if mine[name].numel()]
    return max(gaps, default=0.0)


def _wide(tensor: Tensor) -> Tensor:
    return tensor.to_dense().to(torch.complex128 if tensor.is_complex() else torch.float64)


def table(outcomes: Sequence[Outcome]) -> str:
    """Format a table with a row for each loop, compared to the first."""
    reference = outcomes[0]
    names = list(_last_values(reference))
    widths = {name: max(11, len(name) + 1) for name in names}
    header = f"{'loop':<12}" + "".join(f"{name:>{widths[name]}}" for name in names)
    lines = [f"{header}{'weights ±':>11}  {'first difference':<32}{'ms/step':>8}{'ratio':>7}"]
    for outcome in outcomes:
        values = "".join(f"{_last_values(outcome).get(name, math.nan):>{widths[name]}.6f}" for name in names)
        gap = largest_difference(reference.last, outcome.last)
        seconds = outcome.trace.seconds_per_step()
        ratio = seconds / reference.trace.seconds_per_step()
        difference = "-" if outcome is reference else first_difference(reference, outcome) or "none"
        lines.append(f"{outcome.loop:<12}{values}{gap:>11.1e}  {difference!s:<32}{seconds * 1e3:>8.3f}{ratio:>7.2f}")
    return "\n".join(lines)


def _last_values(outcome: Outcome) -> dict[str, float]:
    values = {name: float(value) for row in outcome.rows for name, value in row.items() if "/" in name and value != ""}
    return {"last loss": [math.nan, *outcome.trace.losses()][-1], **values}


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
