"""Manual optimization on models that know nothing of it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader, TensorDataset

from lamphouse.cli.main import IGNORED_WARNINGS
from lamphouse.errors import InputError
from arc_light.loops.manual import ManualOptimization, optimize_manually

pytestmark = pytest.mark.filterwarnings(*(f"ignore:{message}" for message in IGNORED_WARNINGS))


class Own(LightningModule):
    """A user's own model, with nothing of Classifier's."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Linear(4, 8), nn.RReLU(), nn.Linear(8, 1))
        self.schedule, self.clip, self.called = "my own", "my own", []  # names that are the model's

    def training_step(self, batch: Any, batch_idx: int) -> dict[str, Any]:
        return {"loss": F.mse_loss(self.layer(batch[0]), batch[1]), "more": batch_idx}

    def configure_optimizers(self) -> Any:
        optimizer = SGD(self.parameters(), lr=0.1, momentum=0.9)
        steps = int(self.trainer.estimated_stepping_batches)
        self.called.append(f"{steps} steps")
        return [optimizer], [{"scheduler": OneCycleLR(optimizer, 0.1, total_steps=steps), "interval": "step"}]

    def on_before_zero_grad(self, optimizer: Any) -> None:
        self.called.append("on_before_zero_grad")

    def configure_gradient_clipping(self, optimizer: Any, gradient_clip_val: Any, gradient_clip_algorithm: Any) -> None:
        self.called.append(f"clip {gradient_clip_val}")
        self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        self.called.append("lr_scheduler_step")
        super().lr_scheduler_step(scheduler, metric)


def options(accumulate: int = 1, clip: float | None = None) -> SimpleNamespace:
    names = ("accumulate_grad_batches", "gradient_clip_val", "gradient_clip_algorithm")
    return SimpleNamespace(**dict(zip(names, (accumulate, clip, None), strict=True)))


def trained(model: Own, folder: Path, given: SimpleNamespace) -> Trainer:
    random = torch.Generator().manual_seed(0)
    points, targets = torch.randn(22, 4, generator=random), torch.randn(22, 1, generator=random)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        **vars(given),
    )
    trainer.fit(model, DataLoader(TensorDataset(points, targets), 4))
    return trainer


def weights(model: nn.Module) -> dict[str, Tensor]:
    return dict(model.state_dict())


def test_any_model_computes_the_same_and_its_hooks_are_called(tmp_path: Path) -> None:
    models = []
    for manual in (False, True):
        seed_everything(0, verbose=False)
        model, given = Own(), options(accumulate=4, clip=0.1)
        if manual:
            optimize_manually(model, given)
        trainer = trained(model, tmp_path, given)
        assert trainer.global_step == 4
        models.append(model)
    automatic, manual = models
    assert weights(automatic).keys() == weights(manual).keys()
    assert all(torch.equal(tensor, weights(manual)[name]) for name, tensor in weights(automatic).items())
    assert sorted(automatic.called) == sorted(manual.called)
    assert manual.called[0] == "4 steps"  # two epochs of six batches, in windows of four
    assert (manual.schedule, manual.clip) == ("my own", "my own")
    assert given == options()  # what the Trainer would refuse
    assert trainer.accumulate_grad_batches == 1  # as before


def test_a_training_step_need_not_take_the_index(tmp_path: Path) -> None:
    class Short(Own):
        def training_step(self, batch: Any) -> Tensor:  # type: ignore[override]  # as users write it
            loss: Tensor = super().training_step(batch, 0)["loss"]
            return loss

    model, given = Short(), options()
    optimize_manually(model, given)
    assert trained(model, tmp_path, given).global_step == 12


def test_the_model_stays_one_of_its_class() -> None:
    model = Own()
    optimize_manually(model, options())
    assert isinstance(model, Own)
    assert isinstance(model, ManualOptimization)
    assert not model.automatic_optimization
    assert not isinstance(Own(), ManualOptimization)


def test_a_model_that_optimizes_itself_is_refused() -> None:
    model = Own()
    model.automatic_optimization = False
    with pytest.raises(InputError, match="--loop manual: Own optimizes manually already: use --loop automatic"):
        optimize_manually(model, options())


def test_an_optimizer_step_that_would_not_be_called_is_refused() -> None:
    class Warming(Own):
        def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
            super().optimizer_step(*args, **kwargs)

    with pytest.raises(InputError, match=r"--loop manual: Warming.optimizer_step is not called there"):
        optimize_manually(Warming(), options())


def test_a_batch_cannot_be_skipped(tmp_path: Path) -> None:
    class Skipping(Own):
        def training_step(self, batch: Any, batch_idx: int) -> None:  # type: ignore[override]  # as users write it
            return None

    model, given = Skipping(), options()
    optimize_manually(model, given)
    with pytest.raises(InputError, match="--loop manual: training_step returned None to skip a batch"):
        trained(model, tmp_path, given)
