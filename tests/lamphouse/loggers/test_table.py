"""The run's own table of metrics."""

import csv
import resource
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from stock import QUIET, LoggingModel

from lamphouse.errors import InputError
from lamphouse.loggers import MetricsTable
from lamphouse.loggers.table import COLUMNS

VAL = {"val/loss": 2.0, "val/acc": 0.5}
TRAIN = {"train/loss": 1.0, "train/acc": 0.75, "lr": 0.1, "samples_per_second": 9.0, "seconds": 3.0}
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
    assert list(table[0]) == ["epoch", "step", "perplexity"]
    assert [(row["epoch"], row["step"]) for row in table] == [("0", "3"), ("1", "7")]
    assert float(table[1]["perplexity"]) == pytest.approx(float(trainer.callback_metrics["perplexity"]))
    assert trainer.log_dir == "own"


def test_steps_have_a_table_of_their_own() -> None:
    class Steps(LoggingModel):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("batch_loss", float(batch_idx), on_step=True)

    options = QUIET | {"logger": MetricsTable(PATH), "log_every_n_steps": 3, "limit_train_batches": 5}
    Trainer(**options).fit(Steps())
    assert list(rows()[0]) == ["epoch", "step", "batch_loss_epoch"]
    steps = rows(Path("steps.csv"))
    assert [row["step"] for row in steps if row["train_loss"]] == ["2", "5", "8"]
    assert [(row["step"], row["batch"]) for row in steps if row["batch_loss_step"]] == [
        ("4", "0"), ("4", "1"), ("9", "2"), ("9", "3"),
    ]  # fmt: skip


def test_each_validation_within_an_epoch_has_a_row() -> None:
    class Validated(LoggingModel):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = super().training_step(batch, batch_idx)
            self.log("train/loss", loss["loss"], on_step=False, on_epoch=True)
            return loss

    options = QUIET | {
        "logger": MetricsTable(PATH),
        "val_check_interval": 2,
        "limit_train_batches": 5,
        "log_every_n_steps": 1,
    }
    Trainer(**options).fit(Validated())
    written = [(row["epoch"], row["step"], bool(row["perplexity"]), bool(row["train/loss"])) for row in rows()]
    steps = {"0": (1, 3, 4), "1": (6, 8, 9)}
    assert written == [(epoch, str(step), step % 5 != 4, step % 5 == 4) for epoch in steps for step in steps[epoch]]


def test_an_epoch_is_one_row_and_the_test_another() -> None:
    logged(2).log_metrics({**TEST, "epoch": 2}, 20)
    first, second, test = rows()
    assert PATH.read_text().splitlines()[0] == ",".join(COLUMNS)
    metrics = {name: str(value) for name, value in (VAL | TRAIN).items()}
    assert first == {**metrics, "epoch": "0", "step": "0", "test/loss": "", "test/acc": ""}
    assert (second["epoch"], second["step"]) == ("1", "10")
    assert (test["test/loss"], test["test/acc"], test["val/loss"]) == ("2.5", "0.25", "")


def test_the_file_grows_by_whole_rows_and_is_not_written_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    table = logged(1)
    monkeypatch.setattr("lamphouse.loggers.csv_file.write_whole", None)
    for epoch in range(1, 4):
        table.log_metrics({**VAL, "epoch": epoch}, epoch)
        table.log_metrics({**TRAIN, "epoch": epoch}, epoch)
        assert len(rows()) == epoch + 1


def test_a_full_disk_leaves_whole_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    table = logged(2)
    before = PATH.read_bytes()
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 9, resource.RLIM_INFINITY))
    try:
        with pytest.raises(OSError, match=r"No space|too large"):
            table.log_metrics({**TRAIN, "epoch": 2}, 20)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert PATH.read_bytes() == before


def test_a_script_that_resumes_from_an_earlier_checkpoint_repeats_no_row(capsys: pytest.CaptureFixture[str]) -> None:
    logged(3)
    with PATH.open("a") as file:
        file.write("3,30,0.")  # cut off by a kill
    table = MetricsTable(PATH)
    table.log_metrics({**TRAIN, "epoch": 1}, 10)
    assert [(row["epoch"], row["val/loss"]) for row in rows()] == [("0", "2.0"), ("1", "")]
    assert "2 rows from epoch 1 on are replaced" in capsys.readouterr().err


def test_a_symbolic_link_is_replaced_not_followed() -> None:
    Path("other").write_text("epoch,step\n")
    PATH.symlink_to("other")
    logged(2)
    assert Path("other").read_text() == "epoch,step\n"
    assert len(rows()) == 2


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
    ["epoch,step,val/acc\n0,1,\n0,x,0.5\n", "a\n1\n", "epoch,step\n\0,1\n", 'epoch,step\n"\n', "epoch,step\n1,2,3\n"],
)
def test_a_damaged_table_is_refused(text: str) -> None:
    PATH.write_text(text)
    with pytest.raises(InputError, match=r"m\.csv: damaged"):
        MetricsTable(PATH)
