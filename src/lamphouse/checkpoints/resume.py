"""Callbacks that resume: a run that was killed ends with the bits of one that was not."""

import sys
from pathlib import Path
from time import monotonic
from typing import Any

from jsonargparse.typing import PositiveFloat, PositiveInt
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint, Timer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only
from lightning.pytorch.utilities.combined_loader import CombinedLoader
from torch import Generator

from lamphouse.checkpoints.files import LAST, read_newest
from lamphouse.checkpoints.signals import StopSignals
from lamphouse.checkpoints.state import gather, process_state, set_process_state
from lamphouse.errors import StoppedError

STOPPING = ("monitor", "mode", "patience", "min_delta", "stopping_threshold", "divergence_threshold")  # EarlyStopping's


class ExactResume(Checkpoint):
    """Saves all that a run consists of in `last.ckpt`, and resumes from there when the same script is started again.

    It saves between epochs, within them, at the end and when a signal asks the run to stop: what Lightning saves, with
    the position of loaders that have a `state_dict`, the states of all random number generators and of all metrics, of
    every process. Within an epoch it does not save while gradients accumulate, when a validation is due, or if a loader
    has no `state_dict`; then the run resumes from the beginning of the epoch. SIGTERM, SIGUSR1 and SIGINT let the step
    finish, save, and raise StoppedError. Use it with `WholeCheckpointIO`.

    Args:
        dirpath: the run's directory; None saves nothing.
        every_n_steps: save within an epoch after every so many optimizer steps.
        minutes: save within an epoch if so many minutes have passed since the last time.
    """

    def __init__(
        self, dirpath: str | None = None, every_n_steps: PositiveInt | None = None, minutes: PositiveFloat | None = 5.0
    ) -> None:
        self.path = Path(dirpath, LAST) if dirpath else None
        self.every_n_steps, self.minutes = every_n_steps, minutes
        self.saved_at = monotonic()
        self.signals = StopSignals()
        self.complete = False  # there is nothing left to train
        self._between_epochs = self._finished = False
        self._goals: dict[str, Any] = {}
        self._loaded: dict[str, Any] | None = None
        self._positions: list[dict[str, Any]] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Have the Trainer restore the newest whole checkpoint, unless `fit` was given a `ckpt_path`."""
        if stage != TrainerFn.FITTING:
            return
        self._goals = goals(trainer)
        if self.path is not None and not trainer.fast_dev_run:  # type: ignore[attr-defined]  # set by a connector
            connector = trainer._checkpoint_connector  # private: callbacks have no other way to choose the checkpoint
            newest = read_newest(self.path.parent, lambda path: connector.resume_start(path, weights_only=True))
            if newest is not None and newest.damaged is not None:
                rank_zero_only(print)(f"{newest.damaged}: resuming from {newest.path.name}", file=sys.stderr)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keep this process's state and the positions of loaders, to be restored when training begins."""
        if trainer.state.fn != TrainerFn.FITTING:
            return
        if trainer.global_rank < len(checkpoint.get("processes", [])):
            self._loaded = checkpoint["processes"][trainer.global_rank]
            self._positions = checkpoint["loops"]["fit_loop"]["state_dict"].get("combined_loader", [])
        self.complete |= bool(checkpoint.get("finished")) and checkpoint.get("goals") == self._goals
        for callback in trainer.checkpoint_callbacks:
            if isinstance(callback, ModelCheckpoint):  # which saves its score, but does not load it
                callback.current_score = checkpoint["callbacks"].get(callback.state_key, {}).get("current_score")

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.complete:
            rank_zero_info("The run is complete: nothing is trained. Raise what ends it, such as max_epochs, to go on.")
            trainer.should_stop = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the positions of loaders and this process's state."""
        self.signals.listen()
        # Lightning leaves positions out if a schedule asked for the number of steps before the checkpoint was read
        if trainer.fit_loop.restarting and self._positions:
            stateful = [loader for loader in train_loaders(trainer) if hasattr(loader, "load_state_dict")]
            for loader, position in zip(stateful, self._positions, strict=True):
                loader.load_state_dict(position)
            iter(trainer.fit_loop._data_fetcher)  # type: ignore[arg-type]  # private: iterates loaders anew
        self._restore(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save between two epochs, when schedules have been stepped and metrics logged.

        The first epoch of a resumed run begins like any other: its loaders are iterated from the restored state of
        the random numbers, not from that in which Lightning has iterated them before.
        """
        if self._loaded is not None:
            self._restore(trainer)
            trainer.fit_loop.on_iteration_done()
            trainer.fit_loop.epoch_loop.restarting = False
        self._save(trainer, between_epochs=True)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save within an epoch, if that is due or the run is to stop."""
        if (batch_idx + 1) % trainer.accumulate_grad_batches and not trainer.is_last_batch:
            return  # gradients are not saved
        stop = self.signals.received is not None
        if any_process(trainer, stop or self.is_due(trainer.global_step)):
            if can_resume_here(trainer):
                self._save(trainer)
            if any_process(trainer, stop):
                self.signals.stop()

    def is_due(self, step: int) -> bool:
        """Return whether to save after this many optimizer steps, within an epoch."""
        in_steps = self.every_n_steps is not None and step % self.every_n_steps == 0
        return in_steps or (self.minutes is not None and monotonic() - self.saved_at > 60 * self.minutes)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.signals.listen()  # Lightning has installed its own handlers before, and restores the user's at the end

    def on_validation_batch_end(self, *args: Any, **kwargs: Any) -> None:
        self.signals.check()  # the evaluation will be repeated

    on_test_start = on_validation_start
    on_test_batch_end = on_validation_batch_end

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Have ReduceLROnPlateau step after an epoch that was resumed, too, which Lightning omits."""
        self._loaded = None
        trainer.fit_loop.on_iteration_done()  # which Lightning calls a little later

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._save(trainer, between_epochs=True, finished=True)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if isinstance(exception, StoppedError) and self.path is not None:
            exception.add_note(f"{self.path}: the same script continues from here")

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["processes"] = gather(process_state(pl_module, loader_generators(trainer)))
        checkpoint["finished"], checkpoint["goals"] = self._finished, self._goals
        if self._between_epochs:
            end_epoch(checkpoint["loops"]["fit_loop"])

    def _restore(self, trainer: Trainer) -> None:
        if self._loaded is not None:
            set_process_state(trainer.lightning_module, self._loaded, loader_generators(trainer))

    def _save(self, trainer: Trainer, between_epochs: bool = False, finished: bool = False) -> None:
        if self.path is not None and not trainer.fast_dev_run:  # type: ignore[attr-defined]  # set by a connector
            self._between_epochs, self._finished = between_epochs, finished
            trainer.save_checkpoint(self.path, weights_only=False)
            self._between_epochs = self._finished = False
        self.saved_at = monotonic()


class BestCheckpoint(ModelCheckpoint):
    """A ModelCheckpoint that still knows the best epoch after the run's directory was moved or copied."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        paths = ("best_model_path", "kth_best_model_path", "last_model_path")
        moved = {name: self._moved(state_dict[name]) for name in paths}
        best = {self._moved(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **moved, "best_k_models": best, "dirpath": self.dirpath})

    def _moved(self, path: str) -> str:
        return str(Path(self.dirpath or ".", Path(path).name)) if path else path


def goals(trainer: Trainer) -> dict[str, Any]:
    """Collect what decides when training ends; a run that has reached it is complete."""
    timers = [callback for callback in trainer.callbacks if isinstance(callback, Timer)]  # type: ignore[attr-defined]  # set by a connector
    return {
        **{name: getattr(trainer, name) for name in ("max_epochs", "max_steps", "min_epochs", "min_steps")},
        "early_stopping": [[getattr(stop, name) for name in STOPPING] for stop in trainer.early_stopping_callbacks],
        "seconds": [timer.time_remaining() for timer in timers],
    }


def any_process(trainer: Trainer, wanted: bool) -> bool:
    """Return whether this or another process wants something."""
    return wanted if trainer.world_size == 1 else trainer.strategy.reduce_boolean_decision(wanted, all=False)


def train_loaders(trainer: Trainer) -> list[Any]:
    """List the loaders that the Trainer trains from."""
    loaders = trainer.train_dataloader
    return [] if loaders is None else CombinedLoader(loaders).flattened


def loader_generators(trainer: Trainer) -> list[Generator]:
    """List the random number generators that users gave to loaders without a `state_dict`, or to their samplers."""
    loaders = [loader for loader in train_loaders(trainer) if not hasattr(loader, "state_dict")]
    owners = [owner for loader in loaders for owner in (loader, getattr(loader, "sampler", None))]
    generators = [getattr(owner, "generator", None) for owner in owners]
    return [generator for generator in generators if isinstance(generator, Generator)]


def can_resume_here(trainer: Trainer) -> bool:
    """Return whether Lightning, and the loaders, can continue exactly after this batch."""
    loop: Any = trainer.fit_loop
    resumable = all(hasattr(loader, "load_state_dict") for loader in train_loaders(trainer))
    validates = loop.epoch_loop._should_check_val_fx(loop._data_fetcher)  # private: Lightning says it nowhere else
    return resumable and not trainer.is_last_batch and not validates


def end_epoch(loop: dict[str, Any]) -> None:
    """Have the saved state of Lightning's loop say that an epoch is over, or else resuming would omit the next."""
    for progress in loop["epoch_progress"].values():
        progress.update(dict.fromkeys(("ready", "started", "completed"), progress["processed"]))
    batches = loop["epoch_loop.batch_progress"]
    batches["current"] = dict.fromkeys(batches["current"], 0)
    batches["is_last_batch"] = False
    loop["state_dict"].pop("combined_loader", None)
