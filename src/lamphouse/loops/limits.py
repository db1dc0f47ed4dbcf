"""What the hand-written loop takes from an experiment, and its refusal of the rest: no option is silently ignored."""

from collections.abc import Iterable
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelSummary
from lightning.pytorch.core.hooks import CheckpointHooks, DataHooks, ModelHooks
from lightning.pytorch.plugins import MixedPrecision
from lightning.pytorch.plugins.precision import Precision

from lamphouse.callbacks import EMA, EpochProgress, StopNotFinite, Throughput
from lamphouse.checkpoints.best import BestCheckpoint
from lamphouse.checkpoints.resume import ExactResume
from lamphouse.errors import InputError

WAY_OUT = "use --loop automatic"
FOLLOWED = {  # options, by part of the experiment
    "trainer": {
        "accelerator",
        "accumulate_grad_batches",
        "benchmark",
        "default_root_dir",
        "detect_anomaly",
        "deterministic",
        "devices",
        "enable_progress_bar",
        "gradient_clip_algorithm",
        "gradient_clip_val",
        "limit_test_batches",
        "limit_train_batches",
        "limit_val_batches",
        "log_every_n_steps",  # metrics are logged once an epoch
        "logger",
        "max_epochs",
        "plugins",
        "precision",
    },
    "early_stopping": {"monitor", "mode", "patience", "min_delta", "check_finite", "check_on_train_epoch_end"},
    "best_checkpoint": {"monitor", "mode", "dirpath", "enable_version_counter", "save_on_train_epoch_end"},
    "last_checkpoint": {"dirpath", "every_n_steps", "minutes"},
}
NOTHING = {  # values that ask for nothing
    "callbacks": [],
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
}
LOGGING = {"log_graph", "log_model"}  # what loggers do with a model of Lightning's or its checkpoints
REPLACED = (EMA, EarlyStopping, EpochProgress, ExactResume, ModelSummary, BestCheckpoint, StopNotFinite, Throughput)

OFFERED = ("loss", "train_metrics", "val_metrics", "test_metrics")
STEPS = {  # what the class that has `loss` says for Lightning, and the loop says itself
    "training_step",
    "validation_step",
    "test_step",
    "on_train_epoch_end",
    "on_validation_epoch_end",
    "on_test_epoch_end",
}
OPTIMIZATION = {
    "backward",
    "configure_callbacks",
    "configure_gradient_clipping",
    "lr_scheduler_step",
    "optimizer_step",
    "optimizer_zero_grad",
}
HOOKS = {name for cls in (ModelHooks, CheckpointHooks, DataHooks) for name in vars(cls) if not name.startswith("_")}
PREDICTION = {name for name in HOOKS if "predict" in name}
LOADERS = {name for name in HOOKS if name.endswith("_dataloader")}  # the data's are used, in every loop
MODEL_HOOKS = (HOOKS | OPTIMIZATION | STEPS) - PREDICTION - LOADERS - {"setup", "teardown"}
DATA_HOOKS = {"load_state_dict", "on_before_batch_transfer", "on_exception", "state_dict", "transfer_batch_to_device"}


def check_options(given: Namespace, default: Namespace) -> None:
    """Check that all options but those that are followed have their defaults.

    Raises:
        InputError: one has not.
    """
    for part, followed in FOLLOWED.items():
        usual = vars(default[part]) | ({"filename": "best"} if part == "best_checkpoint" else {})
        for option, value in vars(given[part]).items():
            if option not in followed and value not in (usual[option], NOTHING.get(option, usual[option])):
                raise InputError(f"--{part}.{option} {value}: not in the hand-written loop: leave it out, or {WAY_OUT}")


def check_loggers(config: Any) -> None:
    """Check that no logger wants more than metrics.

    Raises:
        InputError: one does.
    """
    for logger in config if isinstance(config, list) else [config]:
        wanted = vars(logger.init_args) if isinstance(logger, Namespace) else {}
        for option in sorted(LOGGING & wanted.keys()):
            if wanted[option]:
                value = f"--trainer.logger.{option} {wanted[option]}"
                raise InputError(f"{value}: not in the hand-written loop: leave it out, or {WAY_OUT}")


def check_trainer(trainer: Trainer, plugins: Iterable[Any]) -> None:
    """Check that one process trains, in a precision that the loop has, and with nothing to call back.

    Raises:
        InputError: it is otherwise.
    """
    if trainer.world_size > 1:
        raise InputError(f"--trainer.devices {trainer.world_size}: the hand-written loop takes 1, or {WAY_OUT}")
    if (trainer.max_epochs or 0) < 1:
        raise InputError(f"--trainer.max_epochs {trainer.max_epochs}: the hand-written loop takes 1 or more")
    precision = trainer.precision_plugin
    if type(precision) not in (Precision, MixedPrecision):
        choice = "32-true, bf16-mixed and 16-mixed"
        raise InputError(f"--trainer.precision {precision.precision}: the hand-written loop has {choice}, or {WAY_OUT}")
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by a connector
    called = [callback for callback in callbacks if type(callback) not in REPLACED]
    for part in (*called, *(plugin for plugin in plugins if plugin is not precision)):
        raise InputError(f"{type(part).__name__}: the hand-written loop does not call it: leave it out, or {WAY_OUT}")


def check_model(model: LightningModule) -> None:
    """Check that the model offers what the loop takes, and expects nothing that the loop does not call.

    Raises:
        InputError: it is otherwise.
    """
    classes = type(model).__mro__
    for offer in OFFERED:
        if not hasattr(model, offer):
            raise InputError(f"--model {classes[0].__name__}: the hand-written loop needs its {offer}: {WAY_OUT}")
    contract = next(cls for cls in reversed(classes) if "loss" in vars(cls))
    for cls in classes[: classes.index(LightningModule)]:
        _check_hooks(cls, MODEL_HOOKS - (STEPS if cls is contract else set()))


def check_data(data: LightningDataModule) -> None:
    """Check that the data expects nothing that the loop does not call.

    Raises:
        InputError: it does.
    """
    classes = type(data).__mro__
    for cls in classes[: classes.index(LightningDataModule)]:
        _check_hooks(cls, DATA_HOOKS)


def _check_hooks(cls: type, hooks: set[str]) -> None:
    for hook in sorted(hooks & vars(cls).keys()):
        raise InputError(f"{cls.__name__}.{hook}: the hand-written loop does not call it: {WAY_OUT}")
