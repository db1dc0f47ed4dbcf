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

LARGEST = 2**53  # larger integers are not exact as floats
SPEC_KEYS = {"init_args", "dict_kwargs"}  # which YAML has where the command line has none


def check_values(config: Namespace) -> None:
    """Refuse values that no option takes: functions, huge or non-finite numbers, text that cannot be written down."""
    for option, value, class_path in leaves(config):
        if inspect.isroutine(value) and not is_default(value, option.rpartition(".")[2], class_path):
            name = f"{value.__module__}.{value.__qualname__}"
            raise InputError(f"--{option} {name}: a function, which options do not take: name a class")
        if expected := expected_instead(value):
            raise InputError(f"--{option} {value!r}: expected {expected}; see --help for every option")


def expected_instead(value: Any) -> str | None:
    """Describe the kind of value that is expected instead of this one; None if it is fine."""
    if isinstance(value, int) and abs(value) > LARGEST:
        return f"a number up to {LARGEST}"
    if isinstance(value, float) and not math.isfinite(value):
        return "a finite number"
    text = str(value) if isinstance(value, str | Path) else ""
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        return "text without NUL bytes, in UTF-8"
    return None


def leaves(value: Any, option: str = "", class_path: str | None = None) -> Iterator[tuple[str, Any, str | None]]:
    """Yield every value with its option and the path of the class that it is an argument of, if any."""
    if isinstance(value, Namespace):
        class_path = value.get("class_path", class_path)
        value = vars(value)
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from leaves(part, option if key in SPEC_KEYS else f"{option}.{key}".lstrip("."), class_path)
    elif isinstance(value, list | tuple | set):
        for part in value:
            yield from leaves(part, option, class_path)
    else:
        yield option, value, class_path


def is_default(value: Any, argument: str, class_path: str | None) -> bool:
    """Whether the class itself, or a base, has this value as the argument's default."""
    for base in resolve_name(class_path).__mro__ if class_path else ():
        parameter = inspect.signature(base.__init__).parameters.get(argument)
        if parameter is not None and parameter.default is value:
            return True
    return False


def integers_first(function: Callable[..., Any]) -> None:
    """Have arguments that may be integer or float parse 1 as an integer, as `limit_train_batches` means it.

    The first type of a union that takes a value is used. `int | float` turns into `float | int` where another module
    wrote that before, since `typing.Union` caches equal unions.
    """
    for name, hint in function.__annotations__.items():
        types = get_args(hint)
        if {int, float} <= set(types):
            function.__annotations__[name] = reduce(or_, sorted(types, key=lambda type_: type_ is not int))
