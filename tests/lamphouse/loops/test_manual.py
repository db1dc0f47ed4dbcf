"""Manual optimization of models that know nothing of it."""

from pathlib import Path
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
from arc_light.loops.manual import optimize_manually

pytestmark = pytest.mark.filterwarnings(*(f"ignore:{message}" for message in IGNORED_WARNINGS))


class Own(LightningModule):
    """A LightningModule with nothing of this project."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Linear(4, 8), nn.RReLU(), nn.Linear(8, 1))
        self.schedule, self.clip, self.called = "my own", "my own", []  # names that are the model's

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return {"loss": F.mse_loss(self.layer(batch[0]), batch[1]), "more": batch_idx}

    def configure_optimizers(self) -> Any:
        optimizer = SGD(self.parameters(), lr=0.1, momentum=0.9)
        steps = int(self.trainer.estimated_stepping_batches)
        self.called.append(f"{steps} steps")
        return [optimizer], [{"scheduler": OneCycleLR(optimizer, 0.1, total_steps=steps), "interval": "step"}]

    def configure_gradient_clipping(self, optimizer: Any, gradient_clip_val: Any, gradient_clip_algorithm: Any) -> None:
        self.called.append(f"clip {gradient_clip_val}")
        self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        self.called.append("lr_scheduler_step")
        super().lr_scheduler_step(scheduler, metric)


def trained(model: LightningModule, folder: Path, **options: Any) -> Trainer:
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
        **options,
    )
    trainer.fit(model, DataLoader(TensorDataset(points, targets), 4))
    return trainer


def test_any_model_computes_the_same_and_its_hooks_are_called(tmp_path: Path) -> None:
    options = {"accumulate_grad_batches": 4, "gradient_clip_val": 0.1}
    seed_everything(0, verbose=False)
    automatic = Own()
    assert trained(automatic, tmp_path, **options).global_step == 4
    seed_everything(0, verbose=False)
    manual: Any = optimize_manually(Own, **options)()
    trainer = trained(manual, tmp_path)
    assert trainer.global_step == 4
    weights = manual.state_dict()
    assert automatic.state_dict().keys() == weights.keys()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in automatic.state_dict().items())
    assert sorted(automatic.called) == sorted(manual.called)
    assert manual.called[0] == "4 steps"  # two epochs of six batches, four to a step
    assert (manual.schedule, manual.clip) == ("my own", "my own")
    assert trainer.accumulate_grad_batches == 1  # as before


def test_a_training_step_need_not_take_the_index(tmp_path: Path) -> None:
    class Short(Own):
        def training_step(self, batch: Any) -> Tensor:  # type: ignore[override]  # as users write it
            loss: Tensor = super().training_step(batch, 0)["loss"]
            return loss

    assert trained(optimize_manually(Short)(), tmp_path).global_step == 12


def test_the_class_itself_is_left_alone() -> None:
    model = optimize_manually(Own)()
    assert isinstance(model, Own)
    assert not model.automatic_optimization
    assert Own().automatic_optimization


def test_a_model_that_optimizes_manually_is_refused() -> None:
    class Already(Own):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

    with pytest.raises(InputError, match="--loop manual: Already optimizes manually: use --loop automatic"):
        optimize_manually(Already)()
