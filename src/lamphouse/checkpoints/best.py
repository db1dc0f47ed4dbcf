"""The checkpoint of the best epoch."""

from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import ModelCheckpoint


class BestCheckpoint(ModelCheckpoint):
    """A ModelCheckpoint that still knows the best epoch after the run's directory was moved or copied.

    If the file of the best epoch is gone, the best of the epochs to come is kept.
    """

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        paths = ("best_model_path", "kth_best_model_path", "last_model_path")
        moved = {name: self._moved(state_dict[name]) for name in paths}
        best = {self._moved(path): score for path, score in state_dict["best_k_models"].items()}
        if all(Path(path).is_file() for path in best):
            super().load_state_dict({**state_dict, **moved, "best_k_models": best, "dirpath": self.dirpath})

    def _moved(self, path: str) -> str:
        return str(Path(self.dirpath or ".", Path(path).name)) if path else path
