"""What Lightning itself does not check, or only in the middle of a run."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.accelerators import CPUAccelerator, CUDAAccelerator, MPSAccelerator

from lamphouse.errors import InputError
from lamphouse.machine.settings import allowed_cores

LEAST = {  # smallest value
    "trainer.accumulate_grad_batches": 1,
    "trainer.check_val_every_n_epoch": 1,
    "trainer.log_every_n_steps": 1,
    "trainer.gradient_clip_val": 0,
    "trainer.min_epochs": 0,
    "trainer.min_steps": 0,
    "trainer.val_check_interval": 0.001,  # of an epoch
    "early_stopping.patience": 0,
    "model.init_args.lr_scheduler.init_args.step_size": 1,
}
PROCESSES = ("trainer.devices", "data.init_args.num_workers")
PER_CORE = 4  # processes, at most
FIXED = {  # what a run sees to itself, and the values that leave it to that
    "trainer.default_root_dir": (None,),
    "trainer.use_distributed_sampler": (False,),
    "trainer.logger": (None, False),
    "best_checkpoint.dirpath": (None,),
    "best_checkpoint.filename": ("best",),
    "best_checkpoint.save_top_k": (1,),
    "last_checkpoint.dirpath": (None,),
}
ACCELERATORS = {"cpu": CPUAccelerator, "cuda": CUDAAccelerator, "mps": MPSAccelerator}


def check_name(name: str) -> None:
    """Refuse a name that is no name of a directory in `runs`.

    Raises:
        InputError: it is none.
    """
    if name == ".." or Path(name).name != name or not name.isprintable() or not name.strip():
        raise InputError(f"--experiment {name}: not the name of a directory: use letters, digits, - and _")


def check_keys(files: Mapping[Path, Mapping[str, Any]], config: Namespace, defaults: Namespace) -> None:
    """Refuse what a YAML file has beside options, and options without a value that need one.

    Raises:
        InputError: it has something.
    """
    for path, given in files.items():
        for key, value in given.items():
            if value is None and defaults.get(key) is not None:
                raise InputError(f"--{key} null: expected a value (in {path}); see --help for every option")
            if key == "config" or key.startswith("print_") or key.partition(".")[0] not in config:
                raise InputError(f"--config {path}: {key!r} is no option of a YAML file; see --help for every option")


def check_monitor(callback: str, monitor: str | None, names: Sequence[str]) -> None:
    """Refuse to monitor what is not measured.

    Raises:
        InputError: there is no such metric.
    """
    if monitor is not None and monitor not in names:
        raise InputError(f"--{callback}.monitor {monitor}: no such metric; there are {', '.join(names)}")


def check_trainer(config: Namespace) -> None:
    """Refuse what the Trainer would stumble over.

    Raises:
        InputError: a number is too small, or the accelerator is absent.
    """
    for option, least in LEAST.items():
        value = config.get(option)
        if isinstance(value, int | float) and value < least:
            raise InputError(f"--{option.replace('.init_args', '')} {value}: expected a value >={least}")
    epochs = config.trainer.max_epochs
    if epochs is not None and epochs < 1 and epochs != -1:
        raise InputError(f"--trainer.max_epochs {epochs}: expected a value >=1, or -1 for no end")
    accelerator, present = config.trainer.accelerator, [name for name, a in ACCELERATORS.items() if a.is_available()]
    known = ["auto", *present, *(["gpu"] if len(present) > 1 else [])]
    if isinstance(accelerator, str) and accelerator not in known:
        raise InputError(f"--trainer.accelerator {accelerator}: this machine has {', '.join(present)}; use auto or cpu")


def check_fixed(config: Namespace) -> None:
    """Refuse to choose what a run sees to itself.

    Raises:
        InputError: the place or the number of its files is chosen, or how processes share data.
    """
    for option, values in FIXED.items():
        value = config.get(option)
        if isinstance(value, int | str | None) and value not in values:
            raise InputError(f"--{option} {value}: not to be chosen, as a run sees to it itself: leave it out")


def check_processes(config: Namespace) -> None:
    """Refuse to start so many processes that they would exhaust the machine.

    Raises:
        InputError: there would be more than `PER_CORE` for each core.
    """
    most = PER_CORE * allowed_cores()
    for option in PROCESSES:
        value = str(config.get(option))
        if value.isdecimal() and int(value) > most:
            raise InputError(f"--{option.replace('.init_args', '')} {value}: this machine's cores take up to {most}")


def print_left_out(files: Mapping[Path, Mapping[str, Any]], config: Namespace) -> None:
    """Say which options of a YAML file are not used, as a class was chosen later that does not have them."""
    for path, given in files.items():
        names = [name for part in ("model", "data") for name in left_out(given.get(part), config[part], part)]
        if names:
            text = "not an option of the class that was chosen, and left out"
            print(f"note: {path}: {text}: {', '.join(names)}", file=sys.stderr)


def left_out(given: Any, kept: Any, name: str) -> Iterator[str]:
    """Name the options in `given` that are not in `kept`."""
    if not isinstance(given, Mapping) or not isinstance(kept, Namespace):
        return
    for key, value in given.items():
        if key in kept:
            yield from left_out(value, kept[key], name if key == "init_args" else f"{name}.{key}")
        else:
            yield f"{name}.{key}"
