"""Late imports, few garbage collections and a quick exit, for the program that calls `run` and for no other.

The environment variable `LAMPHOUSE_PLAIN_START` switches late imports and the quick exit off.
"""

import atexit
import gc
import io
import logging
import os
import sys
from abc import ABC
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial, wraps
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from signal import SIGPIPE
from threading import Thread
from time import sleep
from types import ModuleType
from typing import Any

SWITCH = "LAMPHOUSE_PLAIN_START"
LAUNCHER = "LAMPHOUSE_LAUNCHER"  # the process id
LAST_WORDS = 9  # seconds in which a process says that the one that launched it has ended
COMPILER = "torch._dynamo"  # private: Lightning and optimizers import it, which takes a second, and seldom use it
COMPILER_UTILS = "torch._dynamo.utils"  # private: torchvision imports a function from it
PLOTS = "torchmetrics.utilities.plot"  # imports matplotlib
FLOPS = "torch.utils.flop_counter"  # imports Triton; Lightning's summary of a model counts with it
CUDA = ("cuda.bindings.driver", "cuda.bindings.runtime")  # torch uses them to annotate CUDA graphs
PLOT_TYPES = ("_AX_TYPE", "_CMAP_TYPE", "_PLOT_OUT_TYPE")  # private: used in annotations
PLOT_FUNCTIONS = ("plot_confusion_matrix", "plot_curve", "plot_single_or_multi_val")
BUFFERS = (io.BufferedRandom, io.BufferedWriter, io.TextIOWrapper)


def run(main: Callable[[], object]) -> None:
    """Run a program's main function with late imports and a quick exit."""
    prepare()
    end_with_launcher()
    if os.environ.get(SWITCH):
        with quiet_pipe():
            main()
        return
    statuses: list[int] = []
    # registered first, it is called last, when threads and child processes have ended and loggers are closed
    atexit.register(lambda: exit_quickly(*statuses) if statuses else None)
    sys.meta_path.insert(0, LateImports())
    try:
        with quiet_pipe():
            main()
    except SystemExit as end:
        statuses += [end.code] if isinstance(end.code, int) else []
        raise
    statuses.append(0)


@contextmanager
def quiet_pipe() -> Iterator[None]:
    """End without a traceback where what reads the output has ended, as in `... | head`."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python flushes at its end
        sys.exit(128 + SIGPIPE)  # as shells report it of other programs


def prepare() -> None:
    """Set what has to be set before torch is imported; variables that the user has set keep their values."""
    if "OMP_WAIT_POLICY" not in os.environ:
        # idle threads sleep and leave the cores to other processes, after spinning for some microseconds: small
        # operations take twice as long if threads have to be woken up for each of them
        os.environ["OMP_WAIT_POLICY"] = "passive"
        os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    gc.set_threshold(100_000, 20, 100)  # options and hooks make many objects and little garbage


def end_with_launcher() -> None:
    """Have a process that a Trainer launched end soon after the one that did, which may be killed."""
    launcher = os.environ.get(LAUNCHER)
    if launcher is None or not int(os.environ.get("LOCAL_RANK") or 0) or "TORCHELASTIC_RUN_ID" in os.environ:
        os.environ[LAUNCHER] = str(os.getpid())
    else:
        Thread(target=_end_with_launcher, daemon=True).start()


def has_launcher() -> bool:
    """Whether a Trainer has launched this process from another one, which still runs."""
    return os.environ.get(LAUNCHER) == str(os.getppid())


def _end_with_launcher() -> None:
    while has_launcher():
        sleep(1)
    sleep(LAST_WORDS)
    os._exit(1)


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
        functions = {name: partial(self.call, PLOTS, name) for name in PLOT_FUNCTIONS}
        compiler = {"disable": self.disable, "graph_break": lambda: None, "OptimizedModule": OptimizedModule}
        self.contents: dict[str, dict[str, Any]] = {
            PLOTS: {**functions, **dict.fromkeys(PLOT_TYPES, object)},
            FLOPS: {"FlopCounterMode": partial(self.call, FLOPS, "FlopCounterMode")},
            **{name: {} for name in CUDA},
            COMPILER: {"__path__": [], **compiler},
            COMPILER_UTILS: {"is_compile_supported": partial(self.call, COMPILER_UTILS, "is_compile_supported")},
        }

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> ModuleSpec | None:
        if name in self.contents:
            return ModuleSpec(name, self, is_package="__path__" in self.contents[name])
        if is_stand_in(name.rpartition(".")[0]):  # a module of the compiler that has no stand-in
            module = self.load(name)
            # Python puts it back; what stayed in sys.modules, it would import once more
            return ModuleSpec(name, self, loader_state=(sys.modules.pop(name), module.__spec__))
        return None

    def create_module(self, spec: ModuleSpec) -> Any:
        return spec.loader_state[0] if spec.loader_state else StandIn(spec.name, self, self.contents[spec.name])

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__
        # a real module gets its own spec back; one with options of its own has refused another
        if spec and spec.loader is self and spec.loader_state:
            module.__spec__ = spec.loader_state[1]

    def load(self, name: str) -> ModuleType:
        """Import a real module, with the rest of the compiler if it belongs to it."""
        if name in {PLOTS, FLOPS, *CUDA}:
            self._replace(name)
        elif COMPILER in self.contents:
            compiler = self._replace(COMPILER, COMPILER_UTILS)
            OptimizedModule.register(compiler.OptimizedModule)
            while self.disabled:
                self.disabled.pop()()
        return import_module(name)

    def _replace(self, *names: str) -> Any:
        for name in names:
            self.contents.pop(name, None)
            if is_stand_in(name):
                del sys.modules[name]
        return import_module(names[0])

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


class OptimizedModule(ABC):  # noqa: B024  # no class inherits from it
    """Stands in for the compiler's: Lightning asks of every model whether it is one."""


class StandIn(ModuleType):
    """Takes the place of a module until something is used that is not among its `contents`."""

    def __init__(self, name: str, imports: LateImports, contents: dict[str, Any]) -> None:
        super().__init__(name)
        vars(self).update(contents)
        self._imports = imports

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # Python itself looks for such names in every module
            raise AttributeError(name)
        return getattr(self._imports.load(self.__name__), name)


def is_stand_in(name: str) -> bool:
    """Whether a module has not been loaded, and its stand-in is used."""
    return isinstance(sys.modules.get(name), StandIn)


def exit_quickly(status: int) -> None:
    """End a process without tearing down the interpreter, which takes a second after importing torch."""
    logging.shutdown()
    for file in [obj for obj in gc.get_objects() if issubclass(type(obj), BUFFERS)]:
        with suppress(ValueError):  # it is closed, or detached
            file.flush()
    os._exit(status)
