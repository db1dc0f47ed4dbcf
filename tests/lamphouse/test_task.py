"""The step, the optimizer and the schedule that all models share; and that they learn."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import SGD, Adam, lr_scheduler

from lamphouse.data import Samples
from lamphouse.optim import OneCycle, ReduceLROnPlateau
from arc_light.classification import Classifier
from arc_light.data.digits import DigitsDataModule
from arc_light.models.fast_resnet import FastResNetClassifier
from arc_light.models.mlp import MLPClassifier
from arc_light.models.resnet import ResNetClassifier

SHAPE = (1, 8, 8)
MODELS: dict[str, Callable[..., Classifier]] = {
    "mlp": lambda **options: MLPClassifier(input_shape=SHAPE, num_classes=10, **options),
    "mlp with everything": lambda **options: MLPClassifier(
        (64, 32), "gelu", 0.1, input_shape=SHAPE, num_classes=10, **options
    ),
    "resnet 8": lambda **options: ResNetClassifier(8, 8, input_shape=SHAPE, num_classes=10, **options),
    "resnet 18": lambda **options: ResNetClassifier(18, 8, "small", input_shape=SHAPE, num_classes=10, **options),
    "fast resnet": lambda **options: FastResNetClassifier((8, 16), input_shape=SHAPE, num_classes=10, **options),
}
SCHEDULES = {
    "one cycle": (OneCycle, "step", None),
    "torch's one cycle": (lambda sgd: lr_scheduler.OneCycleLR(sgd, 1, 10), "step", None),
    "steps": (lambda sgd: lr_scheduler.StepLR(sgd, 2), "epoch", None),
    "cosine": (lambda sgd: lr_scheduler.CosineAnnealingLR(sgd, 3), "epoch", None),
    "plateau": (ReduceLROnPlateau, "epoch", "val/loss"),
    "plateau of accuracy": (lambda sgd: ReduceLROnPlateau(sgd, "val/acc", mode="max"), "epoch", "val/acc"),
}


class Handful(DigitsDataModule):
    """Twenty digits, for training and for validation."""

    def load_train_and_val(self) -> dict[str, Samples]:
        part = self.load(train=True)
        few = Samples(*part[:20])
        return {"train": few, "val": few}


def batch(size: int = 6) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(1)
    return torch.randn(size, *SHAPE, generator=random), torch.randint(10, (size,), generator=random)


def quiet_trainer(epochs: int, **options: object) -> Trainer:
    silent = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    chosen = {
        "accelerator": "cpu",
        "enable_checkpointing": False,
        "num_sanity_val_steps": 0,
        "log_every_n_steps": 1,
        **silent,
        **options,
    }
    return Trainer(max_epochs=epochs, **chosen)  # type: ignore[arg-type]  # options of any type


@pytest.mark.parametrize("name", MODELS)
def test_a_handful_of_images_is_learned_by_heart(name: str) -> None:
    torch.manual_seed(1)
    lr = {"fast resnet": 0.05, "resnet 18": 0.001}.get(name, 0.01)
    model = MODELS[name](optimizer=lambda groups: Adam(groups, lr=lr))
    trainer = quiet_trainer(30, limit_val_batches=0)
    trainer.fit(model, Handful(batch_size=10))
    trainer.limit_val_batches = 1.0
    (measured,) = trainer.validate(model, Handful(batch_size=8), verbose=False)
    assert measured["val/acc"] == 1
    assert measured["val/loss"] < math.log(10) / 2  # half of what knowing nothing costs


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_is_the_mean_cross_entropy(smoothing: float) -> None:
    model = MODELS["mlp"](label_smoothing=smoothing)
    images, labels = batch()
    loss, logits = model.loss((images, labels))
    target = torch.full((6, 10), smoothing / 10).scatter_(1, labels[:, None], 1 - smoothing + smoothing / 10)
    log_probabilities = logits - logits.exp().sum(1, keepdim=True).log()
    torch.testing.assert_close(loss, -(target * log_probabilities).sum(1).mean())
    assert torch.equal(logits, model.network(images))


def test_outside_training_an_image_and_its_mirror_image_count_as_one() -> None:
    model = MODELS["mlp"](test_time_flip=True)
    images, _ = batch()
    torch.testing.assert_close(model(images), model.network(images))
    model.eval()
    torch.testing.assert_close(model(images), model(images.flip(-1)))
    torch.testing.assert_close(model(images), (model.network(images) + model.network(images.flip(-1))) / 2)


def test_the_epochs_metrics_are_those_of_all_its_images() -> None:
    """With a rate of zero the model stays as it is: what the epoch reports can be computed again, image by image."""
    model = MODELS["mlp"](optimizer=lambda groups: SGD(groups, lr=0.0))
    data = DigitsDataModule(batch_size=100, val_fraction=0.3)  # last batches of 8 and of 31
    trainer = quiet_trainer(1)
    trainer.fit(model, data)
    for part in ("train", "val"):
        images, labels = data.parts[part][:]
        with torch.inference_mode():
            logits = model(data.normalise(images))
        assert len(labels) % 100
        reported = trainer.callback_metrics
        assert reported[f"{part}/acc"].item() == pytest.approx((logits.argmax(1) == labels).double().mean().item())
        assert reported[f"{part}/loss"].item() == pytest.approx(
            nn.functional.cross_entropy(logits, labels).item(), rel=1e-5
        )


@pytest.mark.parametrize(("schedule", "interval", "monitor"), SCHEDULES.values(), ids=SCHEDULES.keys())
def test_a_schedule_goes_by_what_it_needs(schedule: object, interval: str, monitor: str | None) -> None:
    configured = MODELS["mlp"](lr_scheduler=schedule).configure_optimizers(total_steps=10)
    assert isinstance(configured, dict)
    assert configured["lr_scheduler"]["interval"] == interval  # type: ignore[typeddict-item, index]
    if monitor:
        assert configured["lr_scheduler"]["monitor"] == monitor  # type: ignore[typeddict-item, index]


@pytest.mark.parametrize(
    ("options", "steps"),
    [({}, 6), ({"accumulate_grad_batches": 2}, 4), ({"limit_train_batches": 2}, 4), ({"max_steps": 5}, 5)],
)
def test_a_schedule_knows_the_runs_length(options: dict[str, int], steps: int) -> None:
    model = MODELS["mlp"](lr_scheduler=OneCycle)
    quiet_trainer(2, **options).fit(model, Handful(batch_size=8))  # 3 batches an epoch
    schedule = model.lr_schedulers()
    assert isinstance(schedule, OneCycle)
    assert schedule.total_steps == steps
    assert schedule.last_epoch == steps
    assert schedule.get_last_lr()[0] == pytest.approx(0, abs=1e-12)


def test_without_a_schedule_the_rate_is_constant() -> None:
    optimizer = MODELS["mlp"]().configure_optimizers()
    assert isinstance(optimizer, SGD)
    assert [group["lr"] for group in optimizer.param_groups] == [0.01, 0.01]


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS.keys())
def test_one_dimensional_parameters_do_not_decay(make: Callable[..., Classifier]) -> None:
    optimizer = make(optimizer=lambda groups: SGD(groups, lr=0.1, weight_decay=0.5)).configure_optimizers()
    assert isinstance(optimizer, SGD)
    decays = {p.ndim > 1: group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert decays == {True: 0.5, False: 0}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS.keys())
def test_trying_the_optimizer_changes_nothing(make: Callable[..., Classifier]) -> None:
    model = make(lr_scheduler=OneCycle)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.check_optimizer()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS.keys())
def test_a_checkpoint_is_of_plain_types_and_rebuilds_the_model(make: Callable[..., Classifier]) -> None:
    torch.manual_seed(1)
    model = make(lr_scheduler=OneCycle)
    trainer = quiet_trainer(1, enable_checkpointing=True, limit_train_batches=2)
    trainer.fit(model, Handful(batch_size=8))
    trainer.save_checkpoint("model.ckpt")
    checkpoint = torch.load("model.ckpt", weights_only=True)
    assert checkpoint["hyper_parameters"]["num_classes"] == 10
    restored = type(model).load_from_checkpoint("model.ckpt", weights_only=True)
    model.eval(), restored.eval()
    assert torch.equal(restored(batch()[0]), model(batch()[0]))


@pytest.mark.parametrize("make", [MODELS["resnet 8"], MODELS["resnet 18"]])
def test_channels_last_computes_the_same(make: Callable[..., Classifier]) -> None:
    plain, last = make(), make(channels_last=True)
    last.load_state_dict(plain.state_dict())
    last.setup("fit")
    convolutions = [m for m in last.network.modules() if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1)]
    assert all(
        m.weight.is_contiguous(memory_format=torch.channels_last) and not m.weight.is_contiguous()
        for m in convolutions
        if m.in_channels > 1
    )
    seen: list[Tensor] = []
    convolutions[1].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    plain.eval(), last.eval()
    torch.testing.assert_close(last(batch()[0]), plain(batch()[0]), atol=1e-4, rtol=1e-4)
    assert seen[0].is_contiguous(memory_format=torch.channels_last)


def test_few_channels_are_not_innermost() -> None:
    model = ResNetClassifier(8, 4, input_shape=SHAPE, num_classes=10, channels_last=True)
    model.setup("fit")
    for size in (7, 2) * 5:
        images, labels = batch()
        model.loss((images[:size], labels[:size]))[0].backward()
    assert all(parameter.is_contiguous() for parameter in model.parameters())


# torch's compiler asks each tensor for its gradient, and hides what torch says of that, unless it is an error (2.11)
compiler_looks = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")


@compiler_looks
@pytest.mark.parametrize("make", [MODELS["mlp"], MODELS["resnet 8"]])
@pytest.mark.parametrize(("chosen", "mode"), [(True, None), ("default", "default")])
def test_compiling_in_place_keeps_names_and_values(
    make: Callable[..., Classifier], chosen: bool | str, mode: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[tuple[nn.Module, str | None]] = []
    in_place = nn.Module.compile

    def compile_eagerly(module: nn.Module, mode: str | None) -> None:
        compiled.append((module, mode))
        in_place(module, backend="eager")  # traced, but not translated by a C++ compiler

    monkeypatch.setattr(nn.Module, "compile", compile_eagerly)
    plain, model = make(), make(compile=chosen)
    model.load_state_dict(plain.state_dict())
    model.setup("fit")
    assert compiled == [(model.network, mode)]
    assert list(model.state_dict()) == list(plain.state_dict())
    plain.eval(), model.eval()
    torch.testing.assert_close(model(batch()[0]), plain(batch()[0]))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")  # Inductor's own call
@pytest.mark.filterwarnings("ignore:TensorFloat32 tensor cores:UserWarning")  # exact products are compared here
@compiler_looks
@pytest.mark.filterwarnings("ignore:The CUDA Graph is empty:UserWarning")  # Inductor's first one is meant to be
@pytest.mark.parametrize("make", [MODELS["mlp"], MODELS["resnet 8"]])
def test_replayed_cuda_graphs_compute_the_same(make: Callable[..., Classifier]) -> None:
    def outcome(mode: bool | str) -> Tensor:
        torch.manual_seed(0)
        model = make(compile=mode, test_time_flip=True).cuda()
        model.setup("fit")
        sgd, (images, labels) = SGD(model.parameters(), lr=0.01), (tensor.cuda() for tensor in batch())
        for _ in range(5):
            sgd.zero_grad()
            model.loss((images, labels))[0].backward()
            sgd.step()
        with torch.no_grad():
            return model.eval()(images)

    torch.testing.assert_close(outcome("reduce-overhead"), outcome(mode=False), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("precision", ["bf16-mixed", "64-true", "bf16-true"])
def test_precisions(precision: str) -> None:
    model = MODELS["resnet 8"](channels_last=True)
    trainer = quiet_trainer(1, precision=precision)
    trainer.fit(model, Handful(batch_size=8))
    dtypes = {p.dtype for p in model.parameters()}
    expected = {"bf16-mixed": torch.float32, "64-true": torch.float64, "bf16-true": torch.bfloat16}
    assert dtypes == {expected[precision]}
    assert trainer.callback_metrics["val/loss"].isfinite()


def test_a_subclass_needs_a_network_alone() -> None:
    class Linear(Classifier):
        def __init__(self, **options: object) -> None:
            super().__init__(**options)  # type: ignore[arg-type]  # options of any type
            self.network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

    trainer = quiet_trainer(1)
    trainer.fit(Linear(input_shape=SHAPE, num_classes=10), Handful(batch_size=8))
    assert trainer.callback_metrics["train/loss"].isfinite()
    assert issubclass(Linear, LightningModule)
    assert not list(Path().iterdir())
