"""A loss, gradient or weight that is infinite or NaN stops training at that step; the checks change nothing."""

import json
import math
import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import CONFIGS, Outcome
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.demos.boring_classes import BoringModel
from stock import QUIET, UnstableModel
from torch import nn
from torch.amp import GradScaler
from torch.utils.data import DataLoader, TensorDataset
from unstable import BAD_BATCH

from lamphouse.callbacks import FiniteCheck, Position, StopNotFinite
from lamphouse.callbacks.finite import MOST_PENDING
from lamphouse.checkpoints.files import load_checkpoint
from lamphouse.errors import NotFiniteError
from arc_light.data.digits import DigitsDataModule

Command = Callable[..., Outcome]
LOOPS = [
    [],
    pytest.param(["--loop=manual"], marks=pytest.mark.slow),
    pytest.param(["--loop=handwritten"], marks=pytest.mark.slow),
]
MODELS = {
    "NanLoss": "the loss is nan",
    "InfiniteLoss": "the loss is inf",
    "NanGradient": r"the gradient of \S+\.weight is nan",
    "InfiniteGradient": r"the gradient of \S+\.bias is inf",
}
ALL = "--trainer.limit_train_batches=1.0"


def only_run() -> Path:
    (path,) = Path("runs").glob("*/*")
    return path


