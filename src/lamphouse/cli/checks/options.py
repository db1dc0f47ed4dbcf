"""The rules for options that neither their types nor Lightning check before a run: one table."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jsonargparse import Namespace
from lightning.pytorch.accelerators import CPUAccelerator, CUDAAccelerator, MPSAccelerator

from lamphouse.errors import InputError
from lamphouse.machine.settings import allowed_cores

PROCESSES_PER_CORE = 4
ACCELERATORS = {"cpu": CPUAccelerator, "cuda": CUDAAccelerator, "mps": MPSAccelerator}
LOGGER_WAY_OUT = "choose a logger with --logger wandb, tensorboard, csv or none"


class Rule(NamedTuple):
    """What an option may be, and what to do where it is something else."""

    allows: Callable[[Any], bool]
    way_out: str


def at_least(least: float) -> Rule:
    """Allow numbers from `least` on, and whatever is not a number."""
    return Rule(lambda value: not isinstance(value, int | float) or value >= least, f"expected a value >={least}")


def one_of(values: Sequence[Any], way_out: str = "the run itself chooses it: leave it out") -> Rule:
    """Allow these values only."""
    return Rule(lambda value: value in values, way_out)


def processes() -> Rule:
    """Allow as many processes as do not exhaust the machine."""
    most = PROCESSES_PER_CORE * allowed_cores()
    return Rule(lambda n: not str(n).isdecimal() or int(n) <= most, f"this machine's cores take up to {most}")


def accelerators() -> Rule:
    """Allow the accelerators of this machine."""
    present = [name for name, accelerator in ACCELERATORS.items() if accelerator.is_available()]
    known = ["auto", *present, *(["gpu"] if len(present) > 1 else [])]
    return Rule(
        lambda name: not isinstance(name, str) or name in known,
        f"this machine has {', '.join(present)}; use auto or cpu",
    )


def is_directory_name(name: str | None) -> bool:
    """Whether a directory in `runs` can have this name."""
    return name is None or (name != ".." and Path(name).name == name and name.isprintable() and bool(name.strip()))


def rules() -> dict[str, Rule]:
    """Return the rule of each option that has one."""
    return {
        "experiment": Rule(is_directory_name, "not the name of a directory: use letters, digits, - and _"),
        "trainer.accelerator": accelerators(),
        "trainer.devices": processes(),
        "data.init_args.num_workers": processes(),
        "trainer.max_epochs": Rule(lambda n: n is None or n >= 1 or n == -1, "expected a value >=1, or -1 for no end"),
        "trainer.min_epochs": at_least(0),
        "trainer.min_steps": at_least(0),
        "trainer.accumulate_grad_batches": at_least(1),
        "trainer.check_val_every_n_epoch": at_least(1),
        "trainer.val_check_interval": at_least(0.001),  # of an epoch
        "trainer.log_every_n_steps": at_least(1),
        "trainer.gradient_clip_val": at_least(0),
        "early_stopping.patience": at_least(0),
        "model.init_args.lr_scheduler.init_args.step_size": at_least(1),
        "trainer.logger": one_of([None, False], LOGGER_WAY_OUT),
        "trainer.default_root_dir": one_of([None]),
        "trainer.use_distributed_sampler": one_of([False]),
        "best_checkpoint.dirpath": one_of([None]),
        "best_checkpoint.filename": one_of(["best"]),
        "best_checkpoint.save_top_k": one_of([1]),
        "last_checkpoint.dirpath": one_of([None]),
    }


def monitor_rules(metrics: Sequence[str]) -> dict[str, Rule]:
    """Return the rules of what callbacks monitor, which must be one of the model's metrics."""
    known = one_of([None, *metrics], f"no such metric; there are {', '.join(metrics)}")
    return {"early_stopping.monitor": known, "best_checkpoint.monitor": known}


def check_options(config: Namespace, table: Mapping[str, Rule]) -> None:
    """Compare options with a table of rules."""
    for option, rule in table.items():
        value = config.get(option)
        if not rule.allows(value):
            given = value.get("class_path", value) if isinstance(value, Namespace) else value
            raise InputError(f"--{option.replace('.init_args', '')} {given}: {rule.way_out}")


def check_file_keys(files: Mapping[Path, Mapping[str, Any]], config: Namespace, defaults: Namespace) -> None:
    """Refuse keys of YAML files that are not options, and null for options that need a value."""
    for path, given in files.items():
        for key, value in given.items():
            if value is None and defaults.get(key) is not None:
                raise InputError(f"--{key} null: expected a value (in {path}); see --help for every option")
            if key == "config" or key.startswith("print_") or key.partition(".")[0] not in config:
                raise InputError(f"--config {path}: {key!r} is not an option; see --help for every option")


def print_unused(files: Mapping[Path, Mapping[str, Any]], config: Namespace) -> None:
    """Print which options of a YAML file are not used because another class was chosen, which does not have them."""
    for path, given in files.items():
        names = [name for part in ("model", "data") for name in unused(given.get(part), config[part], part)]
        if names:
            text = "not an option of the class that was chosen, and left out"
            print(f"note: {path}: {text}: {', '.join(names)}", file=sys.stderr)


def unused(given: Any, kept: Any, option: str) -> Iterator[str]:
    """Yield the options in `given` that are not in `kept`."""
    if not isinstance(given, Mapping) or not isinstance(kept, Namespace):
        return
    for key, value in given.items():
        if key in kept:
            yield from unused(value, kept[key], option if key == "init_args" else f"{option}.{key}")
        else:
            yield f"{option}.{key}"
