"""A JSON schema of the options of an experiment, by which editors complete, describe and check its YAML file."""

import inspect
import json
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from textwrap import shorten
from typing import Any, Literal, Union, get_args, get_origin

from jsonargparse import ArgumentParser
from lightning.pytorch import Callback
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lamphouse.cli.suggestions import subclasses

EXPONENT = {"type": "string", "pattern": r"^[-+]?[0-9.]+[eE][-+]?[0-9]+$"}  # a number that YAML takes for text: 1e-3
SIMPLE = {bool: "boolean", int: "integer", str: "string", type(None): "null"}
LONGEST = 200  # characters of a description
LIBRARIES = ("torch.optim.", "lightning.pytorch.callbacks.")  # whose classes are named, too
EMPTY = (Callback, LRScheduler, Optimizer)  # classes of the libraries that do nothing by themselves
Tree = dict[str, Any]


def print_schema(parser: ArgumentParser, package: str) -> None:
    """Print the schema of a parser's options, with the classes of a project, of the library and of torch."""
    schema = _Schema((f"{package}.", "lamphouse.", *LIBRARIES))
    options = schema.of_parser(parser)
    about = {"$schema": "http://json-schema.org/draft-07/schema#", "title": f"An experiment of {package}"}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(one)}" for name, one in sorted(schema.definitions.items()))
    print(f'{json.dumps({**about, **options})[:-1]},\n"$defs": {{\n{lines}\n}}}}')


class _Schema:
    """Collects the definitions of classes that options name."""

    def __init__(self, modules: tuple[str, ...]) -> None:
        self.modules = modules  # beginnings of the names of those whose classes are known
        self.definitions: Tree = {}

    def of_parser(self, parser: ArgumentParser, prefix: str = "") -> Tree:
        """Return the schema of all options, or of those in a group."""
        root: Tree = _group()
        for action in parser._actions:
            kind = getattr(action, "_typehint", None)
            if kind is None or not action.dest.startswith(prefix) or action.dest.endswith(".help"):
                continue
            *groups, name = action.dest.removeprefix(prefix).split(".")
            group = root
            for one in groups:
                group = group["properties"].setdefault(one, _group())
            text, values = shorten(action.help or "", LONGEST, placeholder=" …"), self.of_type(kind)
            # what stands beside a reference would be ignored
            group["properties"][name] = {"description": text, **({"allOf": [values]} if "$ref" in values else values)}
        return root

    def of_type(self, kind: Any) -> Tree:
        """Return the schema of values of a type."""
        origin, inner = get_origin(kind), get_args(kind)
        if origin is None:
            return self._of_class(kind) if inspect.isclass(kind) else {}
        if not inner:
            return {}
        if origin is Literal:
            return {"enum": list(inner)}
        return self._of_generic(origin, inner)

    def _of_generic(self, origin: Any, inner: tuple[Any, ...]) -> Tree:
        if origin in {Union, types.UnionType}:
            return {"anyOf": [self.of_type(one) for one in inner]}
        if origin is Callable:
            return self.of_type(inner[-1])
        if issubclass(origin, Mapping):
            return {"type": "object", "additionalProperties": self.of_type(inner[1])}
        if issubclass(origin, Iterable):
            return {"type": "array", "items": self.of_type(inner[0])}
        return {}

    def _of_class(self, kind: type) -> Tree:
        if issubclass(kind, float):
            return {"anyOf": [{"type": "number"}, EXPONENT]}
        for plain, name in SIMPLE.items():
            if issubclass(kind, plain):  # the numbers of an interval, too
                return {"type": name}
        if issubclass(kind, Enum):
            return {"enum": [one.name for one in kind]}
        if issubclass(kind, Path):
            return {"type": "string"}
        if inspect.getmodule(kind) is None or kind.__module__ in {"builtins", "datetime", "typing"}:
            return {}
        name = f"any {kind.__name__}"
        if name not in self.definitions:
            self.definitions[name] = {}  # while its options are found, among which it may be again
            self.definitions[name] = self._of_subclasses(kind)
        return {"$ref": f"#/$defs/{name}"}

    def _of_subclasses(self, kind: type) -> Tree:
        """Return the schema of a class by its name, or with options, which are checked if the class is known."""
        known = sorted({cls.__name__: cls for cls in sorted(self._known(kind), key=str)}.items())
        spec = _group({name: {} for name in ("class_path", "init_args", "dict_kwargs")})
        spec["properties"]["class_path"] = {"anyOf": [{"enum": [name for name, _ in known]}, {"type": "string"}]}
        spec["allOf"] = [self._if_class(name, cls) for name, cls in known]
        return {"anyOf": [{"enum": [name for name, _ in known]}, {"type": "string"}, spec]}

    def _known(self, kind: type) -> Iterator[type]:
        classes = {kind, *subclasses(kind)}
        abstract = {
            cls for cls in classes if "(abstract" in (cls.__doc__ or "") or cls.__name__.startswith(("_", "Base"))
        }
        yield from (cls for cls in classes - abstract - {*EMPTY} if cls.__module__.startswith(self.modules))

    def _if_class(self, name: str, cls: type) -> Tree:
        path = f"{cls.__module__}.{name}"
        if path not in self.definitions:
            self.definitions[path] = {}
            parser = ArgumentParser(exit_on_error=False)
            parser.add_class_arguments(cls, "of", fail_untyped=False)
            self.definitions[path] = self.of_parser(parser, "of.")
        options = {"init_args": {"$ref": f"#/$defs/{path}"}}
        condition = {"properties": {"class_path": {"enum": [name, path]}}, "required": ["class_path"]}
        return {"if": condition, "then": {"properties": options}}


def _group(properties: Tree | None = None) -> Tree:
    appended: Tree = {"\\+$": {}}  # name+ appends to a list
    found: Tree = {"type": "object", "properties": properties or {}}
    return {**found, "patternProperties": appended, "additionalProperties": False}
