"""Leave a process as it was, for others to go on in it: a notebook, a test, a program of one's own."""

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def process_restored() -> Iterator[None]:
    """Restore what training changes in its process, except what the allocator keeps.

    That is: environment, states of random number generators, signal handlers, levels of Lightning's log, threads,
    precision of products and determinism of torch.
    """
    from lightning.pytorch.utilities.seed import isolate_rng  # noqa: PLC0415  # imports torch

    environment, handlers = dict(os.environ), {number: signal.getsignal(number) for number in signal.valid_signals()}
    loggers = [logging.getLogger(name) for name in ("lightning.fabric", "lightning.pytorch")]
    levels = [logger.level for logger in loggers]
    with isolate_rng(), _torch_restored():
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(environment)
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
            for number, handler in handlers.items() if threading.current_thread() is threading.main_thread() else ():
                if handler is not None and signal.getsignal(number) != handler:
                    signal.signal(number, handler)


@contextmanager
def _torch_restored() -> Iterator[None]:
    import torch  # noqa: PLC0415  # takes a second

    from lamphouse.machine.settings import set_threads  # noqa: PLC0415  # imports torch

    threads, products = torch.get_num_threads(), torch.get_float32_matmul_precision()
    deterministic, warn_only = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    benchmark, dtype = torch.backends.cudnn.benchmark, torch.get_default_dtype()
    try:
        yield
    finally:
        set_threads(threads)
        torch.set_float32_matmul_precision(products)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.backends.cudnn.benchmark = benchmark
        torch.set_default_dtype(dtype)
