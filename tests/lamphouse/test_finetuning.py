"""Weights of an earlier run, frozen layers and learning rates of their own, with a stock Trainer and in every loop."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import Case, assert_same_bits, train_all
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy
from stock import QUIET
from torch import Tensor
from torch.optim import SGD
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader, TensorDataset

from lamphouse.checkpoints import ExactResume, WholeCheckpointIO, load_checkpoint
from lamphouse.errors import InputError
from lamphouse.optim import ConvMuon, OneCycle
from arc_light.models.gpt import GPTLanguageModel
from arc_light.models.mlp import MLPClassifier
from arc_light.models.resnet import ResNetClassifier
from arc_light.models.unet import UNetSegmenter

SHAPE = (1, 8, 8)
LOADER = DataLoader(TensorDataset(torch.rand(24, *SHAPE), torch.arange(24) % 3), batch_size=4)
TUNED = {"freeze_epochs": 1, "backbone_lr_factor": 0.1, "lr_scheduler": OneCycle}


def mlp(num_classes: int = 3, **options: Any) -> MLPClassifier:
    return MLPClassifier([16, 8], input_shape=SHAPE, num_classes=num_classes, **options)


def resnet(cls: Any = ResNetClassifier, **options: Any) -> Any:
    optimizer = partial(SGD, lr=0.05, momentum=0.9)
    return cls(8, 8, input_shape=SHAPE, num_classes=3, optimizer=optimizer, **options)


def checkpoint_of(model: LightningModule, run: Path) -> dict[str, Tensor]:
    """Write a run's directory as far as it is read, and return the weights."""
    trainer = Trainer(**QUIET)
    trainer.strategy.connect(model)
    trainer.save_checkpoint(run / "best.ckpt")
    (run / "config.yaml").touch()
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("given", ["runs", "runs/digits/1", "runs/digits/1/best.ckpt"])
def test_weights_that_fit_are_taken_by_a_stock_trainer(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    there = checkpoint_of(mlp(10), Path("runs/digits/1"))
    model = mlp(init_from=given, optimizer=partial(SGD, lr=0.0))
    head = {name: value.clone() for name, value in model.network[-1].state_dict(prefix="network.7.").items()}
    Trainer(**QUIET).fit(model, LOADER, LOADER)
    assert all(torch.equal(value, {**there, **head}[name]) for name, value in model.state_dict().items())
    text = "4 of 6 tensors from runs/digits/1/best.ckpt; as initialized: network.7.weight, network.7.bias"
    assert f"init_from   {text}; 2 of its own left out\n" in capsys.readouterr().out
    model.initialize()  # once only
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("zipped", [True, False])
def test_weights_alone_are_taken_from_a_file(zipped: bool) -> None:
    there = mlp().network.state_dict()
    torch.save(there, "weights.pth", _use_new_zipfile_serialization=zipped)
    model = mlp(init_from="weights.pth")
    model.initialize()
    assert all(torch.equal(value, there[name]) for name, value in model.network.state_dict().items())


BAD_SOURCES: dict[str, tuple[Callable[[], Any], str]] = {
    "missing": (lambda: None, "--model.init_from given: no such run or file"),
    "no run": (lambda: Path("given").mkdir(), r"--model.init_from given: no run \(config.yaml is missing\)"),
    "not trained": (lambda: checkpoint_of(mlp(), Path("given")) and Path("given/best.ckpt").unlink(), "no such check"),
    "text": (lambda: Path("given").write_text("text"), "--model.init_from given: not a readable checkpoint"),
    "no weights": (lambda: torch.save([1], "given"), "--model.init_from given: holds no weights by their names"),
    "other network": (lambda: checkpoint_of(resnet(), Path("given")), "--model.init_from given/best.ckpt: no weights"),
}


@pytest.mark.parametrize(("make", "message"), BAD_SOURCES.values(), ids=BAD_SOURCES.keys())
def test_what_cannot_be_taken_is_refused_in_one_line(make: Callable[[], Any], message: str) -> None:
    make()
    with pytest.raises(InputError, match=message) as caught:
        mlp(init_from="given").initialize()
    assert "\n" not in str(caught.value)


def test_a_damaged_file_of_weights_is_refused() -> None:
    network = mlp().network
    torch.save(network.state_dict(), "weights.pth")
    content = Path("weights.pth").read_bytes()
    weights = network[1].weight.detach().numpy().tobytes()
    Path("weights.pth").write_bytes(content.replace(weights, weights[::-1]))
    with pytest.raises(InputError, match=r"--model.init_from weights.pth: damaged \(in "):
        mlp(init_from="weights.pth").initialize()


class Watch(Callback):
    """Notes which tensors change in each epoch, and whether the first BatchNorm is trained; may raise at a step."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.stop_at, self.changed, self.modes = stop_at, list[set[str]](), list[bool]()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        self.before = {name: value.clone() for name, value in pl_module.state_dict().items()}

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
        self.modes.append(pl_module.network[1].training)
        if trainer.global_step == self.stop_at:
            raise KilledError

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        after = pl_module.state_dict()
        self.changed.append({name for name, value in self.before.items() if not torch.equal(value, after[name])})


class KilledError(BaseException):
    """Ends a run as a kill does."""


def fitted(model: LightningModule, watch: Watch, folder: str | None = None) -> LightningModule:
    torch.manual_seed(1)
    options = QUIET | {"max_epochs": 3, "enable_checkpointing": None, "plugins": [WholeCheckpointIO()]}
    options["callbacks"] = [watch, *([ExactResume(folder, every_n_steps=1)] if folder else [])]
    Trainer(**options).fit(model, LOADER, LOADER)
    return model


def test_the_head_is_trained_first_and_alone() -> None:
    model, watch = resnet(**TUNED), Watch()
    model.network[1].bias.requires_grad = False  # for good
    fitted(model, watch)
    first, *later = watch.changed
    assert first == {"network.8.weight", "network.8.bias"}
    assert later == [model.state_dict().keys() - {"network.1.bias"}] * 2
    assert watch.modes == [False] * 4 + [True] * 8
    assert not model.network[1].bias.requires_grad


def test_heads() -> None:
    unet, gpt = UNetSegmenter(8, 2, input_shape=SHAPE, num_classes=3), GPTLanguageModel(input_shape=(8,), num_classes=5)
    assert next(unet.head.parameters()).shape[0] == 3
    assert gpt.head is gpt.network.tokens


@pytest.mark.slow
@pytest.mark.parametrize("stop_at", [2, 4, 6])  # while frozen, between the epochs, and afterwards
def test_killed_and_resumed_without_the_source(stop_at: int) -> None:
    checkpoint_of(resnet(), Path("source"))
    options = {**TUNED, "init_from": "source"}
    whole = fitted(resnet(**options), Watch()).state_dict()
    with pytest.raises(KilledError):
        fitted(resnet(**options), Watch(stop_at), "parts")
    shutil.rmtree("source")
    parts = fitted(resnet(**options), Watch(), "parts").state_dict()
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())


@pytest.mark.slow
def test_every_loop_computes_the_same(tmp_path: Path) -> None:
    there = checkpoint_of(resnet(), Path("source"))
    options = {**TUNED, "init_from": "source"}
    case = Case(clip="norm", accumulate=3, ema=0.9)
    make = lambda _, adapt=lambda cls: cls: resnet(adapt(ResNetClassifier), **options)  # noqa: E731  # used once
    outcomes = train_all(case, tmp_path, model=make)
    assert_same_bits(outcomes, case)
    first = load_checkpoint(tmp_path / "automatic" / "last.ckpt")["current_model_state"]["network.0.weight"]
    assert not torch.equal(first, there["network.0.weight"])


def test_frozen_layers_and_processes() -> None:
    with pytest.raises(InputError, match=r"--model.freeze_epochs 1: .*ddp_find_unused_parameters_true"):
        resnet(freeze_epochs=1).initialize(DDPStrategy())
    resnet(freeze_epochs=1).initialize(DDPStrategy(find_unused_parameters=True))


def test_the_backbone_has_its_own_learning_rate() -> None:
    model = resnet(backbone_lr_factor=0.1)
    groups = model.configure_optimizers().param_groups
    rates = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    head = [rates.pop(id(parameter)) for parameter in model.network[8].parameters()]
    assert head == [0.05, 0.05]
    assert [*rates.values()] == [pytest.approx(0.005)] * (len([*model.parameters()]) - 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": ConvMuon}, "ConvMuon makes its own groups of parameters"),
        ({"lr_scheduler": partial(OneCycleLR, max_lr=0.1, total_steps=9)}, "the schedule sets one learning rate"),
    ],
)
def test_what_overrides_the_backbones_learning_rate_is_refused(options: dict[str, Any], message: str) -> None:
    model = ResNetClassifier(8, 8, input_shape=SHAPE, num_classes=3, backbone_lr_factor=0.1, **options)
    with pytest.raises(InputError, match=f"--model.backbone_lr_factor 0.1: {message}"):
        model.check_optimizer()
