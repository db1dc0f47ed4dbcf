"""Batches without what nobody listens to: whoever listens hears the same as from Lightning's own loop."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lamphouse_loops_manual import Own, options
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import Timer
from lightning.pytorch.loggers.logger import DummyLogger
from lightning.pytorch.profilers import SimpleProfiler
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from lamphouse.cli.main import IGNORED_WARNINGS
from lamphouse.loops.direct import listeners
from arc_light.loops.manual import optimize_manually

pytestmark = pytest.mark.filterwarnings(*(f"ignore:{message}" for message in IGNORED_WARNINGS))
Events = list[tuple[Any, ...]]


class Logging(Own):
    """Logs now and then, and is told of a batch's end."""

    def training_step(self, batch: Any, batch_idx: int) -> dict[str, Any]:
        output = super().training_step(batch, batch_idx)
        if batch_idx >= 1:
            self.log("now", output["loss"], on_step=True, on_epoch=True)
        return output

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val", self.layer(batch[0]).sum())

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.called.append(f"end {batch_idx}")


class LightningsOwn(Logging):
    """Overrides what only Lightning's own loop can follow."""

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Skip nothing."""


class Listening(Callback):
    """Notes all that there is to know in the hooks of a batch."""

    def __init__(self) -> None:
        self.events: Events = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self._note("start", trainer, pl_module, batch_idx, batch[0].tolist())

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        self._note("before backward", trainer, pl_module, loss.item())

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._note("after backward", trainer, pl_module, pl_module.layer[0].weight.grad.tolist())

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        self._note("step", trainer, pl_module, type(optimizer))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._note("end", trainer, pl_module, batch_idx, outputs["loss"].item(), outputs["more"])

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._note("validation", trainer, pl_module)

    def _note(self, hook: str, trainer: Trainer, module: LightningModule, *more: Any) -> None:
        loop = trainer.fit_loop.epoch_loop
        counts = (trainer.global_step, trainer.is_last_batch, str(loop.batch_progress), loop._batches_that_stepped)
        logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.events.append((hook, module._current_fx_name, *counts, module.layer[0].weight.tolist(), logged, *more))


class Memory(DummyLogger):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[Any] = []

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:  # type: ignore[override]  # Any is wide enough
        self.rows.append((dict(metrics), step))


def heard(model: Own, folder: Path, accumulate: int, given: dict[str, Any]) -> tuple[Any, ...]:
    """Train, and return what a callback, a logger and the model heard, and whether Lightning's own loop was in use."""
    moved = options(accumulate=accumulate, clip=0.1)
    optimize_manually(model, moved)
    random = torch.Generator().manual_seed(0)
    data = TensorDataset(torch.randn(22, 4, generator=random), torch.randn(22, 1, generator=random))
    listening, logger = Listening(), Memory()
    trainer = Trainer(
        **{"max_epochs": 2, "log_every_n_steps": 2, "callbacks": [Timer(), listening], **vars(moved), **given},
        accelerator="cpu",
        logger=[logger],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(model, DataLoader(data, 4), DataLoader(data, 11))
    loop: Any = trainer.fit_loop.epoch_loop
    return listening.events, logger.rows, model.called, not loop._direct


@pytest.mark.parametrize("accumulate", [1, 3, 4])
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"max_steps": 3},
        {"limit_train_batches": 4},
        {"val_check_interval": 2},
        {"overfit_batches": 2},
        {"precision": "bf16-mixed"},
        {"log_every_n_steps": 1},
    ],
    ids=str,
)
def test_everyone_hears_the_same(given: dict[str, Any], accumulate: int, tmp_path: Path) -> None:
    both = []
    for model_class in (Logging, LightningsOwn):
        seed_everything(0, verbose=False)
        both.append(heard(model_class(), tmp_path, accumulate, given))
    (*mine, own), (*others, others_own) = both
    assert (own, others_own) == (False, True)
    events, rows, called = mine
    assert len(events) > 10
    assert {"now_step", "now_epoch"} <= {name for metrics, _ in rows for name in metrics}
    assert "end 0" in called
    assert mine == others


def test_the_rest_of_an_epoch_can_be_skipped(tmp_path: Path) -> None:
    class Skipping(Logging):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
            return -1 if batch_idx == 2 else None

    events, *_ = heard(Skipping(), tmp_path, 1, {})
    assert [event[0] for event in events].count("start") == 2 * 3  # two epochs; callbacks are asked before the model
    assert [event[0] for event in events].count("step") == 2 * 2


def test_a_profile_names_every_hook(tmp_path: Path) -> None:
    profiler = SimpleProfiler()
    *_, own = heard(Logging(), tmp_path, 1, {"profiler": profiler})
    assert own
    assert {"[Callback]Timer.on_train_batch_end", "[Callback]Listening.on_after_backward"} <= set(
        profiler.recorded_durations
    )


def test_only_those_are_called_who_listen(tmp_path: Path) -> None:
    patched = Callback()
    patched.on_train_batch_end = lambda *_: None  # type: ignore[method-assign]  # as users patch it
    trainer = Trainer(logger=False, default_root_dir=tmp_path)
    trainer.callbacks = [Callback(), patched, Timer(), Listening()]  # type: ignore[attr-defined]  # set by a connector
    trainer.strategy._lightning_module = Own()
    assert len(listeners(trainer, "on_train_batch_start")) == 1
    assert len(listeners(trainer, "on_train_batch_end")) == 3
    trainer.strategy._lightning_module = Logging()
    assert len(listeners(trainer, "on_train_batch_end")) == 4
