"""What options may be where neither their types nor Lightning check it before a run."""

import inspect
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from jsonargparse import Namespace
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.accelerators import CPUAccelerator, CUDAAccelerator, MPSAccelerator
from lightning.pytorch.callbacks import Timer

from lamphouse.errors import InputError
from lamphouse.files import check_local
from lamphouse.machine.job import Job
from lamphouse.machine.settings import allowed_cores
from lamphouse.monitoring import MonitorsMetric, chosen_mode
from lamphouse.runs.options import SPEC_KEYS
from lamphouse.task import Task

PROCESSES_PER_CORE = 4
AUTO = ("auto", "-1", -1)  # devices as the environment has them
PLACE = r"(dir|dirpath|file|filename|folder|path|root)$"  # ends an option that names a file or a directory
LARGEST = 2**53  # larger integers are not exact as floats
MONITORS = ("early_stopping.monitor", "best_checkpoint.monitor", "model.init_args.lr_scheduler.init_args.monitor")
ACCELERATORS = {"cpu": CPUAccelerator, "cuda": CUDAAccelerator, "mps": MPSAccelerator}
LOGGER_WAY_OUT = "choose a logger with --logger wandb, tensorboard, csv or none"
WAYS_OUT = {"early_stopping": "--stop_early false (in YAML: stop_early) turns early stopping off"}
DURATION = "expected days:hours:minutes:seconds, such as 00:12:00:00, and more than none"
NO_TRAINING = "nothing would be trained: leave it out, or use evaluate to measure a run"

OWN_LAST = "last.ckpt is the run's own, written in any case: leave it out"
AFTER_VALIDATION = "best.ckpt is written after each validation, whose result it is named for: leave it out"
BEST: dict[str, tuple[list[Any], str]] = {  # options of best_checkpoint that would break what a run promises
    "save_last": ([None, False], OWN_LAST),
    "save_on_exception": ([False], OWN_LAST),
    "enable_version_counter": ([False], "a run has one best.ckpt: leave it out"),
    **dict.fromkeys(("every_n_train_steps", "train_time_interval"), ([None], AFTER_VALIDATION)),
}

Rule = tuple[Callable[[Any], bool], str]  # what an option may be, and what to do where it is something else


def _at_least(least: float) -> Rule:
    return lambda value: not isinstance(value, int | float) or value >= least, f"expected a value >={least}"


def one_of(values: Sequence[Any], way_out: str = "the run itself chooses it: leave it out") -> Rule:
    """Allow these values only."""
    return lambda value: value in values, way_out


def _processes(least: int = 0) -> Rule:
    most = PROCESSES_PER_CORE * allowed_cores()  # more may exhaust the machine
    way_out = f"expected {least}..{most}, which this machine's cores take"
    return lambda n: not str(n).isdecimal() or least <= int(n) <= most, way_out


def _accelerators() -> Rule:
    present = [name for name, accelerator in ACCELERATORS.items() if accelerator.is_available()]
    known = ["auto", *present, *(["gpu"] if len(present) > 1 else [])]
    way_out = f"this machine has {', '.join(present)}; use auto or cpu"
    return lambda name: name in known if isinstance(name, str | None) else True, way_out


def _has_time(given: Any) -> bool:
    try:
        return given is None or bool(Timer(given).time_remaining())
    except (MisconfigurationException, TypeError, ValueError):
        return False


def _is_directory_name(name: str | None) -> bool:
    return name is None or (name != ".." and Path(name).name == name and name.isprintable() and bool(name.strip()))


