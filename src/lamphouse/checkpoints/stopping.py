"""What ends a training, and what a run that goes on beyond its end keeps of that."""

import sys
from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, Timer


def goals(trainer: Trainer) -> dict[str, Any]:
    """Collect what decides when training ends; a run that has reached it is complete."""
    endless = trainer.max_steps != -1 or timers(trainer)
    return {  # with the defaults that the Trainer fills in when training begins
        "max_epochs": (-1 if endless else 1000) if trainer.max_epochs is None else trainer.max_epochs,
        "min_epochs": int(trainer.min_steps is not None) if trainer.min_epochs is None else trainer.min_epochs,
        **{name: getattr(trainer, name) for name in ("max_steps", "min_steps")},
        "early_stopping": [_rule(stop) for stop in trainer.early_stopping_callbacks],
        "seconds": [timer.time_remaining() for timer in timers(trainer)],  # all of it, before training begins
    }


def _rule(stop: EarlyStopping) -> list[Any]:
    return [stop.monitor, stop.patience, abs(stop.min_delta), stop.stopping_threshold, stop.divergence_threshold]


def timers(trainer: Trainer) -> list[Timer]:
    """List the callbacks that end training after some time, `max_time` among them."""
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]  # set by a connector
    return [callback for callback in callbacks if isinstance(callback, Timer)]


def ends_here(trainer: Trainer) -> bool:
    """Return whether training ends after this batch, not only after its epoch."""
    enough = trainer.current_epoch >= (trainer.min_epochs or 0) and trainer.global_step >= (trainer.min_steps or 0)
    return 0 < trainer.max_steps <= trainer.global_step or (trainer.should_stop and enough)


def after(epochs: int, steps: int) -> str:
    """Say how far a run is."""
    return f"after {epochs} epoch{'s' * (epochs != 1)} and {steps} step{'s' * (steps != 1)}"


def why_ended(trainer: Trainer, epochs: int, steps: int) -> str:
    """Say after how many epochs and steps training ended, and why."""
    stops = filter(None, map(why_stopped, trainer.early_stopping_callbacks))
    limit = limit_reached(trainer, epochs, steps)
    reason = f"{limit} reached" if limit else next(stops, "a callback asked for it")
    return f"{after(epochs, steps)}, {reason}"


def limit_reached(trainer: Trainer, epochs: int, steps: int, seconds: float = 0.0) -> str | None:
    """Name the limit of the Trainer that a run has reached, `seconds` of training before this one included."""
    if 0 < trainer.max_steps <= steps:
        return "max_steps"
    if 0 < (trainer.max_epochs or 0) <= epochs:
        return "max_epochs"
    left = [timer.time_remaining() for timer in timers(trainer)]  # None is no limit
    return "max_time" if any(rest is not None and rest <= seconds for rest in left) else None


def why_stopped(stop: EarlyStopping) -> str | None:
    """Say why a callback stopped training early; None if it did not."""
    if stop.wait_count >= max(stop.patience, 1):
        best, waited = float(stop.best_score), stop.wait_count
        times = f"{waited} validation{'s' * (waited > 1)}"
        return f"early stopping: {stop.monitor} was no better than {best:.4f} for {times}"
    message = stop.stopping_reason_message
    return message and f"early stopping: {message.removesuffix(' Signaling Trainer to stop.').rstrip('.')}"


def record_stop(stop: EarlyStopping, monitor: Any) -> None:
    """Have a callback say what its counterpart in another loop has found."""
    stop.wait_count, stop.best_score = monitor.waited, monitor.best
    if monitor.stop and monitor.waited < max(monitor.patience, 1):
        stop.stopping_reason_message = f"{monitor.metric} is not finite."


def switch(stop: EarlyStopping, on: bool) -> None:
    """Have a callback never stop training, unless it is on; its state stays that of a callback."""
    if not on:
        stop.patience, stop.strict, stop.check_finite = sys.maxsize, False, False
        stop.stopping_threshold = stop.divergence_threshold = None


def go_on(stop: EarlyStopping, state: dict[str, Any], finished: bool) -> None:
    """Adapt what a checkpoint holds of early stopping: options are the run's own, and patience begins anew if it ended.

    Lightning's callback would restore its patience from the checkpoint, and stop a run that it had stopped at once.
    """
    state["patience"] = stop.patience
    if finished:
        state.update(stopped_epoch=0, stopping_reason=0, stopping_reason_message=None)
        if state["wait_count"] >= max(stop.patience, 1):
            state["wait_count"] = 0


def seconds_trained(checkpoint: Mapping[str, Any]) -> float:
    """Return for how long a run has trained, if its Trainer had a `max_time`."""
    elapsed = checkpoint.get("callbacks", {}).get("Timer", {}).get("time_elapsed", {})
    return float(elapsed.get("train", 0.0))


def lacks_best(trainer: Trainer) -> bool:
    """Return whether no checkpoint of the best metric has been written yet."""
    savers = [saver for saver in trainer.checkpoint_callbacks if isinstance(saver, ModelCheckpoint)]
    return any(saver.monitor and not saver.best_model_path for saver in savers)


def accumulates(trainer: Trainer) -> bool:
    """Return whether there are gradients that no step has used yet."""
    return bool((trainer.fit_loop.batch_idx + 1) % trainer.accumulate_grad_batches) and not trainer.is_last_batch