def weights(run: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = load_checkpoint(run / "last.ckpt")["state_dict"]
    return state


@pytest.mark.parametrize("deferred", [None, True])
def test_it_stops_a_stock_trainer(deferred: bool | None) -> None:
    callback = StopNotFinite() if deferred is None else StopNotFinite(FiniteCheck(deferred=deferred))
    trainer = Trainer(callbacks=[callback], **QUIET)
    with pytest.raises(NotFiniteError, match=r"the loss is nan in epoch 0, batch 2 \(step 2\)"):
        trainer.fit(UnstableModel())


def test_it_changes_no_bit() -> None:
    weights = []
    for callbacks in ([], [StopNotFinite()], [StopNotFinite(FiniteCheck(deferred=True))]):
        torch.manual_seed(1)
        model = BoringModel()
        Trainer(callbacks=callbacks, **QUIET).fit(model)
        weights.append(model.layer.weight)
    assert torch.equal(weights[0], weights[1])
    assert torch.equal(weights[0], weights[2])


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("loop", LOOPS)
def test_a_run_stops_at_that_step_and_explains(fit: Command, loop: list[str], model: str) -> None:
    outcome = fit(*loop, f"--model=unstable.{model}", ALL, "--model.lr_scheduler=null")
    assert outcome.status == 2
    assert outcome.err.count("\n") == 1
    where = f"in epoch 0, batch {BAD_BATCH} (step {BAD_BATCH}) at learning rate 0.01; training "
    assert re.match(f"arc_light fit: {MODELS[model]} {re.escape(where)}", outcome.err)
    for word in ("learning rate", "preprocessing", "loss", "clip", "precision", "-c configs/debug/anomaly.yaml"):
        assert word in outcome.err.split(";", 2)[2]
    assert "nothing was learned yet" in outcome.err
    assert (only_run() / "config.yaml").is_file()


@pytest.mark.parametrize("loop", LOOPS[::2])
@pytest.mark.parametrize(("model", "words"), {"NanLoss": "MulBackward0", "NanGradient": "PowBackward0"}.items())
@pytest.mark.filterwarnings("ignore:Error detected in:UserWarning")  # with the lines that called it
def test_the_anomaly_mode_names_the_operation(fit: Command, loop: list[str], model: str, words: str) -> None:
    outcome = fit("-c", str(CONFIGS / "debug" / "anomaly.yaml"), *loop, f"--model=unstable.{model}", ALL)
    assert outcome.status == 2
    assert f"arc_light fit: a gradient is nan in epoch 0, batch {BAD_BATCH} " in outcome.err
    assert f"Function '{words}' returned nan values" in outcome.err
    assert "anomaly.yaml" not in outcome.err
    assert not torch.is_anomaly_enabled()


def test_the_images_of_the_batch_are_listed(fit: Command) -> None:
    outcome = fit("--model=unstable.NanLoss", ALL)
    listed = json.loads((only_run() / "not_finite.json").read_text())
    data = DigitsDataModule(batch_size=128, seed=42)
    data.setup("fit")
    _, indices = next(islice(data.train_dataloader().sampler, BAD_BATCH, None))  # type: ignore[call-overload]  # whole batches, not single images
    images = listed["training_samples"]  # indices of what `load` returns
    assert torch.equal(data.load(train=True).inputs[images], data.parts["train"][indices][0])
    assert (listed["epoch"], listed["batch"], listed["step"]) == (0, BAD_BATCH, BAD_BATCH)
    assert f"samples {', '.join(map(str, images[:4]))} … (all in {only_run()}/not_finite.json)" in outcome.err


def test_few_images_need_no_list(fit: Command) -> None:
    outcome = fit("--model=unstable.NanLoss", ALL, "--data.batch_size=2")
    line = outcome.err.splitlines()[-1]  # after a note
    assert line.split("training samples ")[1].split(";")[0].count(",") == 1
    assert not (only_run() / "not_finite.json").exists()


class OwnData(LightningDataModule):
    """A user's own, whose loader has no indices."""

    num_classes, input_shape = 10, (1, 8, 8)

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(TensorDataset(torch.randn(40, 1, 8, 8), torch.arange(40) % 10), 4)

    val_dataloader = test_dataloader = train_dataloader


@pytest.mark.parametrize("loop", LOOPS[::2])
def test_of_a_loader_of_ones_own_the_batch_is_named(fit: Command, loop: list[str]) -> None:
    outcome = fit(*loop, "--model=unstable.NanLoss", f"--data={__name__}.OwnData", ALL)
    assert outcome.status == 2
    assert f"batch {BAD_BATCH} (step {BAD_BATCH})" in outcome.err
    assert "images" not in outcome.err


@pytest.mark.parametrize("loop", LOOPS)
def test_a_checkpoint_from_before_stays(fit: Command, arc: Command, loop: list[str]) -> None:
    options = [*loop, "--model.lr_scheduler=null"]
    outcome = fit(*options, "--model=unstable.NanGradient", "--model.bad_batch=3", "--trainer.max_epochs=4")
    assert "in epoch 1, batch 1 (step 3)" in outcome.err
    assert f"{only_run()}/last.ckpt is from before, with 2 steps" in outcome.err
    assert len((only_run() / "metrics.csv").read_text().splitlines()) == 2
    fit(*options, "--runs=whole")
    (whole,) = Path("whole").glob("*/*")
    assert all(torch.equal(weights(whole)[name], tensor) for name, tensor in weights(only_run()).items())
    assert arc("evaluate", "--run", only_run()).status == 0


@pytest.mark.parametrize("loop", LOOPS)
def test_where_gradients_accumulate_it_stops_at_the_batch(fit: Command, loop: list[str]) -> None:
    outcome = fit(*loop, "--model=unstable.NanGradient", ALL, "--trainer.accumulate_grad_batches=4")
    assert f"batch {BAD_BATCH} (step 1)" in outcome.err


def test_in_bf16(fit: Command) -> None:
    outcome = fit("--model=unstable.NanGradient", ALL, "--trainer.precision=bf16-mixed")
    assert f".weight is nan in epoch 0, batch {BAD_BATCH} " in outcome.err


@pytest.mark.parametrize("loop", LOOPS)
def test_weights_that_a_step_made_infinite_are_not_kept(fit: Command, loop: list[str]) -> None:
    step = ["--model=unstable.SteepLoss", "--model.bad_batch=0", "--model.optimizer.lr=1e38"]
    options = ["--model.optimizer=SGD", "--model.lr_scheduler=null", "--trainer.limit_train_batches=1"]
    outcome = fit(*loop, *step, *options)
    assert outcome.status == 2
    assert "the weight network." in outcome.err
    assert not (only_run() / "best.ckpt").exists()


def test_it_can_be_switched_off(fit: Command) -> None:
    outcome = fit("--model=unstable.NanGradient", ALL, "--check_finite=false")
    assert (outcome.status, outcome.err) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize("blind", ["before_backward", "after_backward", "settle"])
def test_these_tests_notice_a_check_that_looks_away(fit: Command, blind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FiniteCheck, blind, lambda *_: None)
    tests = (
        lambda: test_a_run_stops_at_that_step_and_explains(fit, [], "InfiniteLoss"),
        lambda: test_where_gradients_accumulate_it_stops_at_the_batch(fit, []),
        lambda: test_weights_that_a_step_made_infinite_are_not_kept(fit, []),
    )
    with pytest.raises(AssertionError):
        tests[["before_backward", "after_backward", "settle"].index(blind)]()


def position(batch: int) -> Position:
    return Position(0, batch, batch, 0.1)


def model_of(check: FiniteCheck, scaler: GradScaler | None = None) -> nn.Linear:
    model = nn.Linear(2, 2)
    check.begin(model, scaler)
    return model


def backward(check: FiniteCheck, model: nn.Linear, batch: int, factor: float = 1.0) -> None:
    loss = model(torch.ones(1, 2)).sum()
    check.before_backward(loss, position(batch))
    (loss * factor).backward()
    check.after_backward()
    model.zero_grad()


def test_an_accelerator_is_asked_now_and_then_and_the_first_bad_batch_is_named() -> None:
    check = FiniteCheck(deferred=True)
    model = model_of(check)
    for batch in range(10):
        backward(check, model, batch, math.nan if batch in {4, 7} else 1.0)
    with pytest.raises(NotFiniteError, match=r"the gradient of weight is nan in epoch 0, batch 4 \(step 4\)"):
        check.settle()
    batches = iter(range(MOST_PENDING))
    with pytest.raises(NotFiniteError, match="batch 3 "):
        train(check, model, batches)
    assert next(batches) == MOST_PENDING // 2  # two figures a batch


def train(check: FiniteCheck, model: nn.Linear, batches: Iterator[int]) -> None:
    for batch in batches:
        backward(check, model, batch, math.inf if batch == 3 else 1.0)


def test_an_accelerator_is_asked_before_weights_are_kept() -> None:
    check = FiniteCheck(deferred=True)
    model = model_of(check)
    backward(check, model, 0)
    check.settle()
    model.bias.data[1] = -math.inf
    with pytest.raises(NotFiniteError, match="the weight bias is inf"):
        check.settle()


@pytest.mark.parametrize("deferred", [False, True])
def test_numbers_that_are_large_are_no_error(deferred: bool) -> None:
    check = FiniteCheck(deferred=deferred)
    model = model_of(check)
    backward(check, model, 0, 1e30)  # whose square overflows
    model.weight.data.fill_(1e30)
    check.settle()


def test_a_scaler_may_skip_steps_but_not_all_of_them() -> None:
    check, scaler = FiniteCheck(), GradScaler("cpu")
    model = model_of(check, scaler)
    scaler.scale(torch.zeros(()))
    backward(check, model, 0, math.inf)
    scaler.update(2.0**-25)
    with pytest.raises(NotFiniteError, match="the gradient of weight is inf"):
        backward(check, model, 1, math.inf)
    with pytest.raises(NotFiniteError, match="the loss is nan"):
        check.before_backward(torch.tensor(math.nan), position(2))


def test_sparse_gradients() -> None:
    table, check = nn.Embedding(5, 2, sparse=True), FiniteCheck()
    check.begin(table)
    (table(torch.tensor([1, 1])).sum() * math.nan).backward()
    with pytest.raises(NotFiniteError, match="the gradient of weight is nan"):
        check.after_backward()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype:UserWarning")  # torch has no other
def test_a_gpu_is_not_waited_for() -> None:
    check = FiniteCheck()
    model = nn.Linear(2, 2).cuda()
    check.begin(model)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for batch in range(MOST_PENDING // 2 - 1):
            loss = model(torch.ones(1, 2, device="cuda")).sum()
            check.before_backward(loss, position(batch))
            loss.backward()
            check.after_backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    check.settle()
