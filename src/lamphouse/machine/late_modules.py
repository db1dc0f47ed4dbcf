"""The modules that torch, torchvision, torchmetrics and Lightning import and most programs do not use."""

import sys
from abc import ABC
from collections.abc import Callable
from functools import partial, wraps
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import FunctionType, MethodType, ModuleType
from typing import Any
from weakref import WeakSet

from lamphouse.machine.late_imports import LateImports, StandIn, is_stand_in

PLOTS = "torchmetrics.utilities.plot"  # imports matplotlib
PLOT_TYPES = ("_AX_TYPE", "_CMAP_TYPE", "_PLOT_OUT_TYPE")  # private: used in annotations
PLOT_FUNCTIONS = ("plot_confusion_matrix", "plot_curve", "plot_single_or_multi_val")
FLOPS = "torch.utils.flop_counter"  # imports Triton; Lightning's summary of a model counts with it
CUDA = ("cuda.bindings.driver", "cuda.bindings.runtime")  # torch uses them to annotate CUDA graphs
VISION = ("torchvision.datasets", "torchvision.models", "torchvision.ops")  # torchmetrics imports torchvision
ARNIQA = "torchmetrics.functional.image.arniqa"  # it and the next import networks of torchvision
DISTS = "torchmetrics.functional.image.dists"
DISTS_FUNCTIONS = ("deep_image_structure_and_texture_similarity", "_dists_update")  # the second is private
COMPILER = "torch._dynamo"  # private: Lightning and optimizers import it, which takes a second, and seldom use it
COMPILER_UTILS = "torch._dynamo.utils"  # private: torchvision imports a function from it
# private: torch takes a fifth of its import for the rules by which operations find the shapes of tensors without data,
# those on the device "meta", and for what the compiler makes of operations
SHAPES = ("torch._meta_registrations", "torch._decomp", "torch._prims", "torch._refs")
VISION_SHAPES = "torchvision._meta_registrations"  # private: those of its own operations
RANDOM = "torch._prims.rng_prims"  # private: generators of random numbers need it
UNKNOWN = (2, 16)  # a torch that no test has seen yet may need its rules for shapes from the start


def late_modules() -> list[LateImports]:
    """Finders for `sys.meta_path`, to come before Python's own and before torch is imported."""
    return [LateSingles(), LateCompiler(), LateShapes()]


class LateSingles(LateImports):
    """Modules that are imported one by one."""

    def __init__(self) -> None:
        contents: dict[str, dict[str, Any]] = {
            PLOTS: {**self.calls(PLOTS, *PLOT_FUNCTIONS), **dict.fromkeys(PLOT_TYPES, object)},
            FLOPS: self.calls(FLOPS, "FlopCounterMode"),
            ARNIQA: self.calls(ARNIQA, "arniqa"),
            DISTS: self.calls(DISTS, *DISTS_FUNCTIONS),
            **{name: {} for name in (*CUDA, *VISION)},
        }
        super().__init__(contents)

    def on_load(self, module: Any) -> None:
        if module.__name__ == ARNIQA:  # the function has the name of its module, which took its place
            sys.modules[module.__package__].arniqa = module.arniqa  # type: ignore[attr-defined]  # any module


class LateCompiler(LateImports):
    """The compiler, which learns what to leave alone when it is imported."""

    def __init__(self) -> None:
        self.disabled: WeakSet[Any] = WeakSet()  # functions that the compiler is to be told about
        compiler = {
            "disable": self.disable,
            "graph_break": lambda msg="": None,  # noqa: ARG005  # the parameter has this name
            "OptimizedModule": OptimizedModule,
        }
        super().__init__(
            {COMPILER: compiler, COMPILER_UTILS: self.calls(COMPILER_UTILS, "is_compile_supported")}, together=True
        )

    def on_load(self, module: Any) -> None:
        OptimizedModule.register(module.OptimizedModule)
        for function in self.disabled:
            function.current[0] = function.tell_compiler(module, function.__wrapped__)
        self.disabled.clear()

    def disable(self, fn: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Stand in for `torch._dynamo.disable`, which is called when the compiler has been imported."""
        if not isinstance(fn, FunctionType | MethodType) or not is_stand_in(COMPILER):
            return self.call(COMPILER, "disable", fn, *args, **kwargs)
        current = [fn]

        @wraps(fn)
        def disabled(*positional: Any, **named: Any) -> Any:
            return current[0](*positional, **named)

        function: Any = disabled  # which alone holds what it needs, and may end before the compiler is imported
        function.current = current
        function.tell_compiler = lambda compiler, wrapped: compiler.disable(wrapped, *args, **kwargs)
        self.disabled.add(function)
        return disabled


class OptimizedModule(ABC):  # noqa: B024  # no class inherits from it
    """Stands in for the compiler's: Lightning asks of every model whether it is one."""


class LateShapes(LateImports):
    """The rules for shapes, which are imported with the first tensor without data, or by name.

    Each such tensor starts as an empty one: until the first, the operations that make it are this class's.
    """

    def __init__(self) -> None:
        self.first_tensor: Any = None  # the library of these operations
        super().__init__({name: {} for name in (*SHAPES, VISION_SHAPES)}, together=True)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name == SHAPES[0] and release(sys.modules["torch"]) >= UNKNOWN:
            self.contents.clear()  # nothing is late
        return None if name == RANDOM else super().find_spec(name, path, target)

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        if isinstance(module, StandIn) and module.__name__ == SHAPES[0]:  # at the end of torch's import
            for name in (*SHAPES[1:], RANDOM):
                import_module(name)  # torch has them as attributes from then on
            self.replace_operations()

    def replace_operations(self) -> None:
        """Take the place of the operations that make a tensor without data."""
        from torch import library, ops  # noqa: PLC0415  # torch is imported later than this module

        self.first_tensor = library.Library("aten", "IMPL", "Meta")
        for operation in (ops.aten.empty.memory_format, ops.aten.empty_strided.default):
            self.first_tensor.impl(operation, partial(self.make_first, operation))

    def make_first(self, operation: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        # also if the import is interrupted; torch needs nothing more of the operation that is running
        self.first_tensor = None
        self.load(SHAPES[0])
        return operation(*args, **kwargs)  # torch's own

    def on_load(self, module: Any) -> None:
        self.first_tensor = None  # the operations are torch's own again
        # a module imported before its package is no attribute of that
        sys.modules["torch._prims"].rng_prims = sys.modules[RANDOM]  # type: ignore[attr-defined]  # any module
        if "torchvision" in sys.modules:
            import_module(VISION_SHAPES)


def release(package: Any) -> tuple[int, ...]:
    """Return the first two numbers of a package's version."""
    return tuple(map(int, package.__version__.split(".")[:2]))
