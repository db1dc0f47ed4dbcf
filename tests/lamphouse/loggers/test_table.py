"""The run's own table of metrics."""

import csv
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer
from stock import QUIET, LoggingModel

from lamphouse.errors import InputError
from lamphouse.loggers import MetricsTable
from lamphouse.loggers.table import COLUMNS

VAL = {"val/loss": 2.0, "val/acc": 0.5}
TRAIN = {"train/loss": 1.0, "train/acc": 0.75, "lr": 0.1, "images_per_second": 9.0, "seconds": 3.0}
TEST = {"test/loss": 2.5, "test/acc": 0.25}
PATH = Path("m.csv")


def logged(epochs: int) -> MetricsTable:
    """Log as the Trainer does: the validation's metrics, then the training's."""
    table = MetricsTable(PATH)
    for epoch in range(epochs):
        table.log_metrics({**VAL, "epoch": epoch}, 10 * epoch)
        table.log_metrics({**TRAIN, "epoch": epoch}, 10 * epoch)
    return table


def rows(path: Path = PATH) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_metrics_of_any_name_in_a_stock_trainer() -> None:
    options = QUIET | {"logger": MetricsTable("own/metrics.csv"), "log_every_n_steps": 1}
    trainer = Trainer(**options)
    trainer.fit(LoggingModel())
    table = rows(Path("own", "metrics.csv"))
    assert list(table[0]) == ["epoch", "step", "train_loss", "perplexity"]
    assert [(row["epoch"], row["step"]) for row in table] == [("0", "3"), ("1", "7")]
    assert float(table[1]["perplexity"]) == pytest.approx(float(trainer.callback_metrics["perplexity"]))
    assert trainer.log_dir == "own"


def test_an_epoch_is_one_row_and_the_test_another() -> None:
    logged(2).log_metrics({**TEST, "epoch": 2}, 20)
    first, second, test = rows()
    assert PATH.read_text().splitlines()[0] == ",".join(COLUMNS)
    metrics = {name: str(value) for name, value in (VAL | TRAIN).items()}
    assert first == {**metrics, "epoch": "0", "step": "0", "test/loss": "", "test/acc": ""}
    assert (second["epoch"], second["step"]) == ("1", "10")
    assert (test["test/loss"], test["test/acc"], test["val/loss"]) == ("2.5", "0.25", "")


def test_the_file_is_complete_after_every_epoch() -> None:
    table = MetricsTable(PATH)
    for epoch in range(3):
        table.log_metrics({**VAL, "epoch": epoch}, epoch)
        table.log_metrics({**TRAIN, "epoch": epoch}, epoch)
        assert len(rows()) == epoch + 1


@pytest.mark.parametrize("kept", [0, 2])
def test_a_resumed_run_keeps_the_rows_before(kept: int) -> None:
    logged(3).log_metrics({**TEST, "epoch": 3}, 30)
    table = MetricsTable(PATH)
    table.keep_before(kept)
    table.log_metrics({**TRAIN, "epoch": kept}, 99)
    assert [row["epoch"] for row in rows()] == [str(epoch) for epoch in range(kept + 1)]
    assert rows()[-1]["step"] == "99"
    assert "test/loss" not in rows()[0]


def test_values_have_no_more_digits_than_float32_needs() -> None:
    MetricsTable(PATH).log_metrics({**TRAIN, "lr": torch.tensor(0.008).item(), "epoch": 0}, 1)
    assert rows()[0]["lr"] == "0.008"


@pytest.mark.parametrize(
    "text",
    ["epoch,step,val/acc\n0,1,\n0,x,0.5\n", "a\n1\n", "epoch,step\n\0,1\n", 'epoch,step\n"', "epoch,step\n1,2,3\n"],
)
def test_a_damaged_table_is_refused(text: str) -> None:
    PATH.write_text(text)
    with pytest.raises(InputError, match=r"m\.csv: damaged"):
        MetricsTable(PATH)
