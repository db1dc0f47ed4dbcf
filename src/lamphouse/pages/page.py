"""The page of a run: one HTML file that loads nothing."""

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from lamphouse.pages.figures import svg
from lamphouse.pages.pictures import Pictures, picture

TEMPLATE = Path(__file__).with_name("page.html")


def render(
    title: str,
    name: str,
    result: Mapping[str, Mapping[str, float]],
    facts: Mapping[str, str],
    figures: Sequence[tuple[str, Any]],
    pictures: Pictures | None = None,
    options: Mapping[str, str] | None = None,
    commands: Sequence[str] = (),
) -> str:
    """Write a page.

    Args:
        title: of the page, such as the experiment.
        name: of the run.
        result: metrics of each part of the data, "validation" and "test".
        facts: what else is worth a line: the data, the machine, the versions.
        figures: titles and figures of the training.
        pictures: of the model, from `look`.
        options: of the training.
        commands: that reproduce the run.
    """
    pictures = pictures or Pictures()
    metrics = dict.fromkeys(metric for values in result.values() for metric in values)
    batch, outcomes = ([(data_uri(image), label) for image, label in of] for of in (pictures.batch, pictures.outcomes))
    mistakes = [{**one, "image": None if one["image"] is None else data_uri(one["image"])} for one in pictures.mistakes]
    told = {"result": result, "metrics": metrics, "facts": facts, "options": options, "commands": commands}
    found, looks = pictures.predictions, _drawn(pictures.figures.items())
    scores = {"F1, mean of classes": found.macro_f1, "calibration error": found.calibration_error} if found else {}
    tested = {"scores": scores, "classes": pictures.classes, "looks": looks, "mistakes": mistakes, "outcomes": outcomes}
    return _filled(title=title, name=name, figures=_drawn(figures), batch=batch, **told, **tested)


def render_comparison(
    title: str, header: Sequence[str], lines: Sequence[Sequence[str]], figures: Sequence[tuple[str, Any]]
) -> str:
    """Write a page with a table and figures."""
    return _filled(title=title, header=header, lines=lines, figures=_drawn(figures))


def _drawn(figures: Any) -> list[tuple[str, str]]:
    return [(title, svg(figure, title)) for title, figure in figures]


def _filled(**contents: Any) -> str:
    from jinja2 import Environment  # noqa: PLC0415  # takes a moment

    template = Environment(autoescape=True, trim_blocks=True).from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(**contents)


def data_uri(image: Tensor) -> str:
    """Encode an image, uint8 [1 or 3, H, W], as the address of itself."""
    file = io.BytesIO()
    picture(image).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
