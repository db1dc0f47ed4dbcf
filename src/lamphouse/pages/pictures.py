"""What there is to look at in a trained model: figures, mistakes and a batch, as far as data and model have them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor, nn
from torchvision.transforms.v2.functional import pil_to_tensor

from lamphouse.pages.figures import calibration_figure, confusion_figure, drawn, gallery_figure
from lamphouse.pages.predictions import Predictions, predict
from lamphouse.runs.report import class_names, lacks
from lamphouse.task import Task

CPU = torch.device("cpu")
MOST_CLASSES = 200  # of whose confusion a figure can be read
LARGEST = 96  # pixels of an image's longer side
MOST_SHOWN, MOST_OUTCOMES = 32, 8  # images of a batch, and test samples beside what becomes of them


@dataclass(frozen=True)
class Pictures:
    """Figures by title, a row for each class and mistake, and images, uint8 [C, H, W], of a batch with their labels."""

    figures: Mapping[str, Any] = field(default_factory=dict)
    classes: Sequence[Mapping[str, Any]] = ()
    mistakes: Sequence[Mapping[str, Any]] = ()  # index, label, prediction, p, and an image or None
    batch: Sequence[tuple[Tensor, str]] = ()
    outcomes: Sequence[tuple[Tensor, str]] = ()  # test samples: input, target and prediction of each, side by side
    predictions: Predictions | None = None
    inputs: Tensor | None = None  # of the network, a few

    def images(self) -> dict[str, Any]:
        """Draw everything that is not a table, as images of Pillow's by title."""
        seen = [one for one in self.mistakes if one["image"] is not None]
        wrong = [(one["image"], f"{one['label']} as {one['prediction']}, {one['p']:.0%}") for one in seen]
        galleries = {"most confident mistakes": wrong, "training batch": self.batch, "test samples": self.outcomes}
        figures = {title: gallery_figure(shown) for title, shown in galleries.items() if shown}
        return {title: drawn(figure) for title, figure in {**self.figures, **figures}.items()}

    def tables(self) -> dict[str, Sequence[Mapping[str, Any]]]:
        """Return rows by title, with images of Pillow's."""
        wrong = [{**one, "image": None if one["image"] is None else picture(one["image"])} for one in self.mistakes]
        return {title: rows for title, rows in (("classes", self.classes), ("mistakes", wrong)) if rows}


def look(model: nn.Module, data: Any, device: torch.device) -> Pictures:
    """Draw what a trained model does with its test data, which are set up, and a training batch as it sees it.

    Whatever data or model lack is left out: `num_classes` and a test for the figures, the method `viewable` for images.
    """
    first = _prepared(data, next(iter(data.train_dataloader())))
    inputs = first[0] if isinstance(first, Sequence) else first
    batch = [*_labelled(data, inputs, first[1] if isinstance(first, Sequence) else ())]
    few = inputs[:2] if isinstance(inputs, Tensor) else None
    predictions = _test_predictions(model, data, device)
    if predictions is None:
        return Pictures(batch=batch, outcomes=[*_outcomes(model, data, device)], inputs=few)
    figures = {"calibration": calibration_figure(predictions)}
    if len(predictions.classes) <= MOST_CLASSES:
        figures = {"confusion matrix": confusion_figure(predictions), **figures}
    mistakes = predictions.mistakes()
    images = _viewable(data, "test", [mistake["index"] for mistake in mistakes])
    shown = [{**mistake, "image": image} for mistake, image in zip(mistakes, images, strict=True)]
    return Pictures(figures, predictions.table(), shown, batch, (), predictions, few)


def _test_predictions(model: Any, data: Any, device: torch.device) -> Predictions | None:
    num_classes = getattr(data, "num_classes", None)
    if not isinstance(model, Task) or not num_classes or lacks("test", model, data):
        return None
    prepare = partial(_prepared, data, device=device)
    return predict(model.to(device), data.test_dataloader(), prepare, class_names(data))


@torch.inference_mode()
def _outcomes(model: Any, data: Any, device: torch.device) -> Iterator[tuple[Tensor, str]]:
    """Yield inputs, targets and predictions that a task draws, of the first test samples."""
    if not isinstance(model, Task) or not is_overridden("pictures", model, Task) or lacks("test", model, data):
        return
    batch = _prepared(data, next(iter(data.test_dataloader())), device)
    outputs, inputs = model.to(device).eval()(batch[0][:MOST_OUTCOMES]), _seen(data, batch[0][:MOST_OUTCOMES])
    drawn_targets, drawn_outputs = model.pictures(model.targets(batch)[:MOST_OUTCOMES]), model.pictures(outputs)
    for image, target, output in zip(inputs, drawn_targets or (), drawn_outputs or (), strict=False):
        if image is not None:
            yield image, "input"
        yield pil_to_tensor(target.convert("RGB")), "label"
        yield pil_to_tensor(output.convert("RGB")), "prediction"


def _seen(data: Any, inputs: Tensor) -> Sequence[Tensor | None]:
    images = data.viewable(inputs) if hasattr(data, "viewable") else None
    return [None] * len(inputs) if images is None else [*images.cpu()]


def _prepared(data: Any, batch: Any, device: torch.device = CPU) -> Any:
    return data.on_after_batch_transfer(move_data_to_device(data.on_before_batch_transfer(batch, 0), device), 0)


def _viewable(data: Any, part: str, indices: Sequence[int]) -> Sequence[Tensor | None]:
    parts = getattr(data, "parts", {})
    if not indices or part not in parts:
        return [None] * len(indices)
    return _seen(data, _prepared(data, parts[part][torch.tensor(indices)])[0])


def _labelled(data: Any, inputs: Any, targets: Any) -> Iterator[tuple[Tensor, str]]:
    """Yield the first images of a batch, and their labels."""
    images = _seen(data, inputs[:MOST_SHOWN]) if isinstance(inputs, Tensor) else ()
    for image, target in zip(images, targets, strict=False):
        if image is not None:
            yield image, _label(target, class_names(data))


def _label(target: Tensor, names: Sequence[str]) -> str:
    """Name a class, or the two largest shares of a soft target."""
    if target.ndim == 0 and not target.is_floating_point() and names:
        return names[int(target)]
    if target.shape != (len(names),) or not target.is_floating_point():
        return ""
    shares = ((names[index], float(target[index])) for index in target.argsort(descending=True)[:2].tolist())
    return ", ".join(f"{name} {share:.0%}" for name, share in shares if share > 0)


def picture(image: Tensor) -> Any:
    """Convert an image, uint8 [1 or 3, H, W], for Pillow; a large one is reduced."""
    from PIL import Image  # noqa: PLC0415

    values = image.cpu().permute(1, 2, 0).numpy()
    made = Image.fromarray(values[..., 0] if values.shape[-1] == 1 else values)
    made.thumbnail((LARGEST, LARGEST))
    return made
