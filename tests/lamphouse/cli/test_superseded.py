"""A logger that an option replaces."""

from pathlib import Path

import pytest
import yaml

from lamphouse.cli.superseded import last_logger, without_superseded_logger

WANDB = {"class_path": "lightning.pytorch.loggers.WandbLogger", "init_args": {"project": "mine"}}
CONTENT = yaml.safe_dump({"trainer": {"max_epochs": 3, "logger": WANDB}, "seed_everything": 1})


@pytest.mark.parametrize(
    ("args", "name"),
    [
        ([], None),
        (["-c", "a.yaml"], None),
        (["--trainer.logger", "CSVLogger"], "CSVLogger"),
        (["--trainer.logger=lightning.pytorch.loggers.CSVLogger"], "CSVLogger"),
        (["--trainer.logger", "CSVLogger", "-c", "a.yaml"], None),
        (["-c", "a.yaml", "--trainer.logger", "false"], "False"),
        (["--trainer.logger=null"], "None"),
        (["--trainer.logger.init_args.name", "x"], None),
        (["--trainer.logger"], None),
        (["--trainer.logger", "missing.yaml"], None),
        (["--trainer.logger", "csv.yaml"], "CSVLogger"),
        (["--trainer.logger", "{class_path: a.TensorBoardLogger}"], "TensorBoardLogger"),
        (["--trainer.logger", "[CSVLogger]"], "['CSVLogger']"),
        (["--trainer.logger", "{"], None),
    ],
)
def test_the_last_logger_of_the_options(args: list[str], name: str | None) -> None:
    Path("csv.yaml").write_text("class_path: lightning.pytorch.loggers.CSVLogger")
    assert last_logger(args) == name


@pytest.mark.parametrize("name", ["CSVLogger", "False", "None"])
def test_a_logger_of_another_class_is_left_out_and_nothing_else(name: str) -> None:
    expected = {"trainer": {"max_epochs": 3}, "seed_everything": 1}
    assert yaml.safe_load(without_superseded_logger(CONTENT, name)) == expected


def test_a_logger_of_the_same_class_stays_since_its_options_are_merged() -> None:
    assert without_superseded_logger(CONTENT, "WandbLogger") == CONTENT


@pytest.mark.parametrize("content", ["", "trainer: 3", "trainer: {logger: missing.yaml}", "{", "seed_everything: 1"])
def test_content_without_a_logger_stays_as_it_is(content: str) -> None:
    assert without_superseded_logger(content, "CSVLogger") == content
