"""The command repeat: what it refuses, and seeds and folds with real runs, stopped and gone on with."""

import csv
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev

import pytest
from conftest import Outcome, fit_options
from same_runs import assert_same, run_in

Command = Callable[..., Outcome]
OPTIONS = fit_options("digits_mlp")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "--seeds, --folds: nothing to repeat"),
        (["--seeds=x"], "--seeds x: expected a number of seeds"),
        (["--seeds=0"], "--seeds 0: expected 1 to 1000 seeds"),
        (["--seeds=3 3"], "--seeds 3 3: expected 1 to 1000 seeds, each once"),
        (["--seeds=2", "--seed_everything=1"], "--seed_everything: --seeds chooses it"),
        (["--folds=2", "--data.fold=1"], "--data.fold: --folds chooses it"),
        (["--seeds=2", "--trainer.fast_dev_run=true"], "--trainer.fast_dev_run: keeps no run"),
        (["--folds=900"], "--data.num_folds 900: a class has only 139 training samples"),
    ],
)
def test_what_is_refused(args: list[str], message: str, arc: Command) -> None:
    done = arc("repeat", *OPTIONS, *args)
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert message in done.err
    assert not Path("runs").exists()


@pytest.mark.slow
def test_seeds_that_were_stopped_go_on_and_end_with_the_same_bits(arc: Command) -> None:
    options = [*OPTIONS, "--trainer.max_epochs=30", "--stop_early=false"]
    command = ["repeat", *options, "--seeds=3 1", "--workers=2"]
    with Path("stderr").open("w") as err:
        process = subprocess.Popen([sys.executable, "-m", "arc_light", *command], stderr=err)
        while process.poll() is None and len([*Path("runs").rglob("metrics.csv")]) < 2:
            time.sleep(0.05)
        process.terminate()
        assert process.wait() == 75
    assert "to continue: " in Path("stderr").read_text()
    again = arc(*command)
    assert (again.status, again.err) == (0, "")
    arc("fit", *options, "--seed_everything=3", "--machine.threads=1", "--runs=alone")
    (group,) = Path("runs", "repeat").iterdir()
    assert_same(run_in(str(group / "seed3")), run_in("alone"))
    assert arc(*command).out.count("was complete already") == 2


@pytest.mark.slow
def test_folds_are_summarized_and_one_that_fails_does_not_end_the_others(arc: Command) -> None:
    done = arc("repeat", *OPTIONS, "--folds=2", "--runs=some runs")
    assert (done.status, done.err) == (0, "")
    (path,) = Path("some runs", "repeat").glob("digits_mlp-2folds-*/summary.csv")
    with path.open(newline="") as file:
        *folds, average, deviation = csv.DictReader(file)
    assert [(row["run"], row["seed"], row["fold"]) for row in folds] == [
        (f"seed42-fold{fold}", "42", str(fold)) for fold in (0, 1)
    ]
    values = [float(row["test/acc"]) for row in folds]
    assert (average["run"], float(average["test/acc"])) == ("mean", pytest.approx(mean(values)))
    assert (deviation["run"], float(deviation["test/acc"])) == ("std", pytest.approx(stdev(values)))
    assert f"{mean(values):.4f} ± {stdev(values):.4f}" in done.out
    assert arc("compare", path.parent).out.splitlines()[1].startswith("2 folds  ")
    assert arc("prune", path.parent, "--yes", "--also", "last").status == 0
    next(path.parent.glob("seed42-fold1/*/*")).joinpath("last.ckpt").write_bytes(b"")
    done = arc("repeat", *OPTIONS, "--folds=2", "--runs=some runs")
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "1 of 2 runs failed, seed42-fold1 with:" in done.err
    assert "seed42-fold0 was complete already" in done.out
