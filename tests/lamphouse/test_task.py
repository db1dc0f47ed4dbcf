"""Tasks of any kind with a stock Trainer; and what a classifier makes of its options."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.demos.boring_classes import RandomDataset
from stock import QUIET
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, Adam
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import MeanSquaredError
from torchmetrics.classification import BinaryJaccardIndex, MulticlassF1Score

from lamphouse.errors import InputError
from lamphouse.optim import OneCycle
from lamphouse.task import Task
from arc_light.classification import Classifier
from arc_light.data.digits import DigitsDataModule
from arc_light.models.fast_convnet import FastConvNetClassifier
from arc_light.models.mlp import MLPClassifier
from arc_light.models.resnet import ResNetClassifier

SHAPE = (1, 8, 8)
MODELS: dict[str, Callable[..., Classifier]] = {
    "mlp": lambda **options: MLPClassifier((64, 32), "gelu", 0.1, input_shape=SHAPE, num_classes=10, **options),
    "resnet 8": lambda **options: ResNetClassifier(8, 8, input_shape=SHAPE, num_classes=10, **options),
    "resnet 18": lambda **options: ResNetClassifier(18, 8, "small", input_shape=SHAPE, num_classes=10, **options),
    "fast convnet": lambda **options: FastConvNetClassifier((16, 32), input_shape=SHAPE, num_classes=10, **options),
}
every_model = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS.keys())


class Autoencoder(Task):
    """Batches are tensors without targets."""

    averages = {"mae": lambda outputs, inputs: (outputs - inputs).abs().mean(1)}  # noqa: RUF012  # as `Task` declares it

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.network = nn.Sequential(nn.Linear(32, 4), nn.Linear(4, 32))

    def loss(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        outputs = self(batch)
        return F.mse_loss(outputs, batch), outputs


def test_a_process_without_samples_counts_nothing() -> None:
    data, model = DigitsDataModule(), MODELS["mlp"]().eval()
    data.setup("fit")
    for batch in (data.parts["val"][:3], data.parts["val"][:0]):
        model.validation_step(data.on_after_batch_transfer(batch), 0)
    assert model.val_metrics.sums[-1] == 3
    assert model.val_metrics.sums.isfinite().all()
    assert model.last_predictions.shape == (0, 10)


class Segmentation(Task):
    """Predictions and targets are images."""

    def __init__(self, **options: Any) -> None:
        super().__init__(metrics={"iou": BinaryJaccardIndex()}, **options)
        self.network = nn.Conv2d(1, 8, 3, padding=1)

    def loss(self, batch: list[Tensor]) -> tuple[Tensor, Tensor]:
        logits = self(batch[0]).mean(1)
        return F.binary_cross_entropy_with_logits(logits, batch[1].float()), logits


class NextToken(Task):
    """Batches are dictionaries of token ids."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.network = nn.Sequential(nn.Embedding(5, 8), nn.Linear(8, 5))

    def targets(self, batch: dict[str, Tensor]) -> Tensor:
        return batch["ids"][:, 1:]

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        logits = self(batch["ids"][:, :-1]).transpose(1, 2)
        return F.cross_entropy(logits, self.targets(batch)), logits


VECTORS = RandomDataset(32, 20)
IMAGES = torch.randn(20, 1, 6, 6)
MASKS = TensorDataset(IMAGES, (IMAGES[:, 0] > 0).long())
TEXTS: Any = [{"ids": torch.randint(5, (7,))} for _ in range(20)]
TASKS: dict[str, tuple[type[Task], Any, dict[str, Any], set[str]]] = {
    "vectors": (Autoencoder, VECTORS, {"metrics": {"mse": MeanSquaredError()}}, {"loss", "mae", "mse"}),
    "masks": (Segmentation, MASKS, {}, {"loss", "iou"}),
    "tokens": (NextToken, TEXTS, {"metrics": {"f1": MulticlassF1Score(5)}}, {"loss", "f1"}),
}


@pytest.mark.parametrize(("task", "samples", "options", "names"), TASKS.values(), ids=TASKS.keys())
def test_any_task_trains_with_a_stock_trainer(
    task: type[Task], samples: Any, options: dict[str, Any], names: set[str]
) -> None:
    torch.manual_seed(0)
    model = task(optimizer=lambda groups: Adam(groups, lr=0.05), lr_scheduler=OneCycle, **options)
    loader = DataLoader(samples, batch_size=8)
    trainer = Trainer(**QUIET | {"max_epochs": 4})
    (before,) = trainer.validate(model, loader, verbose=False)
    trainer.fit(model, loader, loader)
    (after,) = trainer.test(model, loader, verbose=False)
    assert set(model.metric_names) == {f"{part}/{name}" for part in ("train", "val") for name in names}
    assert trainer.callback_metrics.keys() == after.keys() == {f"test/{name}" for name in names}
    assert after["test/loss"] < before["val/loss"]