def rules() -> dict[str, Rule]:
    """Return the rule of each option that has one."""
    from_0 = ("trainer.min_epochs", "trainer.min_steps", "trainer.gradient_clip_val", "early_stopping.patience")
    from_1 = (
        *(f"trainer.{name}" for name in ("accumulate_grad_batches", "check_val_every_n_epoch", "log_every_n_steps")),
        "best_checkpoint.every_n_epochs",
    )
    directories = ("trainer.default_root_dir", "best_checkpoint.dirpath", "last_checkpoint.dirpath")
    return {
        "experiment": (_is_directory_name, "not the name of a directory: use letters, digits, - and _"),
        "trainer.accelerator": _accelerators(),
        **dict.fromkeys(("data.init_args.num_workers", "machine.threads"), _processes()),
        "trainer.devices": _processes(least=1),
        **dict.fromkeys(("trainer.limit_train_batches", "trainer.max_steps"), (lambda n: n != 0, NO_TRAINING)),
        "trainer.precision": (lambda text: "transformer" not in str(text), "it replaces layers: use bf16-mixed"),
        "trainer.max_time": (_has_time, DURATION),
        "trainer.barebones": one_of([False], "a run keeps metrics and checkpoints: leave it out"),
        "trainer.enable_checkpointing": one_of([None, True], "a run keeps best.ckpt and last.ckpt: leave it out"),
        "trainer.max_epochs": (lambda n: n is None or n >= 1 or n == -1, "expected a value >=1, or -1 for no end"),
        **dict.fromkeys(from_0, _at_least(0)),
        **dict.fromkeys((*from_1, "model.init_args.lr_scheduler.init_args.step_size"), _at_least(1)),
        "trainer.val_check_interval": _at_least(0.001),  # of an epoch
        "trainer.logger": one_of([None, False], LOGGER_WAY_OUT),
        **dict.fromkeys(directories, one_of([None])),
        "best_checkpoint.filename": one_of(["best"]),
        "best_checkpoint.save_top_k": (lambda n: n == -1 or n >= 1, "expected a value >=1, or -1 to keep all"),
        **{f"best_checkpoint.{name}": one_of(values, way_out) for name, (values, way_out) in BEST.items()},
    }


def checked(config: Namespace, files: Mapping[Path, Mapping[str, Any]], defaults: Namespace) -> Namespace:
    """Refuse what is wrong with these options alone; return them."""
    check_file_keys(files, config, defaults)
    check_values(config)
    check_options(config, rules())
    for unit in ("epochs", "steps"):
        least, most = (config.trainer[f"{bound}_{unit}"] for bound in ("min", "max"))
        if (least or 0) > (most or least or 0) >= 0:
            raise InputError(f"--trainer.min_{unit} {least}: more than --trainer.max_{unit} {most}: lower it")
    return config


def check_options(config: Namespace, table: Mapping[str, Rule]) -> None:
    """Compare options with a table of rules."""
    for option, (allows, way_out) in table.items():
        value = config.get(option)
        if not allows(value):
            given = value.get("class_path", value) if isinstance(value, Namespace) else value
            raise InputError(f"--{option.replace('.init_args', '')} {given}: {way_out}")


def check_monitors(config: Namespace, model: Any, trainer: Any) -> None:
    """Refuse metrics that there are not, and metrics of which it is not known whether low or high values are better.

    Where callbacks or the model may log further metrics, it is found out in the first epoch whether there are such.
    """
    if isinstance(model, Task) and not (model.logs_more or config.trainer.callbacks):
        known = model.metric_names
        rule = one_of([None, *known], f"no such metric; there are {', '.join(known)}")
        check_options(config, dict.fromkeys(MONITORS, rule))
    for callback in trainer.callbacks:
        if isinstance(callback, MonitorsMetric):
            callback.choose_mode(model)
        elif getattr(callback, "monitor", None) and getattr(callback, "mode", None):
            chosen_mode(f"trainer.callbacks {type(callback).__name__}", callback.monitor, callback.mode, model)


def check_processes(config: Namespace, job: Job, is_alone: bool, args: Sequence[str]) -> None:
    """Refuse to train in fewer or more processes than the options ask for, as the environment may have it."""
    devices, nodes = config.trainer.devices, config.trainer.num_nodes
    wanted = len(devices) if isinstance(devices, list) else int(devices) if str(devices).isdecimal() else None
    if not job.is_external or is_alone:
        _check_launched(job, wanted or 1, nodes)
        return
    there = job.nodes or nodes
    per_node, rest = divmod(job.size, there)
    started = f"the environment has started {job.size} on {there} node{'s' * (there > 1)} ({job.launcher})"
    flag = {"torchrun": "--nproc-per-node", "SLURM": "--ntasks-per-node"}.get(job.launcher, "processes on each node:")
    if nodes != there and (nodes > 1 or any(arg.startswith("--trainer.num_nodes") for arg in args)):
        way_out = f"give --trainer.num_nodes {there}, or start it on {nodes}"
        raise InputError(f"--trainer.num_nodes {nodes}: {started}: {way_out}")
    if rest:
        raise InputError(f"--trainer.devices {devices}: {started}: start the same number on each node ({flag})")
    if devices not in AUTO and wanted not in {per_node, None}:
        way_out = f"give --trainer.devices auto, or start it with {flag} {wanted}"
        raise InputError(f"--trainer.devices {devices}: {started}: {way_out}")


