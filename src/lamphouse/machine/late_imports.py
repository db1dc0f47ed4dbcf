"""Stand-ins for modules that are slow to import and seldom used, which are imported once something in them is used."""

import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
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

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> ModuleSpec | None:
        if name in self.contents:
            return ModuleSpec(name, self, is_package="__path__" in self.contents[name])
        if name.rpartition(".")[0] in self.contents:  # a module of a package that has a stand-in
            module = self.load(name)
            # Python puts it back; what stayed in sys.modules, it would import once more
            return ModuleSpec(name, self, loader_state=(sys.modules.pop(name), module.__spec__))
        return None

    def create_module(self, spec: ModuleSpec) -> Any:
        return spec.loader_state[0] if spec.loader_state else StandIn(spec.name, self)

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__
        # a real module gets its own spec back; one with options of its own has refused another
        if spec and spec.loader is self and spec.loader_state:
            module.__spec__ = spec.loader_state[1]

    def load(self, name: str) -> ModuleType:
        """Import a module, or one of a package, in the place of the stand-in."""
        waiting = next((module for module in self.contents if f"{name}.".startswith(f"{module}.")), None)
        if waiting:
            modules = list(self.contents) if self.together else [waiting]
            for module in modules:
                del self.contents[module]
                if is_stand_in(module):
                    del sys.modules[module]
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
    """Takes the place of a module until something is used that it does not have."""

    def __init__(self, name: str, imports: LateImports) -> None:
        super().__init__(name)
        vars(self).update(imports.contents[name])
        self._imports = imports

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__all__":  # Python itself looks for such names in every module
            raise AttributeError(name)
        module = self._imports.load(self.__name__)
        if name == "__all__":  # `from ... import *` looks for the names here
            vars(self).update(vars(module))
        return getattr(module, name)


def is_stand_in(name: str) -> bool:
    """Whether a module has not been imported, and its stand-in is used."""
    return isinstance(sys.modules.get(name), StandIn)
