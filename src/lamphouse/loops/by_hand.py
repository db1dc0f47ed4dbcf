"""An experiment trained by the hand-written loop: the Trainer says how, but takes no step."""

from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.fabric.utilities.seed import pl_worker_init_function
from lightning.pytorch.strategies import Strategy
from torch.utils.data import DataLoader

from lamphouse.checkpoints.files import load_checkpoint, write_checkpoint
from lamphouse.cli.experiment import Experiment
from lamphouse.errors import InputError
from lamphouse.loops.batches import Batches
from lamphouse.loops.checkpoint import checkpoint_of, continue_from
from lamphouse.loops.keeper import Keeper, log
from lamphouse.loops.limits import (
    WAY_OUT,
    check_data,
    check_loggers,
    check_model,
    check_options,
    check_trainer,
)
from lamphouse.loops.watch import Watch
from arc_light.loops.handwritten import Options, Training, evaluate, fit

AUTOCAST = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


class NoTrainer:
    """Stands where a model or its data look for the Trainer, and says that there is none.

    Args:
        strategy: the Trainer's own, which knows the device.
    """

    overfit_batches = 0  # the data asks; the option itself is refused

    def __init__(self, strategy: Strategy) -> None:
        self.strategy = strategy

    def __getattr__(self, name: str) -> Any:
        """Refuse."""
        if name.startswith("__"):
            raise AttributeError(name)
        wanted = f"the model or its data takes trainer.{name}, perhaps by self.log"
        raise InputError(f"{wanted}: the hand-written loop has no Trainer: {WAY_OUT}")


def check(experiment: Experiment) -> None:
    """Check that the hand-written loop can do what the experiment asks for.

    Raises:
        InputError: it cannot.
    """
    config = experiment.config
    check_options(config, experiment.parser.get_defaults())
    check_loggers(config.trainer.logger)
    check_trainer(experiment.trainer, experiment.plugins)
    check_model(experiment.model)
    check_data(experiment.datamodule)
    metrics = [f"val/{name}" for name in experiment.model.val_metrics.running()]
    for option in ("early_stopping", "best_checkpoint"):
        if config[option].monitor not in metrics:
            watched = f"the hand-written loop watches {' or '.join(metrics)}: choose one, or {WAY_OUT}"
            raise InputError(f"--{option}.monitor {config[option].monitor}: {watched}")


def train_and_test(experiment: Experiment, checkpoint: str | None = None) -> None:
    """Train, from a checkpoint if there is one, and test the best weights."""
    trainer, model, data = experiment.trainer, experiment.model, experiment.datamodule
    trainer.accelerator.setup_device(trainer.strategy.root_device)
    model.trainer = data.trainer = NoTrainer(trainer.strategy)
    data.prepare_data()
    data.setup("fit")
    model.setup("fit")
    options = options_of(experiment)
    train = batches_of(experiment, "train", trainer.limit_train_batches)
    training = Training(model, options, len(train), *watches_of(experiment), experiment.finite)
    val = batches_of(experiment, "val", trainer.limit_val_batches)
    begin(experiment, training, checkpoint)
    keeper = Keeper(experiment, train.resumable)
    if experiment.complete:
        model.load_state_dict(training.best)
    else:
        fit(training, train, val, keeper.on_epoch_end, keeper.on_step)
    data.setup("test")
    model.setup("test")
    metrics = evaluate(model, options, batches_of(experiment, "test", trainer.limit_test_batches), part="test")
    log(trainer, metrics, training.epoch, training.step)
    for logger in trainer.loggers:
        logger.finalize("success")


def begin(experiment: Experiment, training: Training, checkpoint: str | None) -> None:
    """Continue from a checkpoint, or write the first one."""
    run = experiment.run
    if checkpoint:
        best = load_checkpoint(run.best)["state_dict"] if run.best.exists() else {}
        continue_from(training, load_checkpoint(Path(checkpoint)), best)
    else:
        write_checkpoint(checkpoint_of(training, experiment.datamodule), run.last)


def options_of(experiment: Experiment) -> Options:
    """Read the Trainer's options."""
    trainer, precision = experiment.trainer, experiment.trainer.precision_plugin
    return Options(
        epochs=trainer.max_epochs or 0,
        device=trainer.strategy.root_device,
        autocast=AUTOCAST.get(str(precision.precision)),
        scaler=getattr(precision, "scaler", None),
        accumulate=trainer.accumulate_grad_batches,
        clip=trainer.gradient_clip_val or None,
        clip_algorithm="value" if trainer.gradient_clip_algorithm == "value" else "norm",
        ema=experiment.config.ema,
    )


def watches_of(experiment: Experiment) -> tuple[Watch, Watch]:
    """Read the options of early stopping and of the best checkpoint."""
    stop, keep = experiment.config.early_stopping, experiment.config.best_checkpoint
    stopping = Watch(stop.monitor, stop.mode, stop.patience, stop.min_delta, stop.check_finite)
    return stopping, Watch(keep.monitor, keep.mode)


def batches_of(experiment: Experiment, part: str, limit: float) -> Batches:
    """Build the loader of a part of the data.

    Raises:
        InputError: there is none, or several, or it has no batch.
    """
    data, trainer = experiment.datamodule, experiment.trainer

    def prepare(batch: Any) -> Any:
        if part != "train":
            experiment.signals.check()  # what is evaluated now will be evaluated again
        return data.on_after_batch_transfer(batch, 0)

    try:
        loader = getattr(data, f"{part}_dataloader")()
    except MisconfigurationException as error:
        raise InputError(f"--data {type(data).__name__}: no {part}_dataloader: add it") from error
    if not isinstance(loader, DataLoader) or not hasattr(loader.dataset, "__len__"):
        raise InputError(f"--data {type(data).__name__}.{part}_dataloader: expected one DataLoader with a length")
    if loader.num_workers and loader.worker_init_fn is None:  # as Lightning does, for what workers draw by chance
        loader.worker_init_fn = partial(pl_worker_init_function, rank=0)
    count = min(limit, len(loader)) if isinstance(limit, int) else int(limit * len(loader))
    if count < 1:
        raise InputError(f"--trainer.limit_{part}_batches {limit}: no batch of {len(loader)}: give a larger one")
    quiet = experiment.config.trainer.enable_progress_bar is False
    return Batches(loader, trainer.strategy.root_device, prepare, int(count), quiet)
