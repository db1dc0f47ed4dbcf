"""What a hand-written loop takes from a Trainer and its callbacks: options, batches, logs and checkpoints."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from inspect import Parameter, signature
from itertools import islice
from math import ceil
from pathlib import Path
from time import monotonic
from types import ModuleType, SimpleNamespace
from typing import Any

import lightning
import torch
from lightning.fabric.utilities.seed import pl_worker_init_function
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch import Tensor
from torch.utils.data import DataLoader

from lamphouse.callbacks import EMA, EpochProgress, GradientNorms, StepCurve, StopNotFinite, print_epoch
from lamphouse.checkpoints import ExactResume, load_checkpoint
from lamphouse.checkpoints.files import read_newest, write_checkpoint
from lamphouse.checkpoints.state import process_state, set_process_state
from lamphouse.checkpoints.stopping import goals, record_stop, why_ended
from lamphouse.errors import StoppedError, unsupported
from lamphouse.files import check_kept, only_writer
from lamphouse.monitoring import MonitorsMetric
from lamphouse.runs.report import lacks

DTYPES = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
OPTIONS = ("max_epochs", "accumulate_grad_batches", "gradient_clip_val", "gradient_clip_algorithm")  # of the Trainer
COUNTERS = {"epoch": "epoch", "batch": "batch", "global_step": "step", "lr": "lr"}  # in a checkpoint, and of Training


class NoTrainer(SimpleNamespace):
    """Takes the Trainer's place in a model and its data, and rejects all that they ask it for but its attributes."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        used = f"the model or its data uses trainer.{name}, perhaps by self.log"
        raise unsupported(f"{used}: the hand-written loop has no Trainer")


def train_handwritten(loop: ModuleType, trainer: Trainer, model: Any, data: Any) -> None:
    """Train a `Task` by a hand-written loop, from its newest checkpoint if there is one, and test the best weights.

    The loop is a module with `Training`, `Monitor`, `fit` and `evaluate`; callbacks such as ExactResume give options.
    """
    with only_writer(callback(trainer, ExactResume).path.parent):
        _train(loop, trainer, model, data)
    for logger in trainer.loggers:
        logger.finalize("success")


def _train(loop: ModuleType, trainer: Trainer, model: Any, data: Any) -> None:
    trainer.accelerator.setup_device(trainer.strategy.root_device)
    model.trainer = data.trainer = NoTrainer(strategy=trainer.strategy, overfit_batches=0)
    data.prepare_data()
    data.setup("fit")
    model.setup("fit")
    (count, train), (_, val) = (_batches_of(part, trainer, model, data) for part in ("train", "val"))
    for monitors in trainer.callbacks:  # type: ignore[attr-defined]  # set by a connector
        if isinstance(monitors, MonitorsMetric):
            monitors.choose_mode(model)
    model.trainer.estimated_stepping_batches = ceil(count / trainer.accumulate_grad_batches) * (trainer.max_epochs or 0)
    training = loop.Training(model, count, **_options_of(loop, trainer))
    if signature(training.optimizer.step).parameters["closure"].default is Parameter.empty:
        raise unsupported(f"{type(training.optimizer).__name__}: the hand-written loop has no closure")
    recorder = Recorder(trainer, training, data, resumable=hasattr(train.args[0], "load_state_dict"))
    recorder.begin()
    if recorder.resume.complete:
        model.load_state_dict(training.best_weights)
    else:
        try:
            loop.fit(training, train, val, recorder.on_epoch_end, recorder.on_step)
        except (KeyboardInterrupt, StoppedError) as stop:
            if progress := callback(trainer, EpochProgress):
                progress.on_exception(trainer, model, stop)
            raise
    if lacks("test", model, data):
        return
    data.setup("test")
    model.setup("test")
    _, test = _batches_of("test", trainer, model, data)
    recorder.log(loop.evaluate(model, training, test, "test"), training.epoch, training.step)


def callback(trainer: Trainer, kind: type) -> Any:
    """Return the Trainer's callback of a kind, or None."""
    return next((one for one in trainer.callbacks if isinstance(one, kind)), None)  # type: ignore[attr-defined]  # set late