def test_a_regression_reports_what_torchmetrics_would() -> None:
    model = Autoencoder(metrics={"mse": MeanSquaredError()})
    (reported,) = Trainer(**QUIET).validate(model, DataLoader(VECTORS, batch_size=7, drop_last=True), verbose=False)
    inputs = VECTORS.data[:14]  # two batches
    assert reported["val/loss"] == pytest.approx(reported["val/mse"])
    assert reported["val/mae"] == pytest.approx((model(inputs) - inputs).abs().mean().item())


def test_chosen_metrics_stand_beside_the_usual_ones() -> None:
    trainer = Trainer(**QUIET | {"max_epochs": 1})
    trainer.fit(MODELS["mlp"](metrics={"f1": MulticlassF1Score(10)}), DigitsDataModule(batch_size=64))
    figures = {f"{part}/{name}" for part in ("train", "val") for name in ("loss", "acc", "f1")}
    assert figures <= trainer.callback_metrics.keys()


def test_a_metric_of_the_same_name_is_refused() -> None:
    with pytest.raises(InputError, match=r"--model.metrics acc: the model has this metric already"):
        MODELS["mlp"](metrics={"acc": MulticlassF1Score(10)})


@pytest.mark.slow
@every_model
def test_a_few_images_are_learned_by_heart(make: Callable[..., Classifier]) -> None:
    torch.manual_seed(1)
    model, random = make(optimizer=lambda groups: Adam(groups, lr=0.02)), torch.Generator().manual_seed(1)
    images = TensorDataset(torch.randn(20, *SHAPE, generator=random), torch.arange(20) % 10)
    loader = DataLoader(images, batch_size=10)
    Trainer(**QUIET | {"max_epochs": 40}).fit(model, loader, loader)
    (measured,) = Trainer(**QUIET).validate(model, loader, verbose=False)
    assert measured["val/acc"] == 1


def test_without_a_schedule_the_rate_is_constant() -> None:
    optimizer = MODELS["mlp"]().configure_optimizers()
    assert isinstance(optimizer, SGD)
    assert [group["lr"] for group in optimizer.param_groups] == [0.01, 0.01]


@every_model
def test_checking_the_optimizer_changes_nothing(make: Callable[..., Classifier]) -> None:
    model = make(lr_scheduler=OneCycle)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.check_optimizer()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_an_optimizer_that_rejects_its_options() -> None:
    with pytest.raises(InputError, match=r"--model.optimizer: .*-1"):
        MODELS["mlp"](optimizer=lambda groups: SGD(groups, lr=-1)).check_optimizer()


@every_model
def test_a_checkpoint_has_plain_types_and_rebuilds_the_model(make: Callable[..., Classifier]) -> None:
    torch.manual_seed(1)
    model = make(lr_scheduler=OneCycle, metrics={"f1": MulticlassF1Score(10)})
    trainer = Trainer(**QUIET | {"max_epochs": 1, "limit_train_batches": 2, "limit_val_batches": 0})
    trainer.fit(model, DigitsDataModule(batch_size=8))
    trainer.save_checkpoint("model.ckpt")
    checkpoint = torch.load("model.ckpt", weights_only=True)
    assert checkpoint["hyper_parameters"]["num_classes"] == 10
    assert {name.partition(".")[0] for name in checkpoint["state_dict"]} == {"network"}
    restored, images = type(model).load_from_checkpoint("model.ckpt", weights_only=True), torch.randn(2, *SHAPE)
    assert torch.equal(restored.eval()(images), model.eval()(images))


@pytest.mark.parametrize("make", [MODELS["resnet 8"], MODELS["resnet 18"]])
def test_channels_last_computes_the_same(make: Callable[..., Classifier]) -> None:
    plain, last, images = make().eval(), make(channels_last=True).eval(), torch.randn(6, *SHAPE)
    last.load_state_dict(plain.state_dict())
    last.setup("fit")
    convolution = [m for m in last.network.modules() if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1)][1]
    seen: list[Tensor] = []
    convolution.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    torch.testing.assert_close(last(images), plain(images), atol=1e-4, rtol=1e-4)
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x in (convolution.weight, *seen))
    assert not convolution.weight.is_contiguous()


def test_few_channels_stay_contiguous() -> None:
    model = ResNetClassifier(8, 4, input_shape=SHAPE, num_classes=10, channels_last=True)
    model.setup("fit")
    for size in (7, 2) * 5:
        model.loss((torch.randn(size, *SHAPE), torch.arange(size)))[0].backward()
    assert all(parameter.is_contiguous() for parameter in model.parameters())


# torch's compiler asks each tensor for its gradient, and hides what torch says of that, unless it is an error (2.11)
compiler_looks = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")


