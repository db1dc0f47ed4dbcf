"""Find the operation that turns finite numbers into infinity or NaN."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode

NUMBERS, GRADIENTS = ("nan", "infinity"), ("nan gradient", "infinite gradient")
NOTHING_FOUND = "no operation made it out of finite numbers"
LIBRARIES = (str(Path(torch.__file__).parent), __file__)  # a line in them says nothing about a model


class OperationFinder(TorchFunctionMode):
    """Records the first operations, forward and backward, that make finite numbers infinite or NaN.

    An infinity may be intended, as in a mask: it raises no error, and does not hide a NaN.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.names = model, {module: name for name, module in model.named_modules()}
        self.entered: list[nn.Module] = []
        self.found: dict[str, str] = {}  # where each kind of number came from

    def __str__(self) -> str:
        return ", ".join(f"the first {what} came from {where}" for what, where in self.found.items()) or NOTHING_FOUND

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        results, inputs = func(*args, **(kwargs or {})), [args, *(kwargs or {}).values()]
        for result in tensors(results) if torch.is_grad_enabled() else ():
            if self.entered or result.requires_grad:
                where = f"{func.__name__}{self._location()}"
                self._check(NUMBERS, where, result, inputs)
                if result.grad_fn is not None:
                    check = partial(self._check, GRADIENTS, f"{result.grad_fn.name()} of {where}")
                    result.grad_fn.register_hook(check)
        return results

    def enter(self, module: nn.Module, args: Any) -> None:
        """Note which module is computed; check the inputs and parameters of the outermost one."""
        if not self.entered and torch.is_grad_enabled():
            with torch.no_grad():
                self._check(NUMBERS, "the batch", args)
                for name, parameter in self.model.named_parameters():
                    self._check(NUMBERS, f"the weight {name}", parameter)
        self.entered.append(module)

    def leave(self, *_: Any) -> None:
        self.entered.pop()

    def _location(self) -> str:
        frame = sys._getframe(2)
        while frame.f_back and frame.f_code.co_filename.startswith(LIBRARIES):
            frame = frame.f_back
        module = self.entered[-1] if self.entered else None
        part = f" in {self.names.get(module) or 'the model'} ({type(module).__name__})" if module else ""
        return f"{part}, {Path(frame.f_code.co_filename).name}:{frame.f_lineno}"

    def _check(self, kinds: tuple[str, str], where: str, results: Any, inputs: Any = ()) -> None:
        for result in tensors(results):
            for kind, is_wrong in zip(kinds, (torch.isnan, torch.isinf), strict=True):
                is_first = kind not in self.found and is_wrong(result).any()
                if is_first and all(tensor.isfinite().all() for tensor in tensors(inputs)):
                    self.found[kind] = where


def tensors(values: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested sequences."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, list | tuple):
        for value in values:
            yield from tensors(value)


@contextmanager
def find_operation(model: nn.Module) -> Iterator[OperationFinder]:
    """Check every operation of a model's training, which is slow; `str` of the finder says what it found."""
    finder = OperationFinder(model)
    with (
        register_module_forward_pre_hook(finder.enter),
        register_module_forward_hook(finder.leave, always_call=True),
        torch.compiler.set_stance("force_eager"),  # compiled operations could not be seen
        torch.autograd.set_detect_anomaly(True),
        warnings.catch_warnings(),
        finder,
    ):
        warnings.filterwarnings("ignore", "Error detected in")  # a traceback, which the finder summarizes
        yield finder
