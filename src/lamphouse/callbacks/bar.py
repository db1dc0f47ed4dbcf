"""The bar of an epoch."""

from time import perf_counter
from typing import Any

from tqdm import tqdm

REFRESH_SECONDS = 0.25  # a bar reads loss and accuracy from the device no more often than this


def show(bar: tqdm, metrics: Any) -> None:
    """Show on a bar how far it is, and the loss and accuracy so far if there are metrics, a few times a second."""
    if not bar.disable and perf_counter() - getattr(bar, "shown", 0.0) > REFRESH_SECONDS:
        bar.shown = perf_counter()
        running = metrics.running() if metrics else {}
        bar.set_postfix_str(" ".join(f"{name} {float(value):.4f}" for name, value in running.items()))
