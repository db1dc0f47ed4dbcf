"""What a search found: a table, and a page with figures."""

import base64
import csv
import io
import warnings
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from lamphouse.files import write_whole
from lamphouse.search.space import as_arguments, optuna

FIGURES = {  # of optuna.visualization.matplotlib
    "plot_optimization_history": "History",
    "plot_intermediate_values": "Epochs",
    "plot_param_importances": "Importance",
    "plot_parallel_coordinate": "Parallel coordinates",
    "plot_slice": "Options",
}
WIDE = {"plot_parallel_coordinate", "plot_slice"}  # with the number of options
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }}
body {{ max-width: 72rem; margin: 2rem auto; padding: 0 1rem }}
div {{ overflow-x: auto }}
table {{ border-collapse: collapse; font-size: 0.85rem }}
td, th {{ padding: 0.2rem 0.6rem; border-bottom: 1px solid #8884; text-align: left; white-space: nowrap }}
td:last-child {{ white-space: normal; min-width: 15rem }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere }}
img {{ max-width: 100%; background: white }}
</style>
<h1>{title}</h1>
<p>{summary}</p>
<h2>Best options</h2>
<pre>{best}</pre>
{figures}
<h2>Trials</h2>
<div><table>{table}</table></div>
</html>
"""


def describe(trial: Any, metric: str) -> str:
    """Say on a line what came of a trial."""
    state = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}[trial.state.name]
    value = "" if trial.value is None else f"{metric} {trial.value:.4g}"
    epoch = f" in epoch {trial.user_attrs['epoch']}" if state == "complete" else ""
    short = {name: f"{value:.4g}" if isinstance(value, float) else str(value) for name, value in trial.params.items()}
    options = " ".join(as_arguments(short))
    line = f"trial {trial.number:<4} {state:<9} {value}{epoch}  {options}"
    return f"{line}: {trial.user_attrs.get('error')}" if state == "failed" else line


def rows_of(study: Any, metric: str) -> list[dict[str, Any]]:
    """List the trials, best first, as rows of a table."""
    trials = study.get_trials(deepcopy=False)
    sign = 1 if study.direction.name == "MINIMIZE" else -1
    order = sorted(
        trials, key=lambda t: (t.state.name != "COMPLETE", 0 if t.value is None else sign * t.value, t.number)
    )
    names = list(dict.fromkeys(name for trial in trials for name in trial.params))
    return [
        {
            "trial": trial.number,
            "state": trial.state.name.lower(),
            metric: "" if trial.value is None else trial.value,
            "epoch": trial.user_attrs.get("epoch", trial.last_step if trial.last_step is not None else ""),
            **{name: trial.params.get(name, "") for name in names},
            "seconds": f"{trial.duration.total_seconds():.1f}" if trial.duration else "",
            "directory": trial.user_attrs.get("directory", ""),
            "error": trial.user_attrs.get("error") or "",
        }
        for trial in order
    ]


def write_trials(path: Path, study: Any, metric: str) -> None:
    """Write a row for each trial, the best first, as CSV."""
    rows, text = rows_of(study, metric), io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, text.getvalue())


def write_page(path: Path, study: Any, metric: str, title: str, summary: str, best: str) -> None:
    """Write a page without references to anything outside: the best options, figures, and a row for each trial."""
    rows = rows_of(study, metric)
    cells = [[f"<td>{escape(_short(cell))}" for cell in row.values()] for row in rows]
    head = "".join(f"<th>{escape(name)}" for name in (rows[0] if rows else ()))
    table = "\n".join(f"<tr>{''.join(row)}" for row in [[head], *cells])
    text = {"title": escape(title), "summary": escape(summary), "best": escape(best), "table": table}
    write_whole(path, PAGE.format(**text, figures="\n".join(_figures(study, metric))))


def _short(cell: Any) -> str:
    return f"{cell:.5g}" if isinstance(cell, float) else str(cell)


def _figures(study: Any, metric: str) -> Iterator[str]:
    import matplotlib as mpl  # noqa: PLC0415  # takes a second
    from matplotlib import pyplot as plt  # noqa: PLC0415

    drawing = optuna(".visualization.matplotlib")
    with mpl.rc_context({"svg.hashsalt": "search"}), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # experimental; too few trials, which the figure's absence tells, too
        plt.switch_backend("agg")
        for name, title in FIGURES.items():
            try:
                more = {} if name == "plot_intermediate_values" else {"target_name": metric}
                axes = getattr(drawing, name)(study, **more)
            except (RuntimeError, ValueError):  # there are too few trials, or all have the same value
                continue
            finally:
                plt.close("all")
            figure = getattr(axes, "flat", [axes])[0].figure
            if name in WIDE:
                figure.set_size_inches(max(8, 3 * len(study.best_params)), 5)
            yield f'<h2>{title}</h2>\n<img alt="{title}" src="data:image/svg+xml;base64,{_svg(figure)}">'


def _svg(figure: Any) -> str:
    data = io.BytesIO()
    figure.savefig(data, format="svg", bbox_inches="tight", metadata={"Date": None})
    return base64.b64encode(data.getvalue()).decode()
