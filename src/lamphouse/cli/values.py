"""What a value may be, whichever option it is given to."""

import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from functools import reduce
from operator import or_
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, get_args

from jsonargparse import Namespace

from lamphouse.errors import InputError

LARGEST = 2**53  # the integers up to which are exact as floats, too
SPECS = {"init_args", "dict_kwargs"}  # where YAML has what follows the name of a class


def check_values(config: Namespace) -> None:
    """Refuse values that no option takes, and that would be called, overflow or not be written down.

    Raises:
        InputError: there is one.
    """
    for option, value, owner in leaves(config):
        fault = fault_of(value)
        if inspect.isroutine(value) and not is_default(value, option.rpartition(".")[2], owner):
            name = f"{value.__module__}.{value.__qualname__}"
            raise InputError(f"--{option} {name}: a function, which options do not take: name a class")
        if fault:
            raise InputError(f"--{option} {value!r}: {fault}; see --help for every option")


def fault_of(value: Any) -> str | None:
    """Say what is wrong with a value for every option, or None."""
    if isinstance(value, int) and abs(value) > LARGEST:
        return f"expected a number up to {LARGEST}"
    if isinstance(value, float) and not math.isfinite(value):
        return "expected a finite number"
    text = str(value) if isinstance(value, str | Path) else ""
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        return "expected text without NUL bytes, in UTF-8"
    return None


def leaves(value: Any, name: str = "", owner: str | None = None) -> Iterator[tuple[str, Any, str | None]]:
    """Go through all values, each with the name of its option and the path of the class that it is for, if any."""
    if isinstance(value, Namespace):
        owner = value.get("class_path", owner)
        value = vars(value)
    if isinstance(value, Mapping):
        for key, part in value.items():
            inner = name if key in SPECS else f"{name}.{key}".lstrip(".")
            yield from leaves(part, inner, owner)
    elif isinstance(value, list | tuple | set):
        for part in value:
            yield from leaves(part, name, owner)
    else:
        yield name, value, owner


def is_default(value: Any, argument: str, owner: str | None) -> bool:
    """Tell whether a class itself gives this value to an argument."""
    for base in resolve_name(owner).__mro__ if owner else ():
        argument_of_base = inspect.signature(base.__init__).parameters.get(argument)
        if argument_of_base is not None and argument_of_base.default is value:
            return True
    return False


def integers_first(function: Callable[..., Any]) -> None:
    """Have an argument that may be an integer or a float read 1 as an integer, as `limit_train_batches` means it.

    Values are read as the first type that takes them. What is written `int | float` has the other order where another
    module wrote `float | int` before: `typing.Union` hands out again what it finds equal.
    """
    for name, hint in function.__annotations__.items():
        types = get_args(hint)
        if {int, float} <= set(types):
            function.__annotations__[name] = reduce(or_, sorted(types, key=lambda type_: type_ is not int))
