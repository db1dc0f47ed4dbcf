"""What a hand-written loop does not support: no option and no hook is silently ignored."""

from collections.abc import Mapping, Set
from typing import Any

from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.core.hooks import CheckpointHooks, DataHooks, ModelHooks
from lightning.pytorch.plugins import MixedPrecision
from lightning.pytorch.plugins.precision import Precision

from lamphouse.errors import unsupported
from lamphouse.task import Task

UNSUPPORTED = "not supported by the hand-written loop"
OMIT = "leave it out, or use --loop automatic"
SUPPORTED = {  # options, by what they are arguments of
    "trainer": "accelerator accumulate_grad_batches benchmark default_root_dir detect_anomaly deterministic devices "
    "enable_progress_bar gradient_clip_algorithm gradient_clip_val limit_test_batches limit_train_batches "
    "limit_val_batches log_every_n_steps logger max_epochs plugins precision",
    "early_stopping": "monitor mode patience min_delta check_finite check_on_train_epoch_end",
    "best_checkpoint": "monitor mode dirpath enable_version_counter save_on_train_epoch_end",
    "last_checkpoint": "dirpath every_n_steps minutes",
}
# values of other options that change nothing, beside the defaults
UNUSED = {"callbacks": [], "enable_model_summary": False, "filename": "best", "num_sanity_val_steps": 0}
HOOKS = {name for cls in (ModelHooks, CheckpointHooks, DataHooks) for name in vars(cls) if not name.startswith("_")}
OPTIMIZATION = {"backward", "configure_gradient_clipping", "lr_scheduler_step", "optimizer_step", "optimizer_zero_grad"}
STEPS = {"configure_callbacks", "training_step", "validation_step", "test_step"}
OUTSIDE = {name for name in HOOKS if "predict" in name or "_dataloader" in name} | {"setup", "teardown"}


def refuse_unsupported(
    trainer: Trainer, model: Any, data: Any, given: Mapping[str, Any], default: Mapping[str, Any]
) -> None:
    """Raise an InputError unless a hand-written loop does everything that the options `given`, by part, ask for."""
    _refuse_options(given, default)
    precision = trainer.precision_plugin
    if trainer.world_size > 1:
        raise unsupported(f"--trainer.devices {trainer.world_size}: the hand-written loop uses 1")
    if (trainer.max_epochs or 0) < 1:
        raise unsupported(f"--trainer.max_epochs {trainer.max_epochs}: the hand-written loop needs 1 or more")
    if type(precision) not in (Precision, MixedPrecision):
        choice = "the hand-written loop has 32-true, bf16-mixed or 16-mixed"
        raise unsupported(f"--trainer.precision {precision.precision}: {choice}")
    if not isinstance(model, Task):
        raise unsupported(f"--model {type(model).__name__}: the hand-written loop needs a Task")
    for part in ("early_stopping", "best_checkpoint"):
        if given[part]["monitor"] not in model.metric_names:
            choice = f"the hand-written loop monitors {' or '.join(model.metric_names)}"
            raise unsupported(f"--{part}.monitor {given[part]['monitor']}: {choice}")
    _refuse_overrides(type(model), Task, (HOOKS | OPTIMIZATION | STEPS) - OUTSIDE)
    _refuse_overrides(type(data), LightningDataModule, {"on_exception"})


def _refuse_options(given: Mapping[str, Any], default: Mapping[str, Any]) -> None:
    for part, supported in SUPPORTED.items():
        for option, value in given[part].items():
            usual = default[part].get(option)
            if option not in supported.split() and value not in (usual, UNUSED.get(option, usual)):
                raise unsupported(f"--{part}.{option} {value}: {UNSUPPORTED}", OMIT)
    plugins = given["trainer"]["plugins"] or []
    for plugin in plugins if isinstance(plugins, list) else [plugins]:
        if "MixedPrecision" not in str(plugin):
            raise unsupported(f"--trainer.plugins {plugin}: {UNSUPPORTED}", OMIT)
    options = given.get("logger_options") or {}
    for option in ("log_graph", "log_model", "watch"):
        if options.get(option):
            raise unsupported(f"--logger_options.{option} {options[option]}: {UNSUPPORTED}", OMIT)


def _refuse_overrides(cls: type, base: type, hooks: Set[str]) -> None:
    for hook in sorted(hooks):
        if getattr(cls, hook, None) is not getattr(base, hook, None):
            raise unsupported(f"{cls.__name__}.{hook}: the hand-written loop does not call it")
