"""What Lightning itself does not check, or only in the middle of a run."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.accelerators import CPUAccelerator, CUDAAccelerator, MPSAccelerator

from arc_light.errors import InputError

LEAST = {  # smallest value
    "trainer.accumulate_grad_batches": 1,
    "trainer.check_val_every_n_epoch": 1,
    "trainer.log_every_n_steps": 1,
    "trainer.gradient_clip_val": 0,
    "early_stopping.patience": 0,
}
ACCELERATORS = {"cpu": CPUAccelerator, "cuda": CUDAAccelerator, "mps": MPSAccelerator}


def check_name(name: str) -> None:
    """Refuse a name that is no name of a directory in `runs`.

    Raises:
        InputError: it is none.
    """
    if name == ".." or Path(name).name != name:
        raise InputError(f"--experiment {name}: not the name of a directory: use letters, digits, - and _")


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
            raise InputError(f"--{option} {value}: expected a value >={least}")
    epochs = config.trainer.max_epochs
    if epochs is not None and epochs < 1 and epochs != -1:
        raise InputError(f"--trainer.max_epochs {epochs}: expected a value >=1, or -1 for no end")
    accelerator, present = config.trainer.accelerator, [name for name, a in ACCELERATORS.items() if a.is_available()]
    if accelerator not in {"auto", *present, *(["gpu"] if len(present) > 1 else [])}:
        raise InputError(f"--trainer.accelerator {accelerator}: this machine has {', '.join(present)}; use auto or cpu")


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
