"""Checkpoints of a run that has been moved."""

from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer
from stock import QUIET, LoggingModel

from lamphouse.checkpoints import BestCheckpoint, load_checkpoint
from arc_light.monitor import Monitor

TIES = [(0.5, 0.1), (0.9, 0.3), (0.9, 0.2), (0.9, 0.4)]  # accuracy and loss of each epoch


def test_what_was_reached_is_known_in_another_directory() -> None:
    before = BestCheckpoint(dirpath="here", monitor="val/acc", mode="max")
    best = str(Path("here", "best.ckpt").absolute())
    Path("there").mkdir()
    Path("there", "best.ckpt").touch()
    before.best_model_path = before.kth_best_model_path = best
    before.best_model_score = before.kth_value = torch.tensor(0.9)
    before.best_k_models = {best: torch.tensor(0.9)}
    after = BestCheckpoint(dirpath="there", monitor="val/acc", mode="max")
    after.load_state_dict(before.state_dict())
    moved = str(Path("there", "best.ckpt").absolute())
    assert after.best_k_models == {moved: torch.tensor(0.9)}
    assert after.best_model_path == after.kth_best_model_path == moved
    assert after.best_model_score == 0.9
    assert after.last_model_path == ""


def test_where_its_file_is_gone_the_best_of_the_epochs_to_come_is_kept() -> None:
    before = BestCheckpoint(dirpath="here", monitor="val/acc", mode="max")
    before.best_model_path = str(Path("here", "best.ckpt").absolute())
    before.best_k_models = {before.best_model_path: torch.tensor(0.9)}
    after = BestCheckpoint(dirpath="here", monitor="val/acc", mode="max")
    after.load_state_dict(before.state_dict())
    assert after.best_k_models == {}
    assert after.best_model_path == ""


def test_of_equal_values_the_one_with_the_lower_loss_is_kept() -> None:
    class Tied(LoggingModel):
        def on_validation_epoch_end(self) -> None:
            self.log("val_acc", TIES[self.current_epoch][0])
            self.log("val_loss", TIES[self.current_epoch][1])

    options = QUIET | {"max_epochs": 4, "num_sanity_val_steps": 0, "enable_checkpointing": True, "log_every_n_steps": 1}
    Trainer(callbacks=[BestCheckpoint("run", "best", "val_acc", enable_version_counter=False)], **options).fit(Tied())
    assert load_checkpoint(Path("run", "best.ckpt"))["epoch"] == 2
    values = [{"val/acc": torch.tensor(acc), "val/loss": torch.tensor(loss)} for acc, loss in TIES]
    monitor = Monitor("val/acc", "max")
    assert [monitor.improved_or_tied(metrics) for metrics in values] == [True, True, True, False]


class Scored(LoggingModel):
    """Reaches these accuracies, one an epoch."""

    scores = (0.5, 0.9, 0.7, 0.8, 0.6)

    def on_validation_epoch_end(self) -> None:
        self.log("val/acc", self.scores[self.current_epoch])


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, None),
        ({"save_top_k": 2}, {"epoch=1-step=8-val_acc=0.9000", "epoch=3-step=16-val_acc=0.8000"}),
        ({"every_n_epochs": 2}, {"epoch=1-step=8-val_acc=0.9000", "epoch=3-step=16-val_acc=0.8000"}),
        ({"every_n_epochs": 3, "save_top_k": 2}, {"epoch=2-step=12-val_acc=0.7000"}),
    ],
)
def test_further_checkpoints_are_named_for_epoch_and_metric(options: dict[str, int], kept: set[str] | None) -> None:
    best = BestCheckpoint("run", "best", "val/acc", enable_version_counter=False, **options)
    trainer = Trainer(
        callbacks=[best], **QUIET | {"max_epochs": 5, "num_sanity_val_steps": 0, "enable_checkpointing": True}
    )
    trainer.fit(Scored())
    assert load_checkpoint(Path("run", "best.ckpt"))["epoch"] == 1
    assert {path.stem for path in Path("run", "checkpoints").glob("*.ckpt")} == (kept or set())
    for name in kept or ():
        assert f"epoch={load_checkpoint(Path('run', 'checkpoints', f'{name}.ckpt'))['epoch']}-" in name