@compiler_looks
@pytest.mark.parametrize(("chosen", "mode"), [(True, None), ("default", "default")])
def test_compiling_in_place_keeps_names_and_values(
    chosen: bool | str, mode: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[tuple[nn.Module, str | None]] = []
    in_place = nn.Module.compile

    def compile_eagerly(module: nn.Module, mode: str | None) -> None:
        compiled.append((module, mode))
        in_place(module, backend="eager")  # traced, but not translated by a C++ compiler

    monkeypatch.setattr(nn.Module, "compile", compile_eagerly)
    plain, model, images = MODELS["mlp"]().eval(), MODELS["mlp"](compile=chosen).eval(), torch.randn(2, *SHAPE)
    model.load_state_dict(plain.state_dict())
    model.setup("fit")
    assert compiled == [(model.network, mode)]
    assert list(model.state_dict()) == list(plain.state_dict())
    torch.testing.assert_close(model(images), plain(images))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")  # Inductor's own call
@pytest.mark.filterwarnings("ignore:TensorFloat32 tensor cores:UserWarning")  # exact products are compared here
@compiler_looks
@pytest.mark.filterwarnings("ignore:The CUDA Graph is empty:UserWarning")  # Inductor's first one is meant to be
@pytest.mark.parametrize("make", [MODELS["mlp"], MODELS["resnet 8"]])
def test_replayed_cuda_graphs_compute_the_same(make: Callable[..., Classifier]) -> None:
    random = torch.Generator().manual_seed(1)
    images, labels = torch.randn(6, *SHAPE, generator=random).cuda(), torch.arange(6).cuda()

    def outcome(mode: bool | str) -> Tensor:
        torch.manual_seed(0)
        model = make(compile=mode, test_time_flip=True).cuda()
        model.setup("fit")
        sgd = SGD(model.parameters(), lr=0.01)
        for _ in range(5):
            sgd.zero_grad()
            model.loss((images, labels))[0].backward()
            sgd.step()
        with torch.no_grad():
            return model.eval()(images)

    # fused kernels round differently: by up to 0.0015 on an H200
    torch.testing.assert_close(outcome("reduce-overhead"), outcome(mode=False), atol=5e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("bf16-mixed", torch.float32), ("64-true", torch.float64), ("bf16-true", torch.bfloat16)],
)
def test_precisions(precision: str, dtype: torch.dtype) -> None:
    model = MODELS["resnet 8"](channels_last=True, metrics={"f1": MulticlassF1Score(10)})
    trainer = Trainer(**QUIET | {"max_epochs": 1, "precision": precision})
    trainer.fit(model, DigitsDataModule(batch_size=8))
    assert {p.dtype for p in model.parameters()} == {dtype}
    assert trainer.callback_metrics["val/loss"].isfinite()


def test_callbacks_find_the_predictions_of_the_last_batch() -> None:
    class Watch(Callback):
        def on_train_batch_end(
            self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
        ) -> None:
            assert not pl_module.last_predictions.requires_grad
            assert F.cross_entropy(pl_module.last_predictions, batch[1]).equal(outputs["loss"])

        def on_validation_batch_end(self, trainer: Trainer, pl_module: Any, _: Any, batch: Any, batch_idx: int) -> None:
            assert torch.equal(pl_module.last_predictions, pl_module(batch[0]))
            watched.append(batch_idx)

    watched: list[int] = []
    Trainer(**QUIET | {"max_epochs": 1, "callbacks": [Watch()]}).fit(MODELS["mlp"](), DigitsDataModule(batch_size=8))
    assert watched


def test_lightnings_private_attribute_is_still_set_at_every_hook() -> None:
    """`Task.__setattr__` makes setting it fast; if Lightning drops it, that method is to go."""
    model = MODELS["mlp"]()
    Trainer(**QUIET | {"max_epochs": 1}).fit(model, DigitsDataModule(batch_size=8))
    assert "_current_fx_name" in vars(model)


def test_an_l1_penalty_adds_the_signs_of_the_weights_to_the_gradients() -> None:
    batch, gradients, losses = (torch.rand(4, *SHAPE), torch.arange(4)), [], []
    for l1 in (0.0, 0.01):
        torch.manual_seed(0)
        model = MLPClassifier(input_shape=SHAPE, num_classes=10, l1=l1)
        model.step("train", batch).backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
        losses.append(model.train_metrics.compute()["loss"])
    for parameter, without, penalized in zip(model.parameters(), *gradients, strict=True):
        penalty = 0.01 * parameter.sign() if parameter.ndim > 1 else torch.zeros_like(parameter)
        torch.testing.assert_close(penalized - without, penalty, atol=1e-6, rtol=1e-4)
    assert losses[0] == losses[1]  # the loss that is reported is without the penalty


def test_class_weights_and_labels_of_mixed_images() -> None:
    model = MLPClassifier(input_shape=SHAPE, num_classes=5, class_weights=[1.0, 2, 3, 4, 5])
    images, labels = torch.randn(6, *SHAPE), torch.arange(6) % 5
    nll = -model(images).log_softmax(1)[range(6), labels]
    torch.testing.assert_close(model.loss((images, labels))[0], (nll * (labels + 1)).sum() / (labels + 1).sum())
    mixed = 0.6 * F.one_hot(labels, 5) + 0.4 * F.one_hot(labels.roll(1), 5)
    assert torch.equal(model.targets((images, mixed)), labels)
