"""Callbacks that resume: a run that was killed ends with the bits of one that was not."""

import sys
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import Any

from jsonargparse.typing import PositiveFloat, PositiveInt
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only

from lamphouse.checkpoints.files import LAST, read_newest
from lamphouse.checkpoints.signals import StopSignals
from lamphouse.checkpoints.state import (
    before_validation,
    end_epoch,
    has_position,
    loader_generators,
    process_state,
    renumber,
    set_process_state,
    states_for,
    train_loaders,
)
from lamphouse.checkpoints.stopping import accumulates, ends_here, go_on, goals, lacks_best, why_ended
from lamphouse.errors import StoppedError
from lamphouse.files import check_kept, only_writer
from lamphouse.machine.sharing import gather

LEFT_OUT = "; if it goes on, it leaves out the rest of the epoch, as its loader has no state_dict"
PATIENCE = 15  # seconds; schedulers kill what has not ended half a minute after their signal


class ExactResume(Checkpoint):
    """Saves all that a run consists of in `last.ckpt`, and resumes from there when the same script is started again.

    It saves between epochs, within them, at the end and when a signal asks the run to stop: what Lightning saves, with
    the position of loaders that have a `state_dict`, the states of all random number generators and of all metrics, of
    every process. Within an epoch it does not save while gradients accumulate, when a validation is due, or if a loader
    has no `state_dict`; then the run resumes from the beginning of the epoch. SIGTERM, SIGINT and the like let the step
    finish, and a validation that will soon be over, save, and raise StoppedError. Use it with `WholeCheckpointIO`.

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
        self.saved_at = self._validating_since = monotonic()
        self.signals = StopSignals()
        self.complete = False  # there is nothing left to train
        self.ended: str | None = None  # when and why training ended
        self._between_epochs = self._validated = self._finished = False
        self._lock = ExitStack()
        self._goals: dict[str, Any] = {}
        self._loaded: list[dict[str, Any]] | None = None
        self._processes = 0  # that have written the checkpoint
        self._positions: list[dict[str, Any]] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Have the Trainer restore the newest whole checkpoint, unless `fit` was given a `ckpt_path`."""
        trainer.precision_plugin.convert_module(pl_module)  # or float64 weights are restored into a float32 model
        connector: Any = trainer._signal_connector  # private: its handlers would wait for the other processes
        register = connector.register_signal_handlers
        connector.register_signal_handlers = lambda: (register(), self.signals.listen())
        if stage != TrainerFn.FITTING:
            return
        self._goals = goals(trainer)
        if self.path is not None and not trainer.fast_dev_run:  # type: ignore[attr-defined]  # set by a connector
            self._lock.enter_context(only_writer(self.path.parent))
            checkpoints = trainer._checkpoint_connector  # private: callbacks have no other way to choose the checkpoint
            newest = read_newest(self.path.parent, lambda path: checkpoints.resume_start(path, weights_only=True))
            if newest is not None and newest.damaged is not None:
                rank_zero_only(print)(f"{newest.damaged}: resuming from {newest.path.name}", file=sys.stderr)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keep this process's state and the positions of loaders, to be restored when training begins."""
        if trainer.state.fn != TrainerFn.FITTING:
            return
        if processes := checkpoint.get("processes"):
            self._loaded = states_for(trainer.global_rank, trainer.world_size, processes)
            self._processes = len(processes)
            self._positions = checkpoint["loops"]["fit_loop"]["state_dict"].get("combined_loader", [])
        finished, callbacks = bool(checkpoint.get("finished")), checkpoint["callbacks"]
        self.complete |= finished and checkpoint.get("goals") == self._goals
        self.ended = checkpoint.get("ended") if self.complete else None
        for stop in trainer.early_stopping_callbacks:
            if stop.state_key in callbacks:
                go_on(stop, callbacks[stop.state_key], finished and not self.complete)
        for callback in trainer.checkpoint_callbacks:
            if isinstance(callback, ModelCheckpoint):  # which saves its score, but does not load it
                callback.current_score = callbacks.get(callback.state_key, {}).get("current_score")

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.complete:
            rank_zero_info("The run is complete: nothing is trained. Raise what ends it, such as max_epochs, to go on.")
            trainer.should_stop = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the positions of loaders and this process's state."""
        # Lightning leaves positions out if a schedule asked for the number of steps before the checkpoint was read
        if trainer.fit_loop.restarting and self._positions:
            stateful = [loader for loader in train_loaders(trainer) if hasattr(loader, "load_state_dict")]
            for loader, position in zip(stateful, self._positions, strict=True):
                loader.load_state_dict(position)
            if self._processes != trainer.world_size:
                renumber(trainer, stateful, self._processes)
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
        if any_process(trainer, self.signals.received is not None):
            self._stop()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save within an epoch, if that is due, or training ends or is to stop here."""
        if accumulates(trainer):
            return  # gradients are not saved
        stop, ends = self.signals.received is not None, ends_here(trainer)
        if ends and lacks_best(trainer):
            trainer.should_stop = True  # has the Trainer validate, as it has not before
        if ends or any_process(trainer, stop or self.is_due(trainer.global_step)):
            if resumable := can_resume_here(trainer):
                self._save(trainer, finished=ends)
            # without a position there is nothing to wait for, except for the end of the epoch if this is its last batch
            if any_process(trainer, stop) and (resumable or not (validates(trainer) or trainer.is_last_batch)):
                self._stop()

    def is_due(self, step: int) -> bool:
        """Return whether to save after this many optimizer steps, within an epoch."""
        in_steps = self.every_n_steps is not None and step % self.every_n_steps == 0
        return in_steps or (self.minutes is not None and monotonic() - self.saved_at > 60 * self.minutes)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._validating_since = monotonic()

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Stop here, and have the validation repeated, unless it will be over before a scheduler's patience is."""
        if self.signals.received is not None:
            counts = trainer.num_val_batches
            done, total = sum(counts[:dataloader_idx]) + batch_idx + 1, sum(counts)
            left = (monotonic() - self._validating_since) * (total / done - 1)
            if left > PATIENCE or trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
                self.signals.stop()

    def on_test_batch_end(self, *args: Any, **kwargs: Any) -> None:
        self.signals.check()  # the test will be repeated

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save within an epoch, if training ends there."""
        fitting = trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking
        if fitting and ends_here(trainer) and not accumulates(trainer) and has_position(trainer):
            self._validated = True
            self._save(trainer, finished=True)
            self._validated = False

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Have ReduceLROnPlateau step after an epoch that was resumed, too, which Lightning omits."""
        self._loaded = None
        trainer.fit_loop.on_iteration_done()  # which Lightning calls a little later

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.ended is None:  # else it has saved within the epoch
            self._save(trainer, between_epochs=True, finished=True)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._lock.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._lock.close()
        if isinstance(exception, StoppedError) and self.path is not None:
            exception.add_note(f"{self.path}: the same script continues from here")

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["processes"] = gather(process_state(pl_module, loader_generators(trainer)))
        ended = self.ended if self._finished else None
        checkpoint.update(finished=self._finished, goals=self._goals, ended=ended)
        if self._between_epochs:
            end_epoch(checkpoint["loops"]["fit_loop"])
        if self._validated:
            before_validation(checkpoint["loops"]["fit_loop"])

    def _stop(self) -> None:
        """Stop all processes, because of the signal that one of them has received."""
        self.signals.received = next(filter(None, gather(self.signals.received)), None)
        self.signals.stop()

    def _restore(self, trainer: Trainer) -> None:
        if self._loaded is not None:
            own, *others = self._loaded
            set_process_state(trainer.lightning_module, own, loader_generators(trainer), others)

    def _save(self, trainer: Trainer, between_epochs: bool = False, finished: bool = False) -> None:
        if self.path is not None and not trainer.fast_dev_run:  # type: ignore[attr-defined]  # set by a connector
            check_kept(self.path.parent)
            self._between_epochs, self._finished = between_epochs, finished
            if finished:
                self.ended = why_ended(trainer, trainer.current_epoch, trainer.global_step)
                self.ended += LEFT_OUT if between_epochs and not trainer.is_last_batch else ""
            trainer.save_checkpoint(self.path, weights_only=False)
            self._between_epochs = self._finished = False
        self.saved_at = monotonic()


def any_process(trainer: Trainer, wanted: bool) -> bool:
    """Return whether this or another process wants something."""
    return wanted if trainer.world_size == 1 else trainer.strategy.reduce_boolean_decision(wanted, all=False)


def can_resume_here(trainer: Trainer) -> bool:
    """Return whether Lightning, and the loaders, can continue exactly after this batch."""
    return has_position(trainer) and not validates(trainer)


def validates(trainer: Trainer) -> bool:
    """Return whether a validation is due after this batch."""
    loop: Any = trainer.fit_loop
    return bool(loop.epoch_loop._should_check_val_fx(loop._data_fetcher))  # private: Lightning says it nowhere else
