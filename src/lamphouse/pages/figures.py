"""Figures of a run, drawn by matplotlib and torchmetrics, which are imported when one is drawn."""

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any

from torch import Tensor
from torchmetrics.classification import MulticlassConfusionMatrix

from lamphouse.pages.predictions import Predictions

SIZE = (5.2, 3.1)  # inches, of which a page shows at least three quarters
SHORT = 4  # letters of names that fit side by side
MOST_NAMED = 20  # classes whose names fit at a matrix
ACROSS = 9  # images of a gallery
FEW_POINTS = 30  # which are marked
INK = "#010203"  # in a page, the color of its text, which depends on the reader's color scheme
COLORS = ("#3b82f6", "#f97316", "#10b981", "#a855f7", "#ef4444", "#0ea5e9", "#eab308", "#ec4899", "#84cc16", "#64748b")
BEST = "#10b981"
Row = Mapping[str, Any]


def curve_figures(rows: Sequence[Row], best: Row | None) -> Iterator[tuple[str, Any]]:
    """Yield a title and a figure for each metric by epoch, with the best row marked; then learning rate and speed."""
    names = dict.fromkeys(name.partition("/")[2] for row in rows for name in row if name.startswith(("train/", "val/")))
    for name in names:
        yield name, _curves(rows, {f"{part}/{name}": part for part in ("train", "val")}, best)
    for title, column in (("learning rate", "lr"), ("samples per second", "samples_per_second")):
        if any(row.get(column) not in (None, "") for row in rows):
            yield title, _curves(rows, {column: ""}, None)


def overlay_figures(groups: Mapping[str, Sequence[Sequence[Row]]]) -> Iterator[tuple[str, Any]]:
    """Yield a title and a figure for each validation metric by epoch: a color for each group of runs."""
    every = [row for group in groups.values() for rows in group for row in rows]
    for name in dict.fromkeys(name for row in every for name in row if name.startswith("val/")):
        with _figure() as (figure, axes):
            for number, (label, group) in enumerate(groups.items()):
                for position, rows in enumerate(group):
                    style = {"color": COLORS[number % len(COLORS)], "alpha": 0.85 if len(group) == 1 else 0.6}
                    _plot(axes, rows, name, "" if position else label, **style)
            axes.set_xlabel("epoch")
            if len(groups) > 1:
                axes.legend(fontsize="small")
        yield name, figure


def _curves(rows: Sequence[Row], columns: Mapping[str, str], best: Row | None) -> Any:
    with _figure() as (figure, axes):
        for column, label in columns.items():
            _plot(axes, rows, column, label)
        if best is not None:
            position = _epochs(rows)[[*rows].index(best)]
            axes.axvline(position, color=BEST, linestyle="--", label=f"best epoch, {best['epoch']}")
        axes.set_xlabel("epoch")
        if best is not None or len(columns) > 1:
            axes.legend()
    return figure


def _plot(axes: Any, rows: Sequence[Row], column: str, label: str, **style: Any) -> None:
    positions = zip(_epochs(rows), rows, strict=True)
    points = [(epoch, float(row[column])) for epoch, row in positions if row.get(column) not in (None, "")]
    if points:
        marker = "." if len(points) < FEW_POINTS else ""
        axes.plot(*zip(*points, strict=True), label=label or "_", marker=marker, **style)
    axes.xaxis.get_major_locator().set_params(integer=True)


def _epochs(rows: Sequence[Row]) -> list[float]:
    """Return where each row lies: at its epoch, or, if some have several rows, in parts of epochs by their steps."""
    epochs = [float(row["epoch"]) for row in rows]
    if len({*epochs}) == len(epochs):
        return epochs
    steps = max(int(row["step"]) + 1 for row in rows if float(row["epoch"]) == epochs[0])  # of an epoch
    return [(int(row["step"]) + 1) / steps - 1 for row in rows]