def _options_of(loop: ModuleType, trainer: Trainer) -> dict[str, Any]:
    precision: Any = trainer.precision_plugin
    kinds = (EMA, StopNotFinite, GradientNorms, EarlyStopping, ModelCheckpoint)
    ema, finite, norms, stop, save = (callback(trainer, kind) for kind in kinds)
    given = {name: getattr(trainer, name) for name in OPTIONS} | {"device": trainer.strategy.root_device}
    given |= {"dtype": DTYPES.get(precision.precision), "ema": ema and ema.decay, "check": finite.check}
    given |= {"saving": loop.Monitor(save.monitor, save.mode), "norms": norms and partial(norms.measure, trainer)}
    given |= {"scaler": precision.scaler} if getattr(precision, "scaler", None) else {}
    if stop:  # whose min_delta Lightning makes negative for the mode "min"
        given["stopping"] = loop.Monitor(stop.monitor, stop.mode, abs(stop.min_delta), stop.patience, stop.check_finite)
    return given


def _batches_of(part: str, trainer: Trainer, model: Any, data: Any) -> tuple[int, "partial[Any]"]:
    """Count the batches of a part of the data, and prepare to iterate over them."""
    loader, device = getattr(data, f"{part}_dataloader")(), trainer.strategy.root_device
    resume, shown = callback(trainer, ExactResume), part == "train" and callback(trainer, EpochProgress)

    def prepare(batch: Any) -> Any:
        if part != "train":
            resume.signals.check()  # what is evaluated now will be evaluated again
        batch = data.transfer_batch_to_device(data.on_before_batch_transfer(batch, 0), device, 0)
        return data.on_after_batch_transfer(batch, 0)

    if not isinstance(loader, DataLoader) or not hasattr(loader.dataset, "__len__"):
        raise unsupported(f"--data {type(data).__name__}.{part}_dataloader: expected one DataLoader with a length")
    if loader.num_workers and loader.worker_init_fn is None:  # as in Lightning, for random numbers of workers
        loader.worker_init_fn = partial(pl_worker_init_function, rank=0)
    limit = getattr(trainer, f"limit_{part}_batches")
    count = min(limit, len(loader)) if isinstance(limit, int) else int(limit * len(loader))
    if count < 1:
        raise unsupported(f"--trainer.limit_{part}_batches {limit}: no batch of {len(loader)}", "give a larger one")
    return count, partial(batches, loader, count, prepare, shown and partial(shown.track, trainer, model))


def batches(
    loader: Any, count: int, prepare: Callable[[Any], Any], track: Any, epoch: int, start: int = 0
) -> Iterator[Any]:
    """Iterate over the batches of an epoch, from one on, with a progress bar if `track` shows one."""
    for owner in (loader, loader.batch_sampler):
        if set_epoch := getattr(getattr(owner, "sampler", None), "set_epoch", None):
            set_epoch(epoch)
    if start:
        loader.load_state_dict({"epoch": epoch, "batch": start})
    some = map(prepare, islice(loader, count - start))  # asking for one more could draw random numbers
    yield from track(some, epoch, count, start) if track else some


