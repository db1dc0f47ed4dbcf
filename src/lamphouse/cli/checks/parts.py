"""Classes and options of Lightning's parts that would break what a run promises, each with its reason."""

from collections.abc import Sequence
from enum import Enum
from inspect import signature
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import torch
from jsonargparse import Namespace
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch import callbacks, plugins, strategies
from lightning.pytorch.profilers import XLAProfiler

from lamphouse.callbacks import EMA
from lamphouse.checkpoints import FullyShardedStrategy, WholeCheckpointIO
from lamphouse.errors import InputError

TUNE = "it changes with the machine's load, and a resumed run would find another: use the command tune"
AVERAGE = "what is tested after training is not the average, or not resumed exactly: use --ema"
WHOLE = "its checkpoints are not whole after a kill: leave it out, the run has a plugin of its own"
SHARDED = "its checkpoints are not whole after a kill: use ddp, or shard the model with -c configs/strategy/fsdp.yaml"
FORKS = "metrics stay in the processes that it forks or spawns: use ddp"
REFUSED: dict[type, str] = {  # with their subclasses, unless these are in ALLOWED
    callbacks.BatchSizeFinder: TUNE,
    callbacks.GradientAccumulationScheduler: "lost in an epoch that is resumed: use --trainer.accumulate_grad_batches",
    callbacks.LearningRateFinder: TUNE,
    callbacks.ModelPruning: "it renames weights, which evaluate and resume would not find: leave it out",
    callbacks.OnExceptionCheckpoint: "it hides the error that it saves after: leave it out, last.ckpt is always saved",
    callbacks.SpikeDetection: "Lightning cannot load a checkpoint with it: leave it out, --check_finite is on",
    callbacks.StochasticWeightAveraging: AVERAGE,
    callbacks.WeightAveraging: AVERAGE,
    CheckpointIO: WHOLE,
    plugins.BitsandbytesPrecision: "it replaces the model's layers: leave it out",
    plugins.DeepSpeedPrecision: SHARDED,
    plugins.FSDPPrecision: SHARDED,
    plugins.TransformerEnginePrecision: "it replaces the model's layers: use --trainer.precision bf16-mixed",
    plugins.XLAPrecision: "there is no TPU: use --trainer.precision",
    strategies.Strategy: SHARDED,
    XLAProfiler: "there is no TPU: use simple, advanced or pytorch",
}
ALLOWED = (EMA, WholeCheckpointIO, FullyShardedStrategy, strategies.DDPStrategy, strategies.SingleDeviceStrategy)
STRATEGIES = ("auto", "single_device", "ddp", "ddp_find_unused_parameters_false", "ddp_find_unused_parameters_true")
FINETUNING = "it adds groups of parameters, which no schedule knows: give --model.lr_scheduler null"
NOT_SHARDED: dict[str, tuple[list[Any], str]] = {  # options that shards of a model cannot have
    "ema": ([None], "an average is of whole weights: leave it out, or use ddp"),
    "model.init_args.compile": ([None, False], "it compiles whole layers: leave it out, or use ddp"),
    "model.init_args.freeze_epochs": ([None, 0], "frozen weights have no state to resume from: use ddp"),
    "trainer.sync_batchnorm": ([None, False], "Lightning would ignore it: leave it out, or use ddp"),
    "model.init_args.l1": ([None, 0], "its penalty is of whole weights: use a weight decay, or ddp"),
}
PRECISION = "a plugin has a precision already: give --trainer.precision null"


def check_parts(config: Namespace) -> None:
    """Refuse parts of Lightning's that the run does not keep its promises with."""
    trainer = config.trainer
    for option in ("callbacks", "plugins", "strategy", "profiler"):
        for value in as_list(trainer[option]):
            if reason := _reason(option, value, config):
                name = value.class_path.rpartition(".")[2] if isinstance(value, Namespace) else value
                raise InputError(f"--trainer.{option} {name}: {reason}")
            if isinstance(value, Namespace) and "init_args" in value:
                _make_readable(resolve_name(value.class_path), value.init_args)
    if is_sharded(config):
        _check_sharded(config)


def _check_sharded(config: Namespace) -> None:
    for option, (allowed, reason) in NOT_SHARDED.items():
        if (given := config.get(option)) not in allowed:
            raise InputError(f"--{option.replace('.init_args', '')} {given}: with sharded weights: {reason}")
    if str(config.trainer.precision) in {"16", "16-mixed"}:
        raise InputError("--trainer.precision 16-mixed: each process would scale its own shard: use bf16-mixed, or ddp")
    if (config.logger_options or {}).get("log_model") == "all":
        raise InputError("--logger_options.log_model all: not of directories, which shards are in: use true")
    if config.get("model.init_args.channels_last", False) is not False:
        config.model.init_args.channels_last = False  # shards are contiguous


def is_sharded(config: Namespace) -> bool:
    """Return whether weights are sharded over devices."""
    return str(config.get("trainer.strategy.class_path")).endswith(FullyShardedStrategy.__name__)


def as_list(value: Any) -> list[Any]:
    """Return an option that may be one value or several as a list."""
    return value if isinstance(value, list) else [value] if value not in (None, True, False) else []


def as_in_yaml(value: Any) -> Any:
    """Return a sequence as a list, other values as they are."""
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def requires(cls: type, argument: str) -> bool:
    """Whether a class, or a base that it hands the argument on to, has no default for it."""
    parameters = (signature(vars(base).get("__init__", object)).parameters.get(argument) for base in cls.__mro__)
    own = next(filter(None, parameters), None)
    return own is not None and own.default is own.empty


def place_checkpoints(given: Sequence[Any], directory: Path) -> None:
    """Have further ModelCheckpoints, unless they have directories of their own, write into the run's."""
    for callback in given:
        if isinstance(callback, callbacks.ModelCheckpoint) and callback.dirpath is None:
            callback.dirpath = str(directory.absolute() / "checkpoints")


def _make_readable(kind: type, arguments: Namespace) -> None:
    """Replace defaults that YAML does not have by the text that means the same."""
    for name, value in vars(arguments).items():
        if isinstance(value, Enum | torch.device):
            arguments[name] = value.value if isinstance(value, Enum) else str(value)
    if issubclass(kind, callbacks.ModelCheckpoint) and arguments.filename is None:
        arguments.enable_version_counter = False  # what a killed run left is overwritten by the resumed one


def _reason(option: str, value: Any, config: Namespace) -> str | None:
    if option == "strategy" and isinstance(value, str) and value not in STRATEGIES:
        if value not in strategies.StrategyRegistry.available_strategies():
            return f"no such strategy; there are {', '.join(STRATEGIES)}"
        return FORKS if value.startswith("ddp") else SHARDED
    if not isinstance(value, Namespace):
        return REFUSED[XLAProfiler] if (option, value) == ("profiler", "xla") else None
    kind = resolve_name(value.class_path)
    if issubclass(kind, callbacks.BaseFinetuning) and config.get("model.init_args.lr_scheduler"):
        return FINETUNING
    if issubclass(kind, strategies.DDPStrategy) and value.get("init_args.start_method", "popen") != "popen":
        return FORKS
    reasons = (reason for base, reason in REFUSED.items() if issubclass(kind, base) and not issubclass(kind, ALLOWED))
    given_twice = issubclass(kind, plugins.Precision) and config.trainer.precision is not None
    return next(reasons, PRECISION if given_twice else None)
