"""Metrics of an epoch against brute force."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import Accuracy, MeanSquaredError, Metric
from torchmetrics.classification import MulticlassAUROC, MulticlassF1Score
from torchmetrics.wrappers import ClasswiseWrapper

from lamphouse.errors import InputError
from lamphouse.metrics import EpochMetrics, class_probabilities, with_classes


def correct(logits: Tensor, labels: Tensor) -> Tensor:
    return logits.argmax(1) == labels


def data(size: int) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(3)
    return torch.randn(size, 5, generator=random), torch.randint(5, (size,), generator=random)


def measured(metrics: EpochMetrics, logits: Tensor, labels: Tensor, sizes: list[int]) -> dict[str, float]:
    for part, targets in zip(logits.split(sizes), labels.split(sizes), strict=True):
        metrics.update(F.cross_entropy(part, targets), part, targets)
    return {name: value.item() for name, value in metrics.compute().items()}


@pytest.mark.parametrize("sizes", [[8, 8, 8], [8, 8, 3], [1, 7, 16], [1]])
def test_batches_of_different_sizes_weigh_right(sizes: list[int]) -> None:
    logits, labels = data(sum(sizes))
    right = sum(max(range(5), key=row.__getitem__) == label for row, label in zip(logits, labels, strict=True))
    losses = [-(row.double() - row.double().logsumexp(0))[label] for row, label in zip(logits, labels, strict=True)]
    metrics = EpochMetrics({"acc": correct})
    result = measured(metrics, logits, labels, sizes)
    assert result["acc"] == pytest.approx(right / len(labels))
    assert result["loss"] == pytest.approx(float(sum(losses)) / len(labels))
    metrics.reset()
    assert metrics.running()["loss"].isnan()
    assert measured(metrics, logits, labels, [len(labels)]) == pytest.approx(result)


@pytest.mark.parametrize("shape", [(6,), (6, 4), (6, 4, 3), ()])
def test_averages_of_any_shape(shape: tuple[int, ...]) -> None:
    values = torch.rand(shape)
    metrics = EpochMetrics({"value": lambda *_: values})
    metrics.update(torch.tensor(1.0), torch.zeros(6), {"boxes": torch.zeros(6, 4)})
    assert metrics.compute()["value"].item() == pytest.approx(values.mean().item())


@pytest.mark.parametrize("cast", [False, True])
def test_bfloat16_counts_exactly(cast: bool) -> None:
    """Lightning's bf16-true casts metrics with the model; in bf16, sums stop at 256."""
    module = nn.ModuleList([EpochMetrics({}, {"mse": MeanSquaredError()})])
    metrics = (module.to(torch.bfloat16) if cast else module)[0]
    logits = torch.ones(1000, 5).bfloat16()
    for _ in range(2):
        for part in logits.split(129):
            metrics.update(part.mean(), part, torch.zeros_like(part))
        assert metrics.sums[-1] == 1000
        assert metrics.compute()["mse"] == 1
        metrics.reset()


def test_reading_in_between_changes_no_bit() -> None:
    logits, labels = data(900)
    read, unread = EpochMetrics({"acc": correct}), EpochMetrics({"acc": correct})
    for number, (part, targets) in enumerate(zip(logits.split(6), labels.split(6), strict=True)):
        for metrics in (read, unread):
            metrics.update(F.cross_entropy(part, targets), part, targets)
        if number % 7 == 0:
            assert read.sums[-1] == 6 * (number + 1)
    assert torch.equal(read.sums, unread.sums)


def test_no_graph_is_kept() -> None:
    logits, labels = data(8)
    metrics = EpochMetrics({"acc": correct}, {"auroc": MulticlassAUROC(5)})  # whose state is a list of predictions
    metrics.update(F.cross_entropy(logits.requires_grad_(), labels), logits, labels)
    states = [metrics.sums, *metrics.metrics[0].metric_state["preds"]]
    assert not any(state.requires_grad for state in states)


CHOSEN: dict[str, tuple[Metric, list[str]]] = {
    "a number": (MulticlassF1Score(5), ["f1"]),
    "a vector": (MulticlassF1Score(5, average=None), [f"f1_{number}" for number in range(5)]),
    "a dictionary": (ClasswiseWrapper(MulticlassF1Score(2, average=None), ["a", "b"]), ["f1_multiclassf1score_a"]),
    "a list of predictions": (MulticlassAUROC(5), ["f1"]),
}


@pytest.mark.parametrize(("metric", "names"), CHOSEN.values(), ids=CHOSEN.keys())
@pytest.mark.filterwarnings("ignore:No (positive|negative) samples:UserWarning")
def test_chosen_metrics(metric: Metric, names: list[str]) -> None:
    logits, labels = data(24)
    labels = labels % 2 if "_a" in names[0] else labels
    logits = logits[:, :2] if "_a" in names[0] else logits
    metrics = EpochMetrics({"acc": correct}, {"f1": metric})
    assert set(names) | {"loss", "acc"} <= set(metrics.names)
    first = measured(metrics, logits, labels, [8, 8, 8])
    assert sorted(first) == sorted(metrics.names)
    metric.update(logits, labels)
    expected = metric.compute()
    value = next(iter(expected.values())) if isinstance(expected, dict) else expected.reshape(-1)[0]
    assert first[names[0]] == pytest.approx(value.item())
    metrics.reset()
    assert measured(metrics, logits, labels, [24]) == pytest.approx(first)


def test_a_metric_that_fails_is_named() -> None:
    logits, labels = data(8)
    metrics = EpochMetrics({}, {"f1": MulticlassF1Score(3)})
    with pytest.raises(InputError, match=r"^--model\.metrics f1: "):
        metrics.update(logits.mean(), logits, labels)


def test_names_are_given_once() -> None:
    for name in ("loss", "rmse"):
        with pytest.raises(InputError, match=f"--model.metrics {name}"):
            EpochMetrics({}, {name: MeanSquaredError()}, {"rmse": torch.sqrt})


def test_outputs_are_probabilities_of_classes_or_of_none() -> None:
    logits = torch.randn(4, 3)
    for outputs in (logits, logits.softmax(1), logits.log_softmax(1)):
        assert torch.allclose(class_probabilities(outputs, 3), logits.softmax(1))  # type: ignore[arg-type]
    for other in (logits, logits[:, 0], logits[..., None], [logits]):
        assert class_probabilities(other, 1 if other is logits else 3) is None


def test_the_number_of_classes_comes_from_the_data() -> None:
    assert with_classes(MulticlassF1Score, {"average": "micro"}, 5) == {"average": "micro", "num_classes": 5}
    assert with_classes(Accuracy, {"task": None}, 5) == {"task": "multiclass", "num_classes": 5}
    assert with_classes(Accuracy, {"task": "binary"}, 2) == {"task": "binary"}
    assert with_classes(MeanSquaredError, {}, 5) == with_classes(MeanSquaredError, {}, None) == {}
    assert with_classes(MulticlassF1Score, {"num_classes": 3}, None) == {"num_classes": 3}
    with pytest.raises(InputError, match=r"num_classes 3: the data has 5"):
        with_classes(MulticlassF1Score, {"num_classes": 3}, 5)
    with pytest.raises(InputError, match=r"the data has no classes"):
        with_classes(Accuracy, {}, None)
