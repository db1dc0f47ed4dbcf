"""What a run reports and checks does not make its steps wait for the device."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from conftest import Outcome
from torch.utils._python_dispatch import TorchDispatchMode

Command = Callable[..., Outcome]
LOOPS: list[list[str]] = [
    [],
    ["--loop=manual"],  # [part:loops]
    ["--loop=handwritten"],  # [part:loops]
]


class Reads(TorchDispatchMode):
    """Counts how often a number is read from a tensor, for which a GPU would have to be waited for."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **kwargs or {})


@contextmanager
def gpu_waits() -> Iterator[list[warnings.WarningMessage]]:
    """Record where a GPU is waited for."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield caught
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("loop", LOOPS)
def test_more_steps_read_no_more_numbers(loop: list[str], fit: Command) -> None:
    def read(steps: int) -> int:
        options = ["--model.optimizer=SGD", "--check_finite=false"]  # AdamW keeps its own count on the CPU
        with Reads() as reads:
            assert fit(*loop, *options, f"--trainer.limit_train_batches={steps}").status == 0
        return reads.count

    assert read(18) == read(4) > 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("loop", LOOPS)
def test_more_steps_do_not_wait_more_often_for_a_gpu(loop: list[str], fit: Command) -> None:
    def waits(steps: int) -> int:
        with gpu_waits() as caught:
            options = ["--trainer.accelerator=cuda", f"--trainer.limit_train_batches={steps}"]
            assert fit(*loop, *options).status == 0
        return sum("synchronizing CUDA operation" in str(warning.message) for warning in caught)

    waits(4)  # the first run loads the libraries of the GPU
    assert waits(18) == waits(4) > 0
