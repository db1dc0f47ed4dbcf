"""Finds the operation that makes infinity or not-a-number out of finite numbers."""

import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode

NUMBERS, GRADIENTS = ("nan", "infinity"), ("nan gradient", "infinite gradient")
NOTHING = "no operation made it out of finite numbers"
LIBRARIES = (str(Path(torch.__file__).parent), __file__)  # a line in them tells nothing of a model


class OperationFinder(TorchFunctionMode):
    """Notes the first operations of training steps, forward and backward, that do not keep numbers finite.

    An infinity may be meant, as in a mask: nothing is raised here, and a nan is noted beside it.

    Args:
        model: whose parts are named.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.names = {module: name for name, module in model.named_modules()}
        self.entered: list[nn.Module] = []
        self.found: dict[str, str] = {}  # by what came out, where from

    def __str__(self) -> str:
        """Say what was found, the first first."""
        return ", ".join(f"the first {what} came from {where}" for what, where in self.found.items()) or NOTHING

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation, and look at what it makes in a training step."""
        results, given = func(*args, **(kwargs or {})), [args, *(kwargs or {}).values()]
        if torch.is_grad_enabled():
            for result in tensors(results):
                if self.entered or result.requires_grad:
                    self._follow(f"{func.__name__}{self._here()}", result, given)
        return results

    def enter(self, module: nn.Module, args: Any) -> None:
        """Note the module that is computed, and look at what the outermost one begins with."""
        if not self.entered and torch.is_grad_enabled():
            with torch.no_grad():
                self._note(NUMBERS, "the batch", tensors(args), ())
                for name, parameter in self.model.named_parameters():
                    self._note(NUMBERS, f"the weight {name}", [parameter], ())
        self.entered.append(module)

    def leave(self, *_: Any) -> None:
        """Note that a module is done."""
        self.entered.pop()

    def _here(self) -> str:
        """Name the module and the line of the model's code that is run."""
        frame = sys._getframe(2)
        while frame.f_back and frame.f_code.co_filename.startswith(LIBRARIES):
            frame = frame.f_back
        module = self.entered[-1] if self.entered else None
        part = f" in {self.names.get(module) or 'the model'} ({type(module).__name__})" if module else ""
        return f"{part}, {Path(frame.f_code.co_filename).name}:{frame.f_lineno}"

    def _follow(self, where: str, result: Tensor, given: Any) -> None:
        self._note(NUMBERS, where, [result], given)
        if result.grad_fn is not None:
            back = f"{result.grad_fn.name()} of {where}"
            result.grad_fn.register_hook(lambda made, got: self._note(GRADIENTS, back, tensors(made), got))

    def _note(self, kind: tuple[str, str], where: str, results: Iterable[Tensor], given: Any) -> None:
        for result in results:
            for what, is_wrong in zip(kind, (torch.isnan, torch.isinf), strict=True):
                is_first = what not in self.found and is_wrong(result).any()
                if is_first and all(tensor.isfinite().all() for tensor in tensors(given)):
                    self.found[what] = where


def tensors(values: Any) -> Iterator[Tensor]:
    """Go through the tensors of nested sequences."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, list | tuple):
        for value in values:
            yield from tensors(value)


@contextmanager
def finding_operation(model: nn.Module) -> Iterator[OperationFinder]:
    """Look at every operation of a model's training, which is slow."""
    finder = OperationFinder(model)
    hooks = (
        register_module_forward_pre_hook(finder.enter),
        register_module_forward_hook(finder.leave, always_call=True),
    )
    try:
        # operations are not to be compiled away
        compiled, checked = torch.compiler.set_stance("force_eager"), torch.autograd.set_detect_anomaly(True)
        with warnings.catch_warnings(), compiled, checked, finder:
            warnings.filterwarnings("ignore", "Error detected in")  # a whole traceback, which the error sums up
            yield finder
    finally:
        for hook in hooks:
            hook.remove()
