"""The page of a run: one HTML file that loads nothing."""

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

TEMPLATE = Path(__file__).with_name("page.html")
SIDE = 64  # pixels of a small image on the page


def render(
    title: str,
    result: Mapping[str, Mapping[str, float]],
    facts: Mapping[str, str],
    figures: Sequence[tuple[str, str]],
    classes: Sequence[Mapping[str, Any]] = (),
    mistakes: Sequence[Mapping[str, Any]] = (),
    options: Mapping[str, str] | None = None,
    commands: Sequence[str] = (),
) -> str:
    """Write a page.

    Args:
        title: the run's name.
        result: metrics of each part of the data, "validation" and "test".
        facts: what else is worth a line: the data, the machine, the versions.
        figures: titles, and figures as SVG.
        classes: name, count, accuracy and F1 score of each class.
        mistakes: label, prediction, probability, and an image as a data URI, or None.
        options: of the training.
        commands: that reproduce the run.
    """
    metrics = dict.fromkeys(metric for values in result.values() for metric in values)
    named = {"title": title, "result": result, "metrics": metrics, "facts": facts, "figures": figures}
    return _filled(**named, classes=classes, mistakes=mistakes, options=options or {}, commands=commands)


def render_comparison(
    title: str, header: Sequence[str], lines: Sequence[Sequence[str]], figures: Sequence[tuple[str, str]]
) -> str:
    """Write a page with a table and figures."""
    return _filled(title=title, header=header, lines=lines, figures=figures)


def _filled(**contents: Any) -> str:
    from jinja2 import Environment  # noqa: PLC0415  # takes a moment

    template = Environment(autoescape=True).from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(**contents)


def data_uri(image: Tensor) -> str:
    """Encode an image, uint8 [1 or 3, H, W], enlarged to a visible size."""
    from PIL import Image  # noqa: PLC0415

    values, file = image.permute(1, 2, 0).numpy(), io.BytesIO()
    picture = Image.fromarray(values[..., 0] if values.shape[-1] == 1 else values)
    picture.resize((SIDE, SIDE), Image.Resampling.NEAREST).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
