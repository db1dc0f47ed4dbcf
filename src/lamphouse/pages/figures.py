"""Figures as SVG, drawn by matplotlib and torchmetrics, which are imported when one is drawn."""

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torchmetrics.classification import MulticlassConfusionMatrix

from lamphouse.pages.predictions import Predictions

SIZE = (6.4, 3.6)  # inches
MOST_NAMED = 20  # classes whose names fit at a matrix
FEW_POINTS = 30  # which are marked
Row = Mapping[str, Any]


def curve_figures(rows: Sequence[Row], best_epoch: int | None) -> Iterator[tuple[str, str]]:
    """Yield a title and a figure for each metric by epoch, with the best epoch marked; then learning rate and speed."""
    names = dict.fromkeys(name.partition("/")[2] for row in rows for name in row if name.startswith(("train/", "val/")))
    for name in names:
        yield name, _curves(rows, {part: f"{part}/{name}" for part in ("train", "val")}, best_epoch)
    for title, column in (("learning rate", "lr"), ("samples per second", "samples_per_second")):
        if any(row.get(column) not in (None, "") for row in rows):
            yield title, _curves(rows, {title: column}, None)


def overlay_figures(runs: Mapping[str, Sequence[Row]]) -> Iterator[tuple[str, str]]:
    """Yield a title and a figure for each validation metric of several runs by epoch."""
    names = dict.fromkeys(name for rows in runs.values() for row in rows for name in row if name.startswith("val/"))
    for name in names:
        figure, axes = _figure()
        for run, rows in runs.items():
            _plot(axes, rows, name, run)
        axes.legend(fontsize="small")
        yield name, _svg(figure)


def _curves(rows: Sequence[Row], columns: Mapping[str, str], best_epoch: int | None) -> str:
    figure, axes = _figure()
    for label, column in columns.items():
        _plot(axes, rows, column, label)
    if best_epoch is not None:
        axes.axvline(best_epoch, color="gray", linestyle=":", label=f"best epoch, {best_epoch}")
    axes.legend()
    return _svg(figure)


def _plot(axes: Any, rows: Sequence[Row], column: str, label: str) -> None:
    points = [(int(row["epoch"]), float(row[column])) for row in rows if row.get(column) not in (None, "")]
    if points:
        axes.plot(*zip(*points, strict=True), label=label, marker="." if len(points) < FEW_POINTS else "")
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)


def confusion_figure(predictions: Predictions) -> str:
    """Draw the confusion matrix: rows are labels, columns predictions."""
    figure, axes = _figure((6.4, 6.0))
    metric = MulticlassConfusionMatrix(len(predictions.classes))
    metric.update(predictions.probabilities, predictions.labels)
    named = len(predictions.classes) <= MOST_NAMED
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)  # torchmetrics passes tensors
        metric.plot(ax=axes, add_text=named, labels=list(predictions.classes) if named else None, cmap="Blues")
    return _svg(figure)


def calibration_figure(predictions: Predictions) -> str:
    """Draw the accuracy over the confidence, where a calibrated model lies on the diagonal."""
    figure, axes = _figure()
    confidence, accuracy, counts = predictions.reliability()
    some = counts > 0
    axes.plot([0, 1], [0, 1], color="gray", linestyle=":")
    axes.plot(confidence[some].tolist(), accuracy[some].tolist(), marker="o")
    axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02))
    return _svg(figure)


def _figure(size: tuple[float, float] = SIZE) -> tuple[Any, Any]:
    from matplotlib.figure import Figure  # noqa: PLC0415  # takes a moment

    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots()


def _svg(figure: Any) -> str:
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    return re.sub(r"^.*?(?=<svg)", "", file.getvalue(), flags=re.DOTALL)
