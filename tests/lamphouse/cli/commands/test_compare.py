"""`compare`: one line for each set of options, with mean and deviation over seeds."""

import csv
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev

from conftest import Outcome

Command = Callable[..., Outcome]


def test_runs_of_several_seeds_share_a_line(fit: Command, arc: Command) -> None:
    for options in (
        ["--seed_everything=1"],
        ["--seed_everything=2"],
        ["--model.optimizer=SGD", "--model.hidden_sizes=[9]"],
    ):
        fit(*options)
    values = []
    for path in sorted(Path("runs/digits_mlp").iterdir(), key=lambda path: path.stat().st_ctime)[:2]:
        with (path / "metrics.csv").open(newline="") as file:
            values.append(float([*csv.DictReader(file)][-1]["test/acc"]))
    outcome = arc("compare", "runs")
    assert (outcome.status, outcome.err) == (0, "")
    header, seeds, single, *_ = outcome.out.splitlines()
    assert header.split() == [
        *("runs", "model.hidden_sizes", "model.optimizer"),
        *("val/loss", "val/acc", "test/loss", "test/acc"),
    ]
    assert seeds.startswith("2 seeds")
    assert seeds.endswith(f"{mean(values):.4f} ± {stdev(values):.4f}")
    assert " [9] " in single
    page = Path("compare.html").read_text()
    assert "<td>2 seeds</td>" in page
    assert page.count("<figure>") == 2


def test_what_is_no_run_is_one_line(arc: Command, trained: Path) -> None:
    outcome = arc("compare", trained, "nowhere")
    assert (outcome.status, outcome.err.count("\n")) == (2, 1)
    assert "nowhere: no run" in outcome.err
    assert not Path("compare.html").exists()
