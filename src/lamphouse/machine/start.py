"""Start a program faster and end it faster: late imports, few garbage collections and a quick exit.

Importing this module changes nothing. `run` switches both on for the program that calls it, unless the environment
variable `LAMPHOUSE_PLAIN_START` is set; a program that uses single parts of this package keeps plain Python.
"""

import atexit
import gc
import io
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial, wraps
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

SWITCH = "LAMPHOUSE_PLAIN_START"
COMPILER = "torch._dynamo"  # private: Lightning and optimizers import it, which takes a second, and seldom use it
COMPILER_UTILS = "torch._dynamo.utils"  # private: torchvision imports a function from it
PLOTS = "torchmetrics.utilities.plot"  # imports matplotlib
PLOT_TYPES = ("_AX_TYPE", "_CMAP_TYPE", "_PLOT_OUT_TYPE")  # private: used in annotations
PLOT_FUNCTIONS = ("plot_confusion_matrix", "plot_curve", "plot_single_or_multi_val")
BUFFERS = (io.BufferedRandom, io.BufferedWriter, io.TextIOWrapper)


def run(main: Callable[[], object]) -> None:
    """Run a program's main function with late imports and a quick exit."""
    prepare()
    if os.environ.get(SWITCH):
        main()
        return
    succeeded: list[bool] = []
    # registered first, it is called last, when threads and child processes have ended and loggers are closed
    atexit.register(lambda: exit_quickly() if succeeded else None)
    sys.meta_path.insert(0, LateImports())
    main()
    succeeded.append(True)


def prepare() -> None:
    """Set what has to be set before torch is imported; variables that the user has set keep their values."""
    if "OMP_WAIT_POLICY" not in os.environ:
        # idle threads sleep and leave the cores to other processes, after spinning for some microseconds: small
        # operations take twice as long if threads have to be woken up for each of them
        os.environ["OMP_WAIT_POLICY"] = "passive"
        os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    gc.set_threshold(100_000, 20, 100)  # options and hooks make many objects and little garbage


@contextmanager
def without_collector() -> Iterator[None]:
    """Disable the garbage collector during imports, which leave no garbage."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class LateImports(Loader, MetaPathFinder):
    """Puts a stand-in in the place of slow modules, which are imported once something in them is used."""

    def __init__(self) -> None:
        self.disabled: list[Callable[[], None]] = []  # each tells the compiler about one function, once it is loaded
        plots = {name: partial(self.call, PLOTS, name) for name in PLOT_FUNCTIONS}
        supported = partial(self.call, COMPILER_UTILS, "is_compile_supported")
        compiler = {"disable": self.disable, "graph_break": lambda: None, "OptimizedModule": optimized_module(self)}
        self.contents: dict[str, dict[str, Any]] = {
            PLOTS: {**plots, **dict.fromkeys(PLOT_TYPES, object)},
            COMPILER: {"__path__": [], **compiler},
            COMPILER_UTILS: {"is_compile_supported": supported},
        }

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> ModuleSpec | None:
        """Find a stand-in, or load the real package of a module that is in no stand-in."""
        if name in self.contents:
            return ModuleSpec(name, self, is_package="__path__" in self.contents[name])
        if is_stand_in(name.rpartition(".")[0]):
            module = self.load(name)
            # Python puts it back; what stayed in sys.modules, it would import once more
            return ModuleSpec(name, self, loader_state=(sys.modules.pop(name), module.__spec__))
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Make a stand-in, or return the real module that has just been loaded."""
        if spec.loader_state is None:
            return StandIn(spec.name, self, self.contents[spec.name])
        module: ModuleType = spec.loader_state[0]
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Restore the spec of a real module; one with options of its own refuses to have it changed."""
        spec = module.__spec__
        if spec is not None and spec.loader is self and spec.loader_state is not None:
            module.__spec__ = spec.loader_state[1]

    def load(self, name: str) -> ModuleType:
        """Import a real module, with the rest of the compiler if it belongs to it."""
        if name == PLOTS:
            self._import(PLOTS)
        elif COMPILER in self.contents:
            self._import(COMPILER, COMPILER_UTILS)
            while self.disabled:
                self.disabled.pop()()
        return import_module(name)

    def _import(self, *names: str) -> None:
        for name in names:
            self.contents.pop(name, None)
            if is_stand_in(name):
                del sys.modules[name]
        import_module(names[0])

    def call(self, module: str, function: str, *args: Any, **kwargs: Any) -> Any:
        """Call a function of a real module."""
        return getattr(self.load(module), function)(*args, **kwargs)

    def disable(self, function: Callable[..., Any] | None = None, *args: Any, **kwargs: Any) -> Any:
        """Stand in for `torch._dynamo.disable`, which is called when the compiler has been loaded."""
        if function is None or not is_stand_in(COMPILER):
            return self.call(COMPILER, "disable", function, *args, **kwargs)
        current = [function]

        @wraps(function)
        def disabled(*positional: Any, **named: Any) -> Any:
            return current[0](*positional, **named)

        self.disabled.append(lambda: current.__setitem__(0, self.call(COMPILER, "disable", function, *args, **kwargs)))
        return disabled


class StandIn(ModuleType):
    """Takes the place of a module until something is used that is not among its `contents`."""

    def __init__(self, name: str, imports: LateImports, contents: dict[str, Any]) -> None:
        super().__init__(name)
        vars(self).update(contents)
        self._imports = imports

    def __getattr__(self, name: str) -> Any:
        """Look a name up in the real module."""
        if name.startswith("__"):  # Python itself looks for such names in every module
            raise AttributeError(name)
        return getattr(self._imports.load(self.__name__), name)


def is_stand_in(name: str) -> bool:
    """Whether a module has not been loaded, and its stand-in is used."""
    return isinstance(sys.modules.get(name), StandIn)


def optimized_module(imports: LateImports) -> type:
    """Make a stand-in for `OptimizedModule`: Lightning asks of every model whether it is one."""

    class OptimizedModuleType(type):
        def __instancecheck__(cls, instance: object) -> bool:
            # before the compiler is loaded, there are no instances
            return not is_stand_in(COMPILER) and isinstance(instance, imports.load(COMPILER).OptimizedModule)

    return OptimizedModuleType("OptimizedModule", (), {})


def exit_quickly() -> None:
    """End a successful process without tearing down the interpreter, which takes a second after importing torch."""
    logging.shutdown()
    for file in [obj for obj in gc.get_objects() if issubclass(type(obj), BUFFERS)]:
        with suppress(ValueError):  # it is closed, or detached
            file.flush()
    os._exit(0)
