"""What a user may have meant who misspelt an option, a class or a choice."""

import re
import sys
from collections.abc import Iterator, Sequence
from inspect import signature
from pkgutil import resolve_name
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import Callback, LightningDataModule, LightningModule
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lamphouse.cli.checks.messages import A_CLASS, first_plain_message
from lamphouse.errors import InputError, did_you_mean

BASES: dict[str, type[Any]] = {
    "model": LightningModule,
    "data": LightningDataModule,
    "optimizer": Optimizer,
    "lr_scheduler": LRScheduler,
    "callbacks": Callback,
}


def suggestion(text: str, message: str, options: Sequence[str]) -> str:
    """Suggest the option, class or choice that comes closest to what an explained error of parsing is about."""
    if missing := re.search(r"no such option: (-*)([\w.]+)", text):
        paths = re.findall(r"class_path '([\w.]+)'|NestedArg\(key='[^']*'|class_path='([\w.]+)'", message)
        classes: list[type] = [cls for pair in paths for path in pair if path and (cls := _resolved(path)) is not None]
        own = {
            name
            for cls in classes
            for base in cls.__mro__
            for name in signature(vars(base).get("__init__", object)).parameters
        }
        return did_you_mean(missing[1] + missing[2], [missing[1] + name for name in own or options])
    if wrong := re.search(rf"^--([\w.]+) (?:[\w.]+\.)?(\w+): {A_CLASS}", text):
        base = BASES.get(wrong[1].removesuffix(".help").rpartition(".")[2])
        return did_you_mean(wrong[2], [known.__name__ for known in subclasses(base)]) if base else ""
    if comma := re.search(r"^--[\w.]+ (\d+),(\d+): expected .*float", text):
        return f"; did you mean {comma[1]}.{comma[2]}?"
    if choice := re.search(r"^--[\w.]+ (\S+): expected ((?:[\w-]+, )+[\w-]+)", text):
        return did_you_mean(choice[1], choice[2].split(", "))
    return ""


def blaming(error: BaseException, options: Namespace, defaults: Namespace, otherwise: str = "") -> InputError:
    """Make an error of a library's message, and of the Trainer's option that was given and that it is about, if any."""
    message = first_plain_message(error)
    given = ((name, value) for name, value in vars(options).items() if value != defaults[name])
    found = (f"--trainer.{name} {value}: " for name, value in given if re.search(rf"\b{name}\b", message))
    return InputError(next(found, otherwise) + message)


def subclasses(base: type[Any]) -> Iterator[type[Any]]:
    """Yield all subclasses that have been imported."""
    for subclass in base.__subclasses__():
        yield subclass
        yield from subclasses(subclass)


def _resolved(path: str) -> type | None:
    if path.partition(".")[0] in sys.stdlib_module_names:  # to import a module is to run it
        return None
    try:
        found = resolve_name(path)
    except (AttributeError, ImportError, ValueError):
        return None
    return found if isinstance(found, type) else None