class Recorder:
    """Logs epochs and writes checkpoints with Lightning's keys, as callbacks of the Trainer do for its own loop."""

    def __init__(self, trainer: Trainer, training: Any, data: Any, resumable: bool) -> None:
        self.trainer, self.training, self.data, self.resumable = trainer, training, data, resumable
        self.resume, save = callback(trainer, ExactResume), callback(trainer, ModelCheckpoint)
        self.best, self.curve = Path(save.dirpath, f"{save.filename}.ckpt"), callback(trainer, StepCurve)

    def begin(self) -> None:
        newest = read_newest(self.resume.path.parent)
        if newest is None:
            self.training.model.initialize()
            self.write()
            return
        _restore(self.training, self.data, newest.content)
        if self.curve:
            self.curve.load_state_dict(newest.content["curve"])
        stopping = self.training.stopping
        if self.resume.complete:
            self.resume.ended = newest.content.get("ended")
        elif newest.content["finished"] and stopping.waited >= max(stopping.patience, 1):
            stopping.waited = 0  # patience begins anew
        if self.best.exists():
            self.training.best_weights = load_checkpoint(self.best)["state_dict"]

    def on_step(self) -> None:
        if self.curve:
            self.curve.log_curve(self.trainer, self.training.model.train_metrics, self.training.step)
        if self.training.batch == self.training.batches:
            return
        if self.resumable and (self.resume.signals.received or self.resume.is_due(self.training.step)):
            self.write()
        self.resume.signals.check()

    def on_epoch_end(self, metrics: Mapping[str, Tensor], is_best: bool) -> None:
        """Log an epoch, validation first, and write its checkpoints."""
        training, epoch = self.training, self.training.epoch - 1
        if self.curve:
            self.curve.on_train_epoch_start(self.trainer, training.model)
        for validation in (True, False):
            values = {name: value for name, value in metrics.items() if name.startswith("val/") == validation}
            self.log(values, epoch, training.step - 1)
        if is_best:
            write_checkpoint(_checkpoint_of(training, self.data) | {"epoch": epoch}, self.best)
        self.write()
        if callback(self.trainer, EpochProgress):
            print_epoch(epoch, training.max_epochs, metrics)
        self.resume.signals.check()

    def write(self) -> None:
        checkpoint = _checkpoint_of(self.training, self.data) | {"goals": goals(self.trainer)}
        check_kept(self.resume.path.parent)
        checkpoint["curve"] = self.curve.state_dict() if self.curve else {}
        if checkpoint["finished"]:
            if stop := callback(self.trainer, EarlyStopping):
                record_stop(stop, self.training.stopping)
            self.resume.ended = why_ended(self.trainer, self.training.epoch, self.training.step)
        write_checkpoint(checkpoint | {"ended": self.resume.ended}, self.resume.path)
        self.resume.saved_at = monotonic()

    def log(self, metrics: Mapping[str, Tensor], epoch: int, step: int) -> None:
        for logger in self.trainer.loggers:
            logger.log_metrics({name: value.item() for name, value in metrics.items()} | {"epoch": epoch}, step)
            logger.save()


def _checkpoint_of(training: Any, data: Any) -> dict[str, Any]:
    training.check.settle()
    model, average, scheduler = training.model, training.average, training.schedule.scheduler
    checkpoint = {name: getattr(training, attribute) for name, attribute in COUNTERS.items()} | {
        "pytorch-lightning_version": lightning.__version__,
        "state_dict": training.evaluated.state_dict(),
        "optimizer_states": [training.optimizer.state_dict()],
        "lr_schedulers": [scheduler.state_dict()] if scheduler else [],
        "scaler": training.scaler.state_dict(),
        "keeping": _state_of(training.saving),
        "stopping": _state_of(training.stopping),
        "processes": [process_state(model)],
        "finished": training.stopping.stop or training.epoch >= training.max_epochs,
    }
    if average:
        checkpoint |= {"current_model_state": model.state_dict(), "averaging_state": {"n_averaged": average.n_averaged}}
    checkpoint |= {type(data).__qualname__: state} if (state := data.state_dict()) else {}
    modules = (module for module in (model, data) if module.hparams)
    return checkpoint | {module.CHECKPOINT_HYPER_PARAMS_KEY: dict(module.hparams) for module in modules}


def _state_of(monitor: Any) -> dict[str, Any]:
    return {"best": float(monitor.best), "waited": monitor.waited, "loss": float(monitor.loss)}


def _restore(training: Any, data: Any, checkpoint: Mapping[str, Any]) -> None:
    if (name := type(data).__qualname__) in checkpoint:
        data.load_state_dict(checkpoint[name])
    for name, attribute in COUNTERS.items():
        setattr(training, attribute, checkpoint[name])
    training.model.load_state_dict(checkpoint.get("current_model_state", checkpoint["state_dict"]))
    if training.average:
        training.average.module.load_state_dict(checkpoint["state_dict"])
        training.average.n_averaged.copy_(checkpoint["averaging_state"]["n_averaged"])
    training.optimizer.load_state_dict(checkpoint["optimizer_states"][0])
    for state in checkpoint["lr_schedulers"]:
        training.schedule.scheduler.load_state_dict(state)
    training.scaler.load_state_dict(checkpoint["scaler"])
    for monitor, state in ((training.saving, checkpoint["keeping"]), (training.stopping, checkpoint["stopping"])):
        monitor.best, monitor.waited = torch.tensor(state["best"]), state["waited"]
        monitor.loss = torch.tensor(state.get("loss", torch.inf))
    set_process_state(training.model, checkpoint["processes"][0])
