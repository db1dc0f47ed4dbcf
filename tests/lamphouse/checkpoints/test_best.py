"""Checkpoints of a run that has been moved."""

from pathlib import Path

import torch

from lamphouse.checkpoints import BestCheckpoint


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
