"""Start a program faster: late imports, few collections of garbage, and a quick end."""

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


def prepare() -> None:
    """Set what has to be set before torch is loaded; what the user has set in the environment stays."""
    if "OMP_WAIT_POLICY" not in os.environ:
        # waiting threads sleep, so that they leave the cores to others, but not before they have looked for some
        # microseconds whether the next operation comes: small ones take twice the time if threads have to be woken up
        os.environ["OMP_WAIT_POLICY"] = "passive"
        os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    gc.set_threshold(100_000, 20, 100)  # options and hooks make many objects and little garbage


@contextmanager
def without_collector() -> Iterator[None]:
    """Keep the garbage collector from looking through what is imported, which holds no garbage."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


PLOTS = "torchmetrics.utilities.plot"
PLOT_TYPES = ("_AX_TYPE", "_CMAP_TYPE", "_PLOT_OUT_TYPE")  # which stand in annotations
PLOT_FUNCTIONS = ("plot_confusion_matrix", "plot_curve", "plot_single_or_multi_val")
COMPILER = "torch._dynamo"
COMPILER_UTILS = "torch._dynamo.utils"
DISABLED: list[Callable[[], None]] = []  # each tells the compiler of one function, once it is loaded


class StandIn(ModuleType):
    """Is found in a module's place, and loads that one when asked for what it does not have itself.

    Args:
        name: of the module.
        own: what can be had without loading it.
    """

    def __init__(self, name: str, **own: Any) -> None:
        super().__init__(name)
        vars(self).update(own)

    def __getattr__(self, name: str) -> Any:
        """Find what the real module has.

        Raises:
            AttributeError: it is asked for what Python has modules tell of themselves.
        """
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(real(self.__name__), name)


class WithinStandIn(Loader, MetaPathFinder):
    """Finds the modules of a package that a stand-in stands for: the package is loaded, and they with it."""

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> ModuleSpec | None:
        """Load the real module, and have it put back: what stays in its place, Python would load once more."""
        if waits(name.rpartition(".")[0]):
            module = real(name)
            return ModuleSpec(name, self, loader_state=(sys.modules.pop(name), module.__spec__))
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Take the module that has been loaded."""
        module: ModuleType = spec.loader_state[0]
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Leave it as it was; a module of options keeps what it knows of itself anyway."""
        if (spec := module.__spec__) is not None and spec.loader is self:
            module.__spec__ = spec.loader_state[1]


class OptimizedModuleType(type):
    """What makes a class whose instances are those of torch's own class, once that is loaded."""

    def __instancecheck__(cls, obj: object) -> bool:
        """Ask torch's own, of which there is no instance before."""
        return not waits(COMPILER) and isinstance(obj, real(COMPILER).OptimizedModule)


class OptimizedModule(metaclass=OptimizedModuleType):
    """What Lightning asks of a model whether it is."""


def load_late() -> None:
    """Put a stand-in in the place of each of these modules that is not loaded yet."""
    plots = {name: partial(call, PLOTS, name) for name in PLOT_FUNCTIONS}
    sys.modules.setdefault(PLOTS, StandIn(PLOTS, **plots, **dict.fromkeys(PLOT_TYPES, object)))
    torch = import_module("torch")
    if COMPILER not in sys.modules:
        supported = partial(call, COMPILER_UTILS, "is_compile_supported")  # of which torchvision imports the name
        sys.modules[COMPILER_UTILS] = StandIn(COMPILER_UTILS, is_compile_supported=supported)
        compiler = {"disable": disable, "graph_break": graph_break, "OptimizedModule": OptimizedModule}
        sys.modules[COMPILER] = StandIn(COMPILER, __path__=[], **compiler)
        setattr(torch, COMPILER.rpartition(".")[2], sys.modules[COMPILER])
        sys.meta_path.append(WithinStandIn())


def waits(name: str) -> bool:
    """Tell whether a stand-in is still in a module's place."""
    return isinstance(sys.modules.get(name), StandIn)


def real(name: str) -> ModuleType:
    """Load the real module, once, and with the compiler all that belongs to it."""
    if name == PLOTS and waits(PLOTS):
        del sys.modules[PLOTS]
    if name != PLOTS and waits(COMPILER):
        del sys.modules[COMPILER], sys.modules[COMPILER_UTILS]
        import_module(COMPILER)
        while DISABLED:
            DISABLED.pop()()
    return import_module(name)


def call(module: str, function: str, *args: Any, **kwargs: Any) -> Any:
    """Call a function of the real module."""
    return getattr(real(module), function)(*args, **kwargs)


def disable(function: Callable[..., Any] | None = None, *args: Any, **kwargs: Any) -> Any:
    """Have a function left out of what is compiled, of which the compiler is told once it is loaded."""
    if function is None or not waits(COMPILER):
        return call(COMPILER, "disable", function, *args, **kwargs)
    current = [function]

    @wraps(function)
    def run(*of: Any, **named: Any) -> Any:
        return current[0](*of, **named)

    DISABLED.append(lambda: current.__setitem__(0, call(COMPILER, "disable", function, *args, **kwargs)))
    return run


def graph_break() -> None:
    """Do nothing, as torch's own does where nothing is compiled."""


BUFFERS = (io.BufferedRandom, io.BufferedWriter, io.TextIOWrapper)


class QuickEnd:
    """Ends a process that succeeded without taking the interpreter apart, which takes a second after importing torch.

    It is the last of what is called at exit, when threads and child processes have ended and loggers are closed. What
    files of any module still hold is written first. Any other end, by an error, say, is Python's own.
    """

    def __init__(self) -> None:
        self.succeeded = False
        atexit.register(self)

    def __call__(self) -> None:
        """End the process, if it succeeded."""
        if self.succeeded:
            logging.shutdown()
            flush_files()
            os._exit(0)


def flush_files() -> None:
    """Write what open files have buffered.

    Raises:
        OSError: one of them cannot be written.
    """
    for file in [obj for obj in gc.get_objects() if issubclass(type(obj), BUFFERS)]:
        with suppress(ValueError):  # it is closed, or detached
            file.flush()
