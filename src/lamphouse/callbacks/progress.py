"""Show the progress of a training: a line for each epoch and, on a terminal, a progress bar."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from shutil import get_terminal_size
from time import perf_counter
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.trainer.states import TrainerFn
from tqdm import tqdm

from lamphouse.errors import StoppedError

REFRESH_SECONDS = 0.25  # metrics are read from the device no more often than this
SPEED = "samples_per_second"
NOT_PRINTED = {"lr", "seconds", SPEED}


def show_progress(progress: "tqdm[Any]", metrics: Callable[[], Mapping[str, Any]]) -> None:
    """Refresh a progress bar and the metrics beside it, a few times a second."""
    if not progress.disable and perf_counter() - getattr(progress, "refreshed", 0.0) > REFRESH_SECONDS:
        progress.refreshed = perf_counter()
        progress.set_postfix_str(" ".join(f"{name} {float(value):.4f}" for name, value in metrics().items()))


def print_epoch(epoch: int, epochs: int, metrics: Mapping[str, Any], where: str = "") -> None:
    """Print the line of an epoch, counted from 0, of `epochs` (0 or less if unknown), and its metrics of any names.

    `where` says where within the epoch they were measured.
    """
    groups: dict[str, list[str]] = {"train": [], "val": [], "": []}
    for name in [name for name in metrics if name not in NOT_PRINTED]:
        part, _, short = name.partition("/")
        part, short = (part, short) if part in groups and short else ("", name)
        groups[part].append(f"{short} {float(metrics[name]):.4f}")
    texts = [epoch_text(epoch, epochs, width=3) + where]
    texts += [" ".join([part, *group]).lstrip() for part, group in groups.items() if group]
    texts += [f"{float(metrics[SPEED]):,.0f} samples/s"] if SPEED in metrics else []
    line = "   ".join(texts)
    fits = not sys.stdout.isatty() or len(line) < get_terminal_size().columns
    print(line if fits else "\n  ".join(texts), flush=True)


def epoch_text(epoch: int, epochs: int, width: int = 0) -> str:
    """Say which epoch of how many it is."""
    return f"epoch {epoch:>{width}}" + (f"/{epochs - 1}" if epochs > 0 else "")


class EpochProgress(ProgressBar):
    """Prints a line for each epoch and, on a terminal, shows a bar with metrics and the time left during it.

    The line has what was measured at the end of the epoch; a validation within an epoch has a line of its own.
    The bar shows `train_metrics.running()` of a model that has it, and what other models log with `prog_bar=True`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._hidden: bool | None = None  # None shows the bar on terminals only
        self._first_epoch = 0
        self._before: Mapping[str, Any] = {}  # metrics that were measured before the end of the epoch
        self._progress: tqdm[Any] = tqdm(disable=True)

    def disable(self) -> None:  # in all processes but the first
        self._hidden = True

    def enable(self) -> None:
        self._hidden = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._first_epoch = trainer.current_epoch
        if trainer.fit_loop.restarted_mid_epoch:
            self._open(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._close(trainer)
        self._before = dict(trainer.callback_metrics)
        self._open(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        running = getattr(getattr(pl_module, "train_metrics", None), "running", None)
        if trainer.is_last_batch:
            self._before = dict(trainer.callback_metrics)
        self._progress.n = batch_idx + 1
        show_progress(self._progress, running or (lambda: trainer.progress_bar_metrics))

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_last_batch:
            self._before = dict(trainer.callback_metrics)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == TrainerFn.FITTING and not (trainer.sanity_checking or trainer.is_last_batch):
            self._print(trainer, trainer.current_epoch, f", step {trainer.global_step - 1}")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._close(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._progress.close()
        if isinstance(exception, KeyboardInterrupt | StoppedError) and not self._hidden and sys.stderr.isatty():
            sys.stderr.write("\r\x1b[2K")  # what the terminal echoes of Ctrl-C, beside the bar

    def track(
        self, trainer: Trainer, model: Any, batches: Iterable[Any], epoch: int, total: int, start: int = 0
    ) -> Iterator[Any]:
        """Iterate over the batches of an epoch of a `Task`, from `start` on, and show them on the bar."""
        self._show(epoch_text(epoch, trainer.max_epochs or 0), total, start)
        for number, batch in enumerate(batches, start + 1):
            yield batch
            self._progress.n = number
            show_progress(self._progress, model.train_metrics.running)
        self._progress.close()

    def _open(self, trainer: Trainer) -> None:
        self._show(epoch_text(trainer.current_epoch, trainer.max_epochs or 0), self.total_train_batches)

    def _show(self, epoch: str, total: float, start: int = 0) -> None:
        width = max(get_terminal_size().columns - 3, 10)  # leaves room for ^C
        shape = {"total": total, "initial": start, "ncols": width, "leave": False}
        self._progress = tqdm(desc=epoch, disable=self._hidden, **shape)

    def _close(self, trainer: Trainer) -> None:
        self._progress.close()
        if trainer.current_epoch > self._first_epoch:
            self._print(trainer, trainer.current_epoch - 1)

    def _print(self, trainer: Trainer, epoch: int, where: str = "") -> None:
        measured = {
            name: value
            for name, value in trainer.callback_metrics.items()
            if name not in self._before or not value.is_set_to(self._before[name])
        }
        if not self._hidden:
            with self._progress.external_write_mode():
                print_epoch(epoch, trainer.max_epochs or 0, measured, where)
