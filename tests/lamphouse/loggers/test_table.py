"""The run's own table of metrics."""

import csv
from pathlib import Path

import pytest
import torch

from lamphouse.errors import InputError
from lamphouse.loggers.table import COLUMNS, MetricsTable

VAL = {"val/loss": 2.0, "val/acc": 0.5}
TRAIN = {"train/loss": 1.0, "train/acc": 0.75, "lr": 0.1, "images_per_second": 9.0, "seconds": 3.0}
TEST = {"test/loss": 2.5, "test/acc": 0.25}


def logged(path: Path, epochs: int) -> MetricsTable:
    """Log as the Trainer does: the validation's metrics, then the training's, and the test's at the end."""
    table = MetricsTable(path)
    for epoch in range(epochs):
        table.log_metrics({**VAL, "epoch": epoch}, 10 * epoch)
        table.log_metrics({**TRAIN, "epoch": epoch}, 10 * epoch)
    return table


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_an_epoch_is_one_row_and_the_test_another() -> None:
    table = logged(Path("m.csv"), 2)
    table.log_metrics({**TEST, "epoch": 2}, 20)
    first, second, test = rows(Path("m.csv"))
    assert Path("m.csv").read_text().splitlines()[0] == ",".join(COLUMNS)
    assert first == {
        **{name: str(value) for name, value in (VAL | TRAIN).items()},
        "epoch": "0",
        "step": "0",
        "test/loss": "",
        "test/acc": "",
    }
    assert (second["epoch"], second["step"]) == ("1", "10")
    assert (test["test/loss"], test["test/acc"], test["val/loss"]) == ("2.5", "0.25", "")


def test_the_file_is_whole_after_every_epoch() -> None:
    table = MetricsTable(Path("m.csv"))
    for epoch in range(3):
        table.log_metrics({**VAL, "epoch": epoch}, epoch)
        table.log_metrics({**TRAIN, "epoch": epoch}, epoch)
        assert len(rows(Path("m.csv"))) == epoch + 1


def test_metrics_of_the_users_own_get_columns_behind() -> None:
    table = MetricsTable(Path("m.csv"))
    table.log_metrics({**TRAIN, "epoch": 0, "grad_norm": 7.0}, 1)
    assert list(rows(Path("m.csv"))[0]) == [*COLUMNS, "grad_norm"]


@pytest.mark.parametrize("kept", [0, 1, 2, 3])
def test_a_resumed_run_keeps_the_rows_before(kept: int) -> None:
    logged(Path("m.csv"), 3).log_metrics({**TEST, "epoch": 3}, 30)
    table = MetricsTable(Path("m.csv"))
    table.keep_before(kept)
    table.log_metrics({**TRAIN, "epoch": kept}, 99)
    assert [row["epoch"] for row in rows(Path("m.csv"))] == [str(epoch) for epoch in range(kept + 1)]
    assert rows(Path("m.csv"))[-1]["step"] == "99"
    assert not any(row["test/loss"] for row in rows(Path("m.csv")))


def test_values_have_no_more_digits_than_float32_tells_apart() -> None:
    table = MetricsTable(Path("m.csv"))
    table.log_metrics({**TRAIN, "lr": torch.tensor(0.008).item(), "epoch": 0}, 1)
    assert rows(Path("m.csv"))[0]["lr"] == "0.008"


@pytest.mark.parametrize(
    "text", ["epoch,step,val/acc\n0,1,\n0,x,0.5\n", "a\n1\n", "epoch,step\n\0,1\n", '"', "epoch,step\n1,2,3\n"]
)
def test_a_damaged_table_is_refused(text: str) -> None:
    Path("m.csv").write_text(text)
    with pytest.raises(InputError, match=r"m\.csv: damaged"):
        MetricsTable(Path("m.csv"))
