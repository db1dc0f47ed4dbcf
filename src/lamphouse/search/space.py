"""What a search varies, and the samplers and pruners that vary it."""

import json
import math
import warnings
from collections.abc import Iterator, Mapping
from importlib import import_module
from inspect import signature
from typing import Any

from lamphouse.errors import InputError, did_you_mean

RANGE = ("low", "high", "step", "log")
SCALARS = (str, int, float, bool, type(None))


def optuna(module: str = "") -> Any:
    """Import Optuna, or one of its modules.

    Raises:
        InputError: it is not installed.
    """
    try:
        return import_module(f"optuna{module}")
    except ModuleNotFoundError as error:
        raise InputError("Optuna is not installed: install it with `make extra EXTRA=search`") from error


class Space:
    """Options of a program: a range (`low`, `high`, perhaps `step` or `log: true`), `choices`, or one value for all.

    Raises:
        InputError: a range or a list of choices is not one.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options = options
        self.searched = {name: _distribution(name, spec) for name, spec in options.items() if isinstance(spec, Mapping)}
        if not self.searched:
            example = "model.optimizer.lr: {low: 0.001, high: 0.1, log: true}"
            raise InputError(f"options: none is searched: give one a range or choices, such as `{example}`")

    def values(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return the value of every option, in their order, with Optuna's parameters for those that are searched."""
        values = dict(self.options)
        for name, value in parameters.items():
            choices = self.options[name].get("choices", [])
            values[name] = next((choice for choice in choices if _label(choice) == value), value)
        return values

    def corners(self) -> Iterator[dict[str, Any]]:
        """Yield values to try beforehand: the ends of ranges and all choices."""
        ends = {
            name: list(getattr(found, "choices", ())) or [found.low, found.high]
            for name, found in self.searched.items()
        }
        for number in range(max(map(len, ends.values()))):
            yield self.values({name: values[number % len(values)] for name, values in ends.items()})


def as_arguments(values: Mapping[str, Any]) -> list[str]:
    """Spell options as arguments of a command line, `--name=value`; lists, mappings and null as in JSON and YAML."""
    return [f"--{name}={_text(value)}" for name, value in values.items()]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _label(choice: Any) -> Any:
    return choice if isinstance(choice, SCALARS) else json.dumps(choice)  # Optuna stores scalars only


def _distribution(name: str, spec: Mapping[str, Any]) -> Any:
    for key in spec:
        if key not in {*RANGE, "choices"}:
            raise InputError(f"options.{name}.{key}: expected {', '.join(RANGE)}, or choices{did_you_mean(key, RANGE)}")
    if "choices" in spec:
        return _choices(name, spec)
    if missing := {"low", "high"} - spec.keys():
        raise InputError(f"options.{name}.{missing.pop()}: is missing: give low and high, or choices")
    if not isinstance(spec.get("log", False), bool):
        raise InputError(f"options.{name}.log {spec['log']}: expected true or false")
    numbers = {key: _number(f"options.{name}.{key}", spec[key]) for key in ("low", "high", "step") if key in spec}
    whole = all(isinstance(number, int) for number in numbers.values())
    kind = getattr(optuna(".distributions"), "IntDistribution" if whole else "FloatDistribution")
    low, high, step = numbers["low"], numbers["high"], numbers.get("step")
    given = f"options.{name} {json.dumps(dict(spec))}"
    if low > high:
        raise InputError(f"{given}: upside down: give low {high} and high {low}")
    if spec.get("log") and low <= 0:
        raise InputError(f"{given}: a logarithmic scale begins above 0: give a larger low, or leave log out")
    return _checked(kind, given, low, high, spec.get("log", False), *([] if step is None else [step]))


def _checked(kind: Any, given: str, *arguments: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a step that does not lead to `high`
        try:
            return kind(*arguments)
        except (UserWarning, ValueError) as error:
            raise InputError(f"{given}: {error}") from error


def _choices(name: str, spec: Mapping[str, Any]) -> Any:
    choices = spec["choices"]
    if not isinstance(choices, list) or not choices or len(spec) > 1:
        raise InputError(f"options.{name} {json.dumps(dict(spec))}: expected a list of choices, and nothing else")
    labels = [_label(choice) for choice in choices]
    if repeated := [label for label in labels if labels.count(label) > 1]:
        raise InputError(f"options.{name}.choices: {repeated[0]} is there twice: leave one out")
    return optuna(".distributions").CategoricalDistribution(labels)


def _number(option: str, value: Any) -> int | float:
    if isinstance(value, str):  # YAML takes 1e-3 for text
        try:
            value = float(value)
        except ValueError:
            value = f"'{value}'"
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"{option} {value}: expected a number")
    return value


def made(kind: str, spec: Any, **more: Any) -> Any:
    """Make a sampler or pruner of Optuna's from its name, or `class_path` and `init_args`, and `more` if it takes it.

    Raises:
        InputError: there is no such class, or it does not take these arguments.
    """
    module = optuna(f".{kind}s")
    spec = {"class_path": spec} if isinstance(spec, str) else spec
    if not isinstance(spec, Mapping) or not spec.keys() <= {"class_path", "init_args"} or "class_path" not in spec:
        raise InputError(f"{kind} {spec}: expected a name, or class_path and init_args")
    name, known = str(spec["class_path"]).rpartition(".")[2], [n for n in module.__all__ if n.endswith(kind.title())]
    if name not in known:
        raise InputError(f"{kind} {name}: there is no such class{did_you_mean(name, known) or f': use one of {known}'}")
    cls = getattr(module, name)
    own = {
        key: made(kind, value) if _is_class(value) else value for key, value in (spec.get("init_args") or {}).items()
    }
    taken = signature(cls).parameters
    if unknown := [key for key in own if key not in taken]:
        raise InputError(f"{kind} {name}: has no argument {unknown[0]}{did_you_mean(unknown[0], taken)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna(".exceptions").ExperimentalWarning)
            return cls(**{key: value for key, value in more.items() if key in taken}, **own)
    except (ImportError, TypeError, ValueError) as error:
        raise InputError(f"{kind} {name}: {' '.join(str(error).split())}") from error


def _is_class(value: Any) -> bool:
    return isinstance(value, Mapping) and "class_path" in value