def _check_launched(job: Job, devices: int, nodes: int) -> None:
    """Refuse nodes that nobody starts, and launchers that Lightning does not know: it would wait, or train alone."""
    launch = f"start it on each node with torchrun --nnodes {nodes} or srun"
    if nodes > 1 and not job.by_hand:
        reason = f"nothing in the environment has started {nodes}"
        raise InputError(
            f"--trainer.num_nodes {nodes}: {reason}: {launch}, or set MASTER_ADDR, MASTER_PORT and NODE_RANK"
        )
    world = os.environ.get("WORLD_SIZE", "1")
    if not job.launched and world.isdecimal() and int(world) > devices * nodes:
        reason = f"--trainer.devices and num_nodes have it train with {devices * nodes}"
        raise InputError(f"WORLD_SIZE={world}: {reason}: {launch}, or unset the variable")


def as_started(trainer: Namespace, job: Job, is_alone: bool) -> Namespace:
    """Have the Trainer take the processes that its environment has started, where the options leave it open."""
    if job.is_external and not is_alone:
        trainer.num_nodes = job.nodes or trainer.num_nodes
        trainer.devices = job.size // trainer.num_nodes if trainer.devices in AUTO else trainer.devices
    return trainer


def check_values(config: Namespace) -> None:
    """Refuse values that no option takes: functions, huge or non-finite numbers, text that cannot be written down."""
    for option, value, class_path in _leaves(config):
        if inspect.isroutine(value) and not _is_default(value, option.rpartition(".")[2], class_path):
            name = f"{value.__module__}.{value.__qualname__}"
            raise InputError(f"--{option} {name}: a function, which options do not take: name a class")
        if expected := _expected_instead(value):
            given = str(value) if isinstance(value, Path) else value
            raise InputError(f"--{option} {given!r}: expected {expected}; see --help for every option")
        if isinstance(value, Path) or (isinstance(value, str) and re.search(PLACE, option)):
            check_local(value, f"--{option}")


def _leaves(value: Any, option: str = "", class_path: str | None = None) -> Iterator[tuple[str, Any, str | None]]:
    """Yield every value with its option and the path of the class that it is an argument of, if any."""
    if isinstance(value, Namespace):
        class_path = value.get("class_path", class_path)
        value = vars(value)
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _leaves(part, option if key in SPEC_KEYS else f"{option}.{key}".lstrip("."), class_path)
    elif isinstance(value, list | tuple | set):
        for part in value:
            yield from _leaves(part, option, class_path)
    else:
        yield option, value, class_path


def _is_default(value: Any, argument: str, class_path: str | None) -> bool:
    bases = resolve_name(class_path).__mro__ if class_path else ()
    parameters = (inspect.signature(base.__init__).parameters.get(argument) for base in bases)
    return any(parameter is not None and parameter.default is value for parameter in parameters)


def _expected_instead(value: Any) -> str | None:
    if isinstance(value, int) and abs(value) > LARGEST:
        return f"a number up to {LARGEST}"
    if isinstance(value, float) and not math.isfinite(value):
        return "a finite number"
    text = str(value) if isinstance(value, str | Path) else ""
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        return "text without NUL bytes, in UTF-8"
    return None


def check_file_keys(files: Mapping[Path, Mapping[str, Any]], config: Namespace, defaults: Namespace) -> None:
    """Refuse keys of YAML files that are not options, and null for options that need a value."""
    for path, given in files.items():
        for key, value in given.items():
            if value is None and defaults.get(key) is not None:
                way_out = WAYS_OUT.get(key, "see --help for every option")
                raise InputError(f"--{key} null: expected a value (in {path}); {way_out}")
            if key == "config" or key.startswith("print_") or key.partition(".")[0] not in config:
                raise InputError(f"--config {path}: {key!r} is not an option; see --help for every option")
