"""Pictures of a model in each logger that takes them, on request: after training, and from other commands."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Outcome
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

Command = Callable[..., Outcome]
TITLES = {"confusion matrix", "calibration", "most confident mistakes", "training batch"}


def events(folder: Path) -> tuple[EventAccumulator, dict[str, Any]]:
    read = EventAccumulator(str(folder), {"images": 0, "tensors": 0})
    read.Reload()
    return read, read.Tags()


@pytest.mark.slow
def test_tensorboard_shows_images_graph_and_results(fit: Command) -> None:
    outcome = fit("--logger=tensorboard", "--pictures=true")
    assert (outcome.status, outcome.err) == (0, "")
    read, tags = events(next(Path("runs/digits_mlp").glob("*/tensorboard")))
    assert {tag.partition("/")[2] for tag in tags["images"]} == TITLES
    assert tags["graph"]
    assert {"best/val/acc", "best/test/acc"} <= set(tags["scalars"])  # which HPARAMS shows with the options
    (table,) = read.Tensors("pictures/classes/text_summary")
    rows = table.tensor_proto.string_val[0].decode().splitlines()[2:]
    assert sum(int(row.split("|")[2]) for row in rows) == 359  # the whole test set, whatever the limits of the training


@pytest.mark.slow
def test_wandb_gets_images_and_tables_of_a_run_that_is_over(arc: Command, trained: Path) -> None:
    outcome = arc("evaluate", "--run", trained, "--pictures=true", "--logger=wandb")
    assert (outcome.status, outcome.err) == (0, "")
    (files,) = trained.glob("wandb/offline-run-*/files")
    shown = {path.name.partition("_")[0] for path in files.glob("media/images/pictures/*.png")}
    assert shown == TITLES
    (table,) = files.glob("media/table/tables/mistakes*.json")
    assert 0 < len(json.loads(table.read_text())["data"]) <= 64


def test_a_logger_that_takes_no_pictures_is_refused_before_anything_is_written(arc: Command, trained: Path) -> None:
    outcome = arc("report", "--run", trained, "--pictures=true")
    assert (outcome.status, outcome.err.count("\n")) == (2, 1)
    assert "--logger none takes none: give --logger tensorboard" in outcome.err
    assert not (trained / "report.html").exists()
