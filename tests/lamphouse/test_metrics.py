"""Loss and accuracy of an epoch against brute force."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lamphouse.metrics import EpochMetrics
from arc_light.classification import correct

SIZES = [[8, 8, 8], [8, 8, 3], [1, 7, 16], [1]]


def data(size: int) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(3)
    return torch.randn(size, 5, generator=random), torch.randint(5, (size,), generator=random)


def measured(metric: EpochMetrics, logits: Tensor, labels: Tensor, sizes: list[int]) -> dict[str, float]:
    for part, targets in zip(logits.split(sizes), labels.split(sizes), strict=True):
        metric.update(F.cross_entropy(part, targets), part, targets)
    return {name: value.item() for name, value in metric.compute().items()}


@pytest.mark.parametrize("sizes", SIZES)
def test_uneven_batches_weigh_right(sizes: list[int]) -> None:
    logits, labels = data(sum(sizes))
    right = sum(max(range(5), key=row.__getitem__) == label for row, label in zip(logits, labels, strict=True))
    losses = [-(row.double() - row.double().logsumexp(0))[label] for row, label in zip(logits, labels, strict=True)]
    result = measured(EpochMetrics({"acc": correct}), logits, labels, sizes)
    assert result["acc"] == pytest.approx(right / len(labels))
    assert result["loss"] == pytest.approx(float(sum(losses)) / len(labels))


def test_an_epoch_begins_at_nothing() -> None:
    metric = EpochMetrics({"acc": correct})
    logits, labels = data(24)
    first = measured(metric, logits, labels, [24])
    metric.reset()
    assert measured(metric, logits, labels, [10, 14]) == pytest.approx(first)


def test_the_running_figures_are_those_so_far() -> None:
    metric = EpochMetrics({"acc": correct})
    logits, labels = data(8)
    assert metric.running()["loss"].isnan()
    metric.update(F.cross_entropy(logits, labels), logits, labels)
    assert metric.running()["acc"] == (logits.argmax(1) == labels).float().mean()


def test_no_graph_is_kept() -> None:
    metric = EpochMetrics({"acc": correct})
    logits, labels = data(8)
    logits.requires_grad_()
    metric.update(F.cross_entropy(logits, labels), logits, labels)
    assert not metric.sums.requires_grad


def test_half_precision_counts_exactly() -> None:
    """bf16 logits must not make bf16 sums, which count to 256."""
    metric = EpochMetrics({"acc": correct})
    logits = torch.zeros(1000, 5).bfloat16()
    logits[:, 1] = 1
    for part in logits.split(100):
        metric.update(F.cross_entropy(part, torch.ones(100).long()), part, torch.ones(100).long())
    assert metric.sums[1:].tolist() == [1000, 1000]


def test_a_model_of_another_type_counts_exactly() -> None:
    """Lightning's bf16-true casts the whole model, its metrics too."""
    model = nn.ModuleList([EpochMetrics({"acc": correct})]).to(torch.bfloat16)
    (metric,) = model
    logits = torch.zeros(1000, 5).bfloat16()
    for epoch in range(2):
        for part in logits.split(129):
            metric.update(F.cross_entropy(part, torch.zeros(len(part)).long()), part, torch.zeros(len(part)).long())
        assert metric.sums[1:].tolist() == [1000, 1000], epoch
        metric.reset()