def confusion_figure(predictions: Predictions) -> Any:
    """Draw the confusion matrix: rows are labels, columns predictions."""
    from matplotlib.colors import LinearSegmentedColormap  # noqa: PLC0415  # takes a moment

    named = len(predictions.classes) <= MOST_NAMED
    metric = MulticlassConfusionMatrix(len(predictions.classes))
    metric.update(predictions.probabilities, predictions.labels)
    with _figure((5.2, 5.0)) as (figure, axes), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)  # torchmetrics passes tensors
        colors = LinearSegmentedColormap.from_list("count", ["#3b82f600", "#3b82f6ff"])
        metric.plot(ax=axes, add_text=named, labels=list(predictions.classes) if named else None, cmap=colors)
        axes.grid(visible=False)
        if not named:
            axes.set(xticks=[], yticks=[])
        axes.set_xlabel("prediction", fontsize="medium")
        axes.set_ylabel("label", fontsize="medium")
        axes.tick_params("y", rotation=0)
        axes.tick_params("x", rotation=0 if all(len(name) < SHORT for name in predictions.classes) else 90)
        for text in (*axes.get_xticklabels(), *axes.get_yticklabels()):
            text.set_parse_math(False)  # torchmetrics draws with settings of its own
        for text in axes.texts:  # torchmetrics chooses black or white, for a white page
            text.set(color=INK, fontsize="small", alpha=0.3 if text.get_text() == "0" else 1)
    return figure


def calibration_figure(predictions: Predictions) -> Any:
    """Draw the accuracy over the confidence, where a calibrated model lies on the diagonal, and the samples in bins."""
    confidence, accuracy, counts = predictions.reliability()
    some = counts > 0
    share, edges = (counts / counts.sum().clamp(min=1)).tolist(), [bin_ / len(counts) for bin_ in range(len(counts))]
    with _figure() as (figure, axes):
        axes.bar(edges, share, 1 / len(counts), align="edge", color=INK, alpha=0.12, label="share of samples")
        axes.plot([0, 1], [0, 1], color=INK, linestyle=":", alpha=0.6, label="calibrated")
        axes.plot(confidence[some].tolist(), accuracy[some].tolist(), marker="o", color=COLORS[0], label="accuracy")
        axes.set(xlabel="confidence", xlim=(0, 1), ylim=(0, 1.02))
        axes.legend(fontsize="small")
    return figure


def gallery_figure(images: Sequence[tuple[Tensor, str]]) -> Any:
    """Draw images, uint8 [1 or 3, H, W], with a caption each."""
    rows = -(-len(images) // ACROSS)
    with _figure((1.2 * ACROSS, 1.5 * rows), rows, ACROSS) as (figure, grid):
        for axes in grid.flat:
            axes.set_axis_off()
        for axes, (image, caption) in zip(grid.flat, images, strict=False):
            axes.imshow(image.permute(1, 2, 0).numpy(), cmap="gray", vmin=0, vmax=255)
            axes.set_title(caption, fontsize="x-small", color=INK)
    return figure


@contextmanager
def _figure(size: tuple[float, float] = SIZE, rows: int = 1, columns: int = 1) -> Iterator[tuple[Any, Any]]:
    """Make a figure, and draw with the colors of a page."""
    from matplotlib import rc_context  # noqa: PLC0415  # takes a moment
    from matplotlib.figure import Figure  # noqa: PLC0415

    inked = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "grid.color")
    style: Any = {
        **dict.fromkeys(inked, INK),
        **{f"axes.spines.{side}": False for side in ("left", "right", "top")},
        "axes.grid": True,
        "grid.alpha": 0.12,
        "font.size": 11,
        "text.parse_math": False,
        "axes.prop_cycle": f"cycler(color={COLORS})",
        "legend.frameon": False,
        "xtick.bottom": False,
        "ytick.left": False,
    }
    with rc_context(style):
        figure = Figure(figsize=size, layout="constrained")
        yield figure, figure.subplots(rows, columns, squeeze=rows == columns == 1)


def svg(figure: Any, title: str) -> str:
    """Write a figure as SVG for a page, in whose fonts and colors it is."""
    text = _saved(figure, "svg", transparent=True, metadata={"Date": None}).decode()
    text = f'<svg role="img" aria-label="{escape(title)}" {text.partition("<svg ")[2]}'
    text = re.sub(r' id="\w+_\d+"|<metadata>.*?</metadata>', "", text, flags=re.DOTALL)  # of which each figure has some
    return re.sub(r"font-family: [^;\"]*", "font-family: inherit", text).replace(INK, "currentColor")


def drawn(figure: Any) -> Any:
    """Draw a figure on white, as an image of Pillow's."""
    from PIL import Image  # noqa: PLC0415

    return Image.open(io.BytesIO(_saved(figure, "png", facecolor="white", dpi=120)))


def _saved(figure: Any, kind: str, **options: Any) -> bytes:
    from matplotlib import rc_context  # noqa: PLC0415

    style: Any = {"svg.fonttype": "none", "svg.hashsalt": "page", "text.parse_math": False}
    file = io.BytesIO()
    with rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # which the reader's own fonts may have
        figure.savefig(file, format=kind, **options)
    return file.getvalue()
