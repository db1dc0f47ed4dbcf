"""The checkpoint from which a run goes on as if it had never stopped."""

from pathlib import Path
from time import monotonic
from typing import Any

from jsonargparse.typing import PositiveFloat, PositiveInt
from lightning.fabric.utilities.types import _Stateful
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.trainer.states import TrainerFn

from lamphouse.checkpoints.signals import StopSignals
from lamphouse.checkpoints.state import of_all_processes, process_state, set_process_state


class Timetable:
    """Tells when the next checkpoint within an epoch is due.

    Args:
        every_n_steps: after every so many optimizer steps; None for never.
        minutes: after so many minutes without one; None for never.
    """

    def __init__(self, every_n_steps: int | None, minutes: float | None) -> None:
        self.every_n_steps, self.minutes = every_n_steps, minutes
        self.keep()

    def due(self, step: int) -> bool:
        """Say whether it is due after this many optimizer steps."""
        in_steps = self.every_n_steps is not None and step % self.every_n_steps == 0
        return in_steps or (self.minutes is not None and monotonic() - self._kept > 60 * self.minutes)

    def keep(self) -> None:
        """Note that one was written."""
        self._kept = monotonic()


class ExactResume(Checkpoint):
    """Keep all that a run consists of, between epochs, within them and when a signal asks the run to stop.

    That is what Lightning keeps, which includes the position of a loader that can tell it, and in addition the state
    of all generators of random numbers and of all metrics, of every process. Within an epoch nothing is kept while
    gradients accumulate, when a validation is due, or where a loader cannot tell its position.

    Args:
        dirpath: the run's directory; None keeps nothing.
        every_n_steps: keep after every so many optimizer steps, too.
        minutes: keep within an epoch, too, when the last time is so many minutes ago.
    """

    def __init__(
        self,
        dirpath: str | None = None,
        every_n_steps: PositiveInt | None = None,
        minutes: PositiveFloat | None = 5.0,
    ) -> None:
        self.path = Path(dirpath, "last.ckpt") if dirpath else None
        self.timetable = Timetable(every_n_steps, minutes)
        self.signals = StopSignals()
        self._between_epochs = self._finished = False
        self._loaded: dict[str, Any] | None = None
        self.complete = False  # nothing is left to train

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Answer signals, which Lightning would do otherwise, from here on; have loaders go on where they were.

        Lightning forgets the second where a schedule has asked for the number of steps, and so for the loaders, before.
        """
        self.on_test_start(trainer, pl_module)
        loop: Any = trainer.fit_loop
        if loop.restarting and loop._combined_loader_states_to_load:
            loop._load_combined_loader_states()
            iter(loop._data_fetcher)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Answer signals, which Lightning would do otherwise, from here on."""
        self.signals.listen()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the state between two epochs: schedules are stepped and metrics written down only now."""
        self._save(trainer, between_epochs=True)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the state within an epoch, if that is due or the run is to stop.

        Raises:
            StoppedError: a signal asked for it, and all is kept.
        """
        if trainer.fit_loop._should_accumulate():
            return
        stop, due = self.signals.received is not None, self.timetable.due(trainer.global_step)
        if any_process(trainer, stop or due):
            if can_resume_here(trainer):
                self._save(trainer)
            if any_process(trainer, stop):
                self.signals.stop()

    def on_validation_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """Stop if a signal asked for it; what is evaluated now will be evaluated again."""
        self.signals.check()

    on_test_batch_end = on_validation_batch_end

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Have a schedule that waits for a plateau step, which Lightning leaves out in an epoch that was resumed."""
        trainer.fit_loop._restarting = False

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep what the training ended with, from which more epochs can follow."""
        self._save(trainer, between_epochs=True, finished=True)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add what Lightning leaves out."""
        checkpoint["processes"] = of_all_processes(process_state(pl_module))
        checkpoint["finished"] = self._finished
        if self._between_epochs:
            begin_next_epoch(checkpoint["loops"]["fit_loop"])

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Take this process's part, if training goes on."""
        if trainer.state.fn == TrainerFn.FITTING and trainer.global_rank < len(checkpoint.get("processes", [])):
            self._loaded = checkpoint["processes"][trainer.global_rank]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put back what was added; what Lightning does up to the first batch draws the same numbers again."""
        if self._loaded is not None:
            set_process_state(pl_module, self._loaded)
            self._loaded = None
        trainer.should_stop = self.complete

    def _save(self, trainer: Trainer, between_epochs: bool = False, finished: bool = False) -> None:
        if self.path is not None and not trainer.fast_dev_run:  # type: ignore[attr-defined]  # set by a connector
            self._between_epochs, self._finished = between_epochs, finished
            trainer.save_checkpoint(self.path)
            self._between_epochs = self._finished = False
        self.timetable.keep()


def any_process(trainer: Trainer, wanted: bool) -> bool:
    """Tell whether this or another process wants something."""
    return wanted if trainer.world_size == 1 else trainer.strategy.reduce_boolean_decision(wanted, all=False)


def can_resume_here(trainer: Trainer) -> bool:
    """Tell whether Lightning, and the loaders, can go on exactly after this batch."""
    loop: Any = trainer.fit_loop
    resumable = all(isinstance(loader, _Stateful) for loader in loop._combined_loader.flattened)
    validates = trainer.is_last_batch or loop.epoch_loop._should_check_val_fx(loop._data_fetcher)
    return resumable and not validates


def begin_next_epoch(loop: dict[str, Any]) -> None:
    """Have the saved state of Lightning's loop say that one epoch is over and the next has not begun.

    Where a hook is called in between, it says something else, from which it would leave an epoch out.
    """
    for counted in loop["epoch_progress"].values():
        counted.update(dict.fromkeys(("ready", "started", "completed"), counted["processed"]))
    batches = loop["epoch_loop.batch_progress"]
    batches["current"] = dict.fromkeys(batches["current"], 0)
    batches["is_last_batch"] = False
