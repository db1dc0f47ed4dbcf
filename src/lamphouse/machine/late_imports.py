"""Stand-ins for modules that are slow to import and seldom used, which are imported once something in them is used."""

import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any


class LateImports(Loader, MetaPathFinder):
    """Puts a stand-in in the place of each of some modules (abstract).

    Args:
        contents: what a stand-in has, by the module's name; whatever else is asked of it, the module is imported for.
        together: whether all modules are imported with any of them, the first one first.
    """

    def __init__(self, contents: dict[str, dict[str, Any]], together: bool = False) -> None:
        self.contents = contents  # of modules that have not been imported
        self.together = together

    def find_spec(self, name: str, path: Any = None, _target: Any = None) -> ModuleSpec | None:
        """Find a module that waits to be imported, or one of a package that does; nothing is imported for that."""
        if not self.contents.keys() & {name, name.rpartition(".")[0]}:
            return None
        found = PathFinder.find_spec(name, path)
        if found is None:
            return None
        is_package = found.submodule_search_locations is not None
        spec = ModuleSpec(name, self, origin=found.origin, is_package=is_package)
        spec.has_location = found.has_location  # as `__file__`, for `inspect`
        if is_package:
            spec.submodule_search_locations = found.submodule_search_locations
        return spec

    def create_module(self, spec: ModuleSpec) -> Any:
        if spec.name in self.contents:
            return StandIn(spec.name, self)
        module = self.load(spec.name)
        spec.loader_state = module.__spec__  # in whose place Python puts this one
        return module

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ and module.__spec__.loader_state:
            module.__spec__ = module.__spec__.loader_state

    def load(self, name: str) -> ModuleType:
        """Import a module, or one of a package, in the place of the stand-in."""
        waiting = next((module for module in list(self.contents) if f"{name}.".startswith(f"{module}.")), None)
        if waiting:
            modules = list(self.contents) if self.together else [waiting]
            for module in modules:
                contents = self.contents.pop(module, {})
                if is_stand_in(module):
                    own = own_names(sys.modules.pop(module))
                    for held in contents:  # by who has imported the stand-in
                        own.pop(held, None)
            self.on_load(import_module(modules[0]))
        return import_module(name)

    def on_load(self, module: Any) -> None:
        """Called when a module, the first one where all are imported together, has taken the place of its stand-in."""

    def call(self, module: str, function: str, *args: Any, **kwargs: Any) -> Any:
        """Call a function of a module."""
        return getattr(self.load(module), function)(*args, **kwargs)

    def calls(self, module: str, *functions: str) -> dict[str, Callable[..., Any]]:
        """Functions that a stand-in can have: they call the module's own."""
        return {function: partial(self.call, module, function) for function in functions}


class StandIn(ModuleType):
    """Takes the place of a module until something is used that it does not have, and is the module from then on."""

    def __init__(self, name: str, imports: LateImports) -> None:
        super().__init__(name)
        own_names(self).update(imports.contents[name], _imports=imports)

    def _load(self) -> ModuleType:
        imports: LateImports = own_names(self)["_imports"]
        return imports.load(self.__name__)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__all__":  # Python itself looks for such names in every module
            raise AttributeError(name)
        return getattr(self._load(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("__") or isinstance(value, ModuleType):  # Python itself sets them
            super().__setattr__(name, value)
        else:
            setattr(self._load(), name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._load(), name)

    def __dir__(self) -> list[str]:
        return dir(self._load())

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]  # a module's is no property
        return vars(self._load())


def own_names(module: ModuleType) -> dict[str, Any]:
    """Return what a stand-in itself has, which is not what it shows."""
    names: dict[str, Any] = vars(ModuleType)["__dict__"].__get__(module)
    return names


def is_stand_in(name: str) -> bool:
    """Whether a module has not been imported, and its stand-in is used."""
    return isinstance(sys.modules.get(name), StandIn)
