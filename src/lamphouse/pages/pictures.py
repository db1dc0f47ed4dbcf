"""What there is to look at in a trained model: figures, mistakes and a batch, as far as data and model have them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor, nn

from lamphouse.pages.figures import calibration_figure, confusion_figure
from lamphouse.pages.predictions import Predictions, predict
from lamphouse.runs.report import lacks
from lamphouse.task import Task

CPU = torch.device("cpu")
MOST_CLASSES = 200  # of whose confusion a figure can be read
MOST_SHOWN = 32  # images of a batch


@dataclass(frozen=True)
class Pictures:
    """Figures by title, a row for each class and mistake, and images, uint8 [C, H, W], of a batch with their labels."""

    figures: Mapping[str, Any] = field(default_factory=dict)
    classes: Sequence[Mapping[str, Any]] = ()
    mistakes: Sequence[Mapping[str, Any]] = ()  # index, label, prediction, p, and an image or None
    batch: Sequence[tuple[Tensor, str]] = ()
    predictions: Predictions | None = None


def look(model: nn.Module, data: Any, device: torch.device) -> Pictures:
    """Draw what a trained model does with its test data, which are set up, and a training batch as it sees it.

    Whatever data or model lack is left out: `num_classes` and a test for the figures, the method `viewable` for images.
    """
    batch = [*_training_batch(data)]
    predictions = _test_predictions(model, data, device)
    if predictions is None:
        return Pictures(batch=batch)
    figures = {"calibration": calibration_figure(predictions)}
    if len(predictions.classes) <= MOST_CLASSES:
        figures = {"confusion matrix": confusion_figure(predictions), **figures}
    mistakes = predictions.mistakes()
    images = _viewable(data, "test", [mistake["index"] for mistake in mistakes])
    shown = [{**mistake, "image": image} for mistake, image in zip(mistakes, images, strict=True)]
    return Pictures(figures, predictions.table(), shown, batch, predictions)


def _test_predictions(model: Any, data: Any, device: torch.device) -> Predictions | None:
    num_classes = getattr(data, "num_classes", None)
    if not isinstance(model, Task) or not num_classes or lacks("test", model, data):
        return None
    return predict(model.to(device), data.test_dataloader(), lambda batch: _prepared(data, batch, device), _names(data))


def _prepared(data: Any, batch: Any, device: torch.device = CPU) -> Any:
    return data.on_after_batch_transfer(move_data_to_device(data.on_before_batch_transfer(batch, 0), device), 0)


def _names(data: Any) -> Sequence[str]:
    return getattr(data, "classes", None) or [str(index) for index in range(getattr(data, "num_classes", 0))]


def _viewable(data: Any, part: str, indices: Sequence[int]) -> Sequence[Tensor | None]:
    images = None
    if indices and hasattr(data, "viewable"):
        images = data.viewable(_prepared(data, data.parts[part][torch.tensor(indices)])[0])
    return [None] * len(indices) if images is None else [*images]


def _training_batch(data: Any) -> Iterator[tuple[Tensor, str]]:
    """Yield the first images of the first epoch, after their augmentation, and their labels."""
    if hasattr(data, "viewable"):
        inputs, targets, *_ = _prepared(data, next(iter(data.train_dataloader())))
        images = data.viewable(inputs[:MOST_SHOWN])
        for image, target in zip(images if images is not None else (), targets, strict=False):
            yield image, _label(target, _names(data))


def _label(target: Tensor, names: Sequence[str]) -> str:
    """Name a class, or the two largest shares of a soft target."""
    if target.ndim == 0 and not target.is_floating_point() and names:
        return names[int(target)]
    if target.shape != (len(names),) or not target.is_floating_point():
        return ""
    shares = ((names[index], float(target[index])) for index in target.argsort(descending=True)[:2].tolist())
    return ", ".join(f"{name} {share:.0%}" for name, share in shares if share > 0)
