"""Checkpoints of a run, and its early end."""

from functools import cached_property
from pathlib import Path
from typing import Any

from lightning.pytorch import callbacks


class KeyOnce(callbacks.Callback):
    """A callback whose key is made once (abstract): Lightning asks for it at every hook of every step."""

    @cached_property
    def state_key(self) -> str:
        """Tell its state from that of other callbacks, in a checkpoint."""
        return super().state_key


class EarlyStopping(KeyOnce, callbacks.EarlyStopping):
    """Lightning's own."""


class BestCheckpoint(KeyOnce, callbacks.ModelCheckpoint):
    """A ModelCheckpoint that knows the best epoch so far also when the run's directory has been moved or copied."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what the run had reached, its files being where the directory is now."""
        paths = ("best_model_path", "kth_best_model_path", "last_model_path")
        moved = {name: self._moved(state_dict[name]) for name in paths}
        best = {self._moved(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **moved, "best_k_models": best, "dirpath": self.dirpath})

    def _moved(self, path: str) -> str:
        return str(Path(self.dirpath or ".", Path(path).name)) if path else path
