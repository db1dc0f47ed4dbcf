"""Find where two training loops first differ, in the order of the training, and explain it."""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from torch import Tensor

from lamphouse.loops.trace import Entry, Trace, fingerprint

TIMES = {"samples_per_second", "seconds"}  # columns of metrics.csv that are no result
SAME_FACTOR = 1e-3  # relative difference of the factors by which the norms of gradients differ
HINTS = {  # where to look, by what differs first
    "optimizer steps": "where steps are taken: one after as many batches as are accumulated and one after the last of "
    "an epoch, none twice",
    "learning rate": "the schedule: stepped twice, never, after an epoch instead of a step, or made for a run of "
    "another length",
    "mode": "the mode: in evaluation mode dropout is off and BatchNorm does not update its statistics",
    "requires_grad": "requires_grad: parameters that are frozen by one loop only",
    "random numbers": "random numbers drawn outside of the seeded places: by a loader without a generator of its own, "
    "a callback or a validation",
    "order": "the data: an order that does not follow from seed and epoch",
    "batch": "the data: an augmentation that does not follow from seed, epoch and sample, or a batch that is changed "
    "between the loader and the loss",
    "batch changed": "the training step: it changes its batch in place, and with it the data",
    "initial weights": "the time before the first step: another seed, or weights that are changed",
    "loss": "the forward pass: another precision, or an algorithm that is not deterministic "
    "(--trainer.deterministic true)",
    "factor of the loss": "the factor of the loss: divided by the number of accumulated batches, or multiplied",
    "old gradients": "zero_grad: forgotten, or called while gradients are accumulated",
    "scale of the gradients": "clipping: another limit or algorithm, or gradients that are not unscaled yet",
    "gradients": "the backward pass: another loss is differentiated (a term is added or left out), or gradients are "
    "changed afterwards, for example clipped by value",
    "weights": "the optimizer: its options, or weights that are changed outside of its steps",
    "evaluation mode": "the evaluation: in training mode dropout is on and BatchNorm updates its statistics",
    "evaluated weights": "the moving average: its decay, and when it is updated",
    "evaluated buffers": "the moving average: buffers, such as BatchNorm's statistics, are averaged, too",
    "evaluated batches": "the batches of the evaluation: the last one, or limit_val_batches and limit_test_batches",
    "batches": "the batches of an epoch: the last, partial one (drop_last), or limit_train_batches",
    "epochs": "the end of training: early stopping (its patience, min_delta, metric or mode), or max_epochs",
    "metrics": "the evaluation: its mode, its precision or its metrics",
    "best weights": "the choice of the best weights: the metric, its mode, and which of two equal epochs",
    "tested": "the test: it evaluates the best weights",
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
    what: str  # parameter, metric or number
    step: int | None = None  # in which it came about, counted from 0; None after training

    def __str__(self) -> str:
        if self.step is None:
            return self.what
        return f"{self.what}, " + (f"step {self.step}" if self.step >= 0 else "before the first step")


def compare(first: Trace, second: Trace) -> Difference | None:
    """Find the first difference between two loops after their training, or None where every bit is the same."""
    return first_difference(*(Outcome("", trace, trace.model.state_dict()) for trace in (first, second)))


def first_difference(reference: Outcome, other: Outcome) -> Difference | None:
    """Find the first difference between what two loops computed, or None where every bit is the same."""
    return next(_differences(reference, other), None)


def different(mine: Mapping[str, Any], yours: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of tensors whose bits differ."""
    for name in dict.fromkeys([*mine, *yours]):
        if name not in mine or name not in yours or fingerprint(mine[name]) != fingerprint(yours[name]):
            yield name


def _differences(reference: Outcome, other: Outcome) -> Iterator[Difference]:
    mine, yours = reference.trace, other.trace
    buffers = {name for name, _ in mine.model.named_buffers()}
    for number, (a, b) in enumerate(zip_longest(_epochs(mine), _epochs(yours))):
        if a is None or b is None:
            counts = [len(_epochs(trace)) for trace in (mine, yours)]
            yield Difference("epochs", f"{counts[1]} epochs instead of {counts[0]}")
            return
        if len(a) != len(b):
            where = f" in epoch {number}" if mine.evaluations else ""
            yield Difference("batches", f"{_batches(b)} batches instead of {_batches(a)}{where}")
        for one, two in zip(a, b, strict=False):
            yield from _in_evaluation(one, two, buffers) if "after" in one else _in_batch(one, two)
        if len(mine.evaluations) == len(_epoch_rows(reference)):
            yield from _in_rows(_epoch_rows(reference)[: number + 1], _epoch_rows(other)[: number + 1], "metrics")
    if mine.steps != yours.steps:
        yield Difference("optimizer steps", f"{yours.steps} optimizer steps instead of {mine.steps}")
    for name in different(reference.last, other.last):
        yield Difference("weights", name, mine.steps - 1)
    yield from _in_rows(_epoch_rows(reference), _epoch_rows(other), "metrics")
    yield from _in_best(reference, other)
    yield from _in_rows(reference.rows, other.rows, "tested")


def _epochs(trace: Trace) -> list[list[Entry]]:
    """Group the entries of a trace by the evaluations that end them."""
    ends = [evaluation["after"] for evaluation in trace.evaluations]
    parts = [trace.entries[start:end] for start, end in zip([0, *ends], [*ends, None], strict=True)]
    epochs = [[*part, evaluation] for part, evaluation in zip(parts, trace.evaluations, strict=False)]
    return [*epochs, parts[-1]] if parts[-1] else epochs


def _batches(epoch: Sequence[Entry]) -> int:
    return sum("after" not in entry for entry in epoch)


def _epoch_rows(outcome: Outcome) -> list[Mapping[str, Any]]:
    return [row for row in outcome.rows if not any(name.startswith("test/") for name in row)]


def _in_batch(mine: Entry, yours: Entry) -> Iterator[Difference]:
    """Compare a batch; a state that differs before a step came about in the step before."""
    step = mine["optimizer steps"]
    if step != yours["optimizer steps"]:
        yield Difference("optimizer steps", f"{yours['optimizer steps']} optimizer steps instead of {step}", step)
    for kind in ("learning rate", "mode", "requires_grad", "random numbers"):
        if mine[kind] != yours[kind]:
            yield Difference(kind, kind, step)
    if mine["batch"] != yours["batch"]:
        yield Difference(_kind_of_batch(mine, yours), "batch", step)
    for name in _unequal(mine["state"], yours["state"]):
        yield Difference("weights" if step else "initial weights", name, step - 1)
    yield from _in_backward(mine, yours, step)


def _in_backward(mine: Entry, yours: Entry, step: int) -> Iterator[Difference]:
    """Compare what follows the forward pass, as far as both loops have it."""
    if "loss" in mine and "loss" in yours and fingerprint(mine["loss"]) != fingerprint(yours["loss"]):
        yield Difference("loss", "loss", step)
    if "old gradients" in mine and "old gradients" in yours:
        if mine["factor of the loss"] != yours["factor of the loss"]:
            yield Difference("factor of the loss", "factor of the loss", step)
        for name in _unequal(mine["old gradients"], yours["old gradients"]):
            yield Difference("old gradients", f"old gradient of {name}", step)
    if mine.get("batch afterwards") != yours.get("batch afterwards"):
        yield Difference("batch changed", "batch", step)
    for first, second in zip(mine.get("gradients", ()), yours.get("gradients", ()), strict=False):
        yield from _in_gradients(first, second, step)


def _kind_of_batch(mine: Entry, yours: Entry) -> str:
    if any(entry.get("batch afterwards", entry["batch"]) != entry["batch"] for entry in (mine, yours)):
        return "batch changed"
    equal = any(a == b for a, b in zip(mine["batch"], yours["batch"], strict=False))
    return "batch" if equal or len(mine["batch"]) == 1 else "order"  # the same labels belong to the same samples


def _in_gradients(mine: Mapping[str, Any], yours: Mapping[str, Any], step: int) -> Iterator[Difference]:
    first, second = ({name: bits for name, (bits, _) in gradients.items()} for gradients in (mine, yours))
    names = list(_unequal(first, second))
    if names and mine.keys() == yours.keys():
        factors = [yours[name][1] / mine[name][1] for name in mine]
        if max(factors) - min(factors) < SAME_FACTOR * max(factors) and abs(factors[0] - 1) > SAME_FACTOR:
            yield Difference("scale of the gradients", f"gradients {factors[0]:.3g} times as large", step)
    for name in names:
        yield Difference("gradients", f"gradient of {name}", step)


def _in_evaluation(mine: Entry, yours: Entry, buffers: Set[str]) -> Iterator[Difference]:
    step, names = mine["steps"] - 1, list(_unequal(mine["state"], yours["state"]))
    if mine["steps"] != yours["steps"]:
        yield Difference("optimizer steps", f"{yours['steps']} optimizer steps instead of {mine['steps']}", step)
    for name in names:
        yield Difference("evaluated buffers" if set(names) <= buffers else "evaluated weights", name, step)
    if mine.get("mode") != yours.get("mode"):
        yield Difference("evaluation mode", "mode of the evaluation", step)
    for first, second in zip(mine["batches"], yours["batches"], strict=False):
        if first != second:
            yield Difference("evaluated batches", f"{second} evaluated batches instead of {first}", step)


def _unequal(mine: Mapping[str, Any], yours: Mapping[str, Any]) -> Iterator[str]:
    return (name for name in dict.fromkeys([*mine, *yours]) if mine.get(name) != yours.get(name))


def _in_rows(mine: Sequence[Any], yours: Sequence[Any], kind: str) -> Iterator[Difference]:
    empty: Any = {}
    for number, (one, two) in enumerate(zip_longest(mine, yours, fillvalue=empty)):
        for name in sorted(one.keys() | two.keys()):
            if name not in TIMES and str(one.get(name)) != str(two.get(name)):
                yield Difference(kind, f"{name} of row {number}")


def _in_best(reference: Outcome, other: Outcome) -> Iterator[Difference]:
    for name in different(reference.best, other.best):
        first, second = (_epoch_of(outcome) for outcome in (reference, other))
        known = None not in (first, second) and first != second
        yield Difference("best weights", f"best weights of epoch {second} instead of {first}" if known else name)


def _epoch_of(outcome: Outcome) -> int | None:
    """Find the epoch whose evaluated weights were kept."""
    best = {name: fingerprint(value) for name, value in outcome.best.items()}
    states = [evaluation["state"] for evaluation in outcome.trace.evaluations]
    return next((number for number, state in enumerate(states) if state.items() >= best.items()), None)
