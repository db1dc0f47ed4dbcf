"""Checks of data: numbers, statistics, labels, and samples that are in two parts."""

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from itertools import combinations

import torch
from torch import Tensor

from lamphouse.doctor.findings import Finding, judged, ok, problem

Parts = Mapping[str, tuple[Tensor, Tensor]]  # inputs and targets of "train", "val" and "test"
FAR, WIDE, NARROW = 3.0, 10.0, 0.01  # mean and standard deviations that are not those of normalised inputs
RARE = 50  # times as many samples in the largest class as in the smallest
SHARED = 0.01  # of the smaller part


def examine_data(parts: Parts, inputs: Tensor, num_classes: int | None = None) -> Iterator[Finding]:
    """Check the parts of a data set, and a batch of inputs as the model gets them.

    Args:
        parts: inputs, [N, ...], and targets, [N, ...], of each part.
        inputs: a training batch after preprocessing.
        num_classes: of classifiers; None for other targets.
    """
    yield _numbers(parts, inputs)
    yield _statistics(inputs)
    if num_classes is not None:
        yield _labels(parts, num_classes)
        if all(labels.ndim == 1 for _, labels in parts.values()):  # and not one at each place of a sample
            yield _balance(parts, num_classes)
    yield _duplicates(parts)


def _numbers(parts: Parts, inputs: Tensor) -> Finding:
    named = {
        f"{part} {name}": t for part, pair in parts.items() for name, t in zip(("inputs", "targets"), pair, strict=True)
    }
    for name, tensor in {**named, "a batch": inputs}.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            return problem(f"{name}: some values are nan or infinite", "replace them, or leave the samples out")
    return ok("inputs and targets are finite")


def _statistics(inputs: Tensor) -> Finding:
    if not inputs.is_floating_point():
        return Finding("skipped", "statistics of inputs, which are integers")
    mean, std = inputs.mean().item(), inputs.std().item()
    text = f"inputs have mean {mean:.2f} and standard deviation {std:.2f}"
    return judged(abs(mean) <= FAR and NARROW <= std <= WIDE, text, "normalise them to about 0 and 1")


def _labels(parts: Parts, num_classes: int) -> Finding:
    for part, (_, labels) in parts.items():
        if len(labels) and not 0 <= labels.min() <= labels.max() < num_classes:
            expected = f"expected 0..{num_classes - 1}"
            return problem(f"{part} labels are {labels.min()}..{labels.max()}", f"{expected}: count them from 0")
    return ok(f"labels are in 0..{num_classes - 1}")


def _balance(parts: Parts, num_classes: int) -> Finding:
    for part, (_, labels) in parts.items():
        counts = labels[(labels >= 0) & (labels < num_classes)].bincount(minlength=num_classes)
        missing = (counts == 0).nonzero().flatten().tolist()
        if missing:
            return problem(f"{part} has no sample of class {', '.join(map(str, missing[:5]))}", "add some")
        if counts.max() > RARE * counts.min():
            text = f"{part} has {counts.min()} samples of the rarest class and {counts.max()} of the most frequent"
            return problem(text, "weight the loss by class, or sample rare classes more often")
    return ok("every part has every class, none much more often than another")


def _duplicates(parts: Parts) -> Finding:
    digests = {part: {_digest(one) for one in inputs.flatten(1)} for part, (inputs, _) in parts.items()}
    found = []
    for one, other in combinations(digests, 2):
        shared, smaller = len(digests[one] & digests[other]), min(len(digests[one]), len(digests[other]))
        if shared > SHARED * smaller:
            return problem(f"{shared} inputs of {other} are in {one}, too", "remove them from one of the two")
        found += [f"{shared} of {other} are in {one}"] if shared else []
    return ok(f"parts share {'no input' if not found else 'few inputs: ' + ', '.join(found)}")


def _digest(values: Tensor) -> bytes:
    content: bytes = values.contiguous().view(torch.uint8).numpy().tobytes()
    return blake2b(content, digest_size=16).digest()
