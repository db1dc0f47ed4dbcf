"""A model for which memory does not suffice, to be trained by `--model hungry.Hungry`."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from arc_light.models.mlp import MLPClassifier

ERRORS: dict[str, Callable[[], Exception]] = {
    "cuda": lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has ..."),
    "mps": lambda: RuntimeError("MPS backend out of memory (MPS allocated: 17.95 GB, other allocations: 0 bytes)"),
    "cpu": lambda: RuntimeError("[enforce fail] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 9"),
    "bad_alloc": lambda: RuntimeError("std::bad_alloc"),
    "python": MemoryError,
    "other": lambda: RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
}


class Hungry(MLPClassifier):
    """Raises an error, one of `ERRORS`, for more than `fits` images at a time."""

    def __init__(self, fits: int = 20, error: str = "cuda", only_evaluation: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.fits, self.error, self.only_evaluation = fits, error, only_evaluation

    def forward(self, images: Tensor) -> Tensor:
        if len(images) > self.fits and not (self.training and self.only_evaluation):
            raise ERRORS[self.error]()
        return super().forward(images)
