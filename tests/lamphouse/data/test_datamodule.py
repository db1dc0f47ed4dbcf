"""A data module for tensors of any type and shape: splits, loaders, and a stock Trainer."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from stock import QUIET
from torch import Tensor, nn

from lamphouse.data import ImageDataModule, Samples, TensorDataModule
from lamphouse.errors import InputError

Maker = Callable[[Tensor], Tensor]
KINDS: dict[str, tuple[Maker, Maker]] = {  # inputs and targets of the samples with these numbers
    "features, labels": (lambda n: torch.stack([n, -n], 1) / 8, lambda n: n % 3),
    "features, values": (lambda n: n.double().view(-1, 1, 1).expand(-1, 2, 3), lambda n: n / 4),
    "images, masks": (lambda n: n.byte().view(-1, 1, 1, 1).expand(-1, 3, 4, 5), lambda n: n.view(-1, 1, 1) + 1),
    "tokens, tokens": (lambda n: n.int().view(-1, 1) + torch.arange(7), lambda n: n.view(-1, 1) + torch.arange(1, 8)),
    "numbers, numbers": (lambda n: n, lambda n: n),
}


def samples_of(kind: str, numbers: Tensor) -> Samples:
    return Samples(*(make(numbers) for make in KINDS[kind]))


class Numbered(TensorDataModule):
    """Samples that are made from their numbers: 0..47 to train, 48..59 to test."""

    def __init__(self, kind: str = "features, labels", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kind = kind

    def load(self, train: bool) -> Samples:
        return samples_of(self.kind, torch.arange(48) if train else torch.arange(48, 60))


class NumberedImages(ImageDataModule):
    """Images whose pixels are their numbers: 0..47 to train, 48..59 to test."""

    classes = ("a", "b", "c")
    input_shape = (1, 2, 2)
    mean, std = (0.0,), (1 / 255,)

    def load(self, train: bool) -> Samples:
        numbers = torch.arange(48) if train else torch.arange(48, 60)
        return Samples(numbers.byte().view(-1, 1, 1, 1).expand(-1, 1, 2, 2), numbers % 3)


def fitted(kind: str, **options: Any) -> Numbered:
    data = Numbered(kind, **options)
    data.setup("fit")
    data.setup("test")
    return data


@pytest.mark.parametrize("kind", KINDS)
def test_every_sample_is_in_one_part_with_its_own_target(kind: str) -> None:
    data = fitted(kind, val_fraction=0.25)
    inputs, targets = (torch.cat(tensors) for tensors in zip(*(part[:] for part in data.parts.values()), strict=True))
    assert {name: len(part) for name, part in data.parts.items()} == {"train": 36, "val": 12, "test": 12}
    numbers = (inputs.flatten(1)[:, 0] if inputs.ndim > 1 else inputs).double()
    numbers = (numbers * (8 if kind == "features, labels" else 1)).long()
    assert numbers.sort().values.tolist() == list(range(60))
    expected = samples_of(kind, numbers)
    assert torch.equal(inputs, expected.inputs)
    assert torch.equal(targets, expected.targets)
    assert data.parts["train"].inputs is data.parts["val"].inputs  # nothing was copied


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_batches_keep_type_shape_and_order(kind: str, num_workers: int) -> None:
    data = fitted(kind, batch_size=16, val_fraction=0.25, num_workers=num_workers, seed=3)
    part = data.parts["train"]
    loader = data.train_dataloader()
    for epoch in range(2):
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]  # the sampler is ours
        order = torch.cat([indices for _, indices in loader.sampler])  # type: ignore[misc]
        batches = list(loader)
        assert [len(targets) for _, targets in batches] == [16, 16, 4]
        for whole, parts in zip(part[order], zip(*batches, strict=True), strict=True):
            assert torch.equal(torch.cat(parts), whole)
            assert parts[0].dtype == whole.dtype


def test_a_batch_that_is_joined_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert [len(batch[0]) for batch in fitted("numbers, numbers", batch_size=14).train_dataloader()] == [14, 14, 15]
    note = "note: 43 training samples in batches of 14: the last batch, of one sample, is joined to the one before"
    assert capsys.readouterr().err.count(note) == 1


def test_an_epoch_continues_where_its_state_was_saved() -> None:
    batches = iter(first := fitted("numbers, numbers", batch_size=8).train_dataloader())
    first.sampler.set_epoch(1)  # type: ignore[attr-defined]  # the sampler is ours
    used = [next(batches)[0] for _ in range(2)]
    second = fitted("numbers, numbers", batch_size=8).train_dataloader()
    second.load_state_dict(first.state_dict())  # type: ignore[attr-defined]  # the loader is ours
    rest = [inputs for inputs, _ in second]
    assert torch.cat([*used, *rest]).sort().values.tolist() == first.dataset.samples[:][0].tolist()  # type: ignore[attr-defined]
    assert len(rest) == 4
    second.sampler.set_epoch(2)  # type: ignore[attr-defined]
    assert len(list(second)) == 6


def test_a_stage_loads_only_what_it_needs() -> None:
    data = Numbered()
    data.setup("test")
    assert set(data.parts) == {"test"}
    data.setup("validate")
    assert set(data.parts) == {"test", "train", "val"}


def test_labels_are_split_by_class_and_follow_from_the_seed() -> None:
    val = fitted("features, labels", val_fraction=0.3, seed=1).parts["val"]
    assert torch.bincount(val[:][1]).tolist() == [5, 5, 5]
    same, other = (fitted("features, labels", val_fraction=0.3, seed=seed).parts["val"] for seed in (1, 2))
    assert torch.equal(same[:][0], val[:][0])
    assert not torch.equal(other[:][0], val[:][0])


BAD = {
    "numbers differ": (torch.zeros(9, 2), torch.zeros(8), "targets: 8 for 9 inputs: give each input one target"),
    "an array": (np.zeros((9, 2)), torch.zeros(9), "inputs: ndarray: expected a tensor: torch.as_tensor converts"),
    "a list": (torch.zeros(9, 2), [0] * 9, "targets: list: expected a tensor"),
    "a number": (torch.zeros(9, 2), torch.tensor(1), "targets: a single number: expected one for each sample"),
    "nan in inputs": (torch.tensor([[0.0], [float("nan")], [1.0]]), torch.zeros(3), "inputs: some values are nan"),
    "inf in targets": (
        torch.zeros(3, 1),
        torch.tensor([0.0, float("-inf"), 1.0]),
        "targets: some values are nan",
    ),
    "one sample": (torch.zeros(1, 1), torch.zeros(1), "no samples are left for val: add some"),
    "no samples": (torch.zeros(0, 1), torch.zeros(0), "no samples are left for train and val: add some"),
}


@pytest.mark.parametrize(("inputs", "targets", "message"), BAD.values(), ids=BAD.keys())
def test_bad_samples_are_refused_in_one_line(inputs: Tensor, targets: Tensor, message: str) -> None:
    class Bad(TensorDataModule):
        def load(self, train: bool) -> Samples:
            return Samples(inputs, targets)

    with pytest.raises(InputError, match=rf"\A{message}.*\Z"):
        Bad().setup("fit")


def test_labels_and_features_are_those_of_every_part() -> None:
    class Table(TensorDataModule):
        num_classes, features = 3, 4

        def load(self, train: bool) -> Samples:
            return Samples(torch.rand(9, 4 if train else self.features), torch.arange(9) % (3 if train else 4))

    data = Table()
    data.setup("fit")
    with pytest.raises(InputError, match=r"\Atargets: 0..3: expected 0..2, the indices of the classes: correct"):
        data.setup("test")
    data.features, data.num_classes = 5, 4
    with pytest.raises(InputError, match=r"\Ainputs: 5 features, but 4 in another part: load the same ones\Z"):
        data.setup("test")


def test_large_values_are_finite() -> None:
    class Large(TensorDataModule):
        def load(self, train: bool) -> Samples:
            return Samples(torch.full((8, 1), 6e4, dtype=torch.half), torch.full((8,), -3e38))

    data = Large()
    data.setup("fit")
    assert sum(len(part) for part in data.parts.values()) == 8


def on(device: str) -> Any:
    """Stand in for a Trainer with its model on a device."""
    return SimpleNamespace(overfit_batches=0, strategy=SimpleNamespace(root_device=torch.device(device)))


@pytest.mark.parametrize(
    ("num_folds", "fold", "message"),
    [
        (None, 0, "--data.fold 0: of how many: give --data.num_folds"),
        (3, None, "--data.num_folds 3: give a --data.fold of 0..2"),
        (3, 3, "--data.num_folds 3 --data.fold 3: give a --data.fold of 0..2"),
        (1, 0, "--data.num_folds 1: nothing would be left to train on"),
        (17, 0, "--data.num_folds 17: a class has only 16 training samples: give 16 folds or fewer"),
    ],
)
def test_folds_that_there_are_not(num_folds: int | None, fold: int | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fitted("features, labels", num_folds=num_folds, fold=fold)


def test_a_fold_takes_the_place_of_the_fraction() -> None:
    parts = [fitted("features, labels", num_folds=3, fold=fold).parts for fold in range(3)]
    assert [(len(part["train"]), len(part["val"]), len(part["test"])) for part in parts] == [(32, 16, 12)] * 3


def test_samples_on_the_device_are_fetched_there() -> None:
    data = fitted("images, masks", on_device=True)
    data.trainer = on("meta")
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        assert {tensor.device.type for batch in loader for tensor in batch} == {"meta"}
    data = fitted("images, masks")
    data.trainer = on("meta")
    assert {tensor.device.type for batch in data.train_dataloader() for tensor in batch} == {"cpu"}


@pytest.mark.parametrize("resident", [True, False])
def test_a_quarter_of_a_gpus_free_memory_may_hold_samples(resident: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    data = fitted("images, masks")
    size = sum(tensor.nbytes for tensor in data.parts["train"][:])
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (4 * size + (1 if resident else -1), 0))
    assert data.is_resident(data.parts["train"], torch.device("cuda")) is resident


def test_workers_cannot_fetch_samples_on_the_device() -> None:
    with pytest.raises(ValueError, match=r"--data.on_device true with --data.num_workers 2: .*leave one"):
        Numbered(on_device=True, num_workers=2)


class Recorder(LightningModule):
    """Writes down which samples each process sees in each epoch."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.layer, self.scale = nn.Linear(1, 1), scale
        self.seen: dict[str, list[list[int]]] = {"train": [], "val": [], "test": []}

    def record(self, part: str, batch: Any, batch_idx: int) -> Tensor:
        inputs = batch[0].float().flatten(1)[:, :1]
        if batch_idx == 0:
            self.seen[part].append([])
        self.seen[part][-1] += (inputs[:, 0] * self.scale).round().int().tolist()
        return self.layer(inputs).square().mean() / 10_000  # type: ignore[no-any-return]

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.record("train", batch, batch_idx)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.record("val", batch, batch_idx)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.record("test", batch, batch_idx)

    def on_train_end(self) -> None:
        torch.save(self.seen, f"seen-{self.global_rank}.pt")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


WHOLE: dict[str, Any] = {
    **QUIET,
    **dict.fromkeys(("limit_train_batches", "limit_val_batches", "limit_test_batches"), 1.0),
}
DATA: dict[str, tuple[Callable[..., TensorDataModule], float]] = {
    "features": (Numbered, 8.0),
    "images": (NumberedImages, 1.0),
}


@pytest.mark.parametrize("kind", DATA)
def test_a_stock_trainer_sees_every_sample_once_an_epoch(kind: str) -> None:
    make, scale = DATA[kind]
    model, data = Recorder(scale), make(batch_size=8, val_fraction=0.25, seed=1)
    trainer = Trainer(**WHOLE, num_sanity_val_steps=0)
    trainer.fit(model, datamodule=data)
    trainer.test(model, datamodule=data, verbose=False)
    (first, second), (val, again) = model.seen["train"], model.seen["val"]
    assert sorted(first) == sorted(second)
    assert first != second
    assert val == again == sorted(val)
    assert sorted([*first, *val]) == list(range(48))
    assert model.seen["test"] == [list(range(48, 60))]


def test_a_stock_trainer_overfits_the_same_batches() -> None:
    model = Recorder()
    Trainer(**{**WHOLE, "overfit_batches": 2}).fit(model, datamodule=NumberedImages(batch_size=8))
    first, second = model.seen["train"]
    assert first == second == sorted(first)
    assert len(first) == 16


@pytest.mark.slow
@pytest.mark.parametrize("kind", DATA)
def test_a_stock_trainer_shares_samples_out_between_two_processes(kind: str) -> None:
    make, scale = DATA[kind]
    data = make(batch_size=4, val_fraction=0.19, seed=1)  # 39 samples to train, 9 to validate
    options = {**WHOLE, "devices": 2, "strategy": "ddp_spawn", "num_sanity_val_steps": 0}
    Trainer(**options).fit(Recorder(scale), datamodule=data)
    ranks = [torch.load(Path(f"seen-{rank}.pt"), weights_only=True) for rank in range(2)]
    for one, other in zip(*(seen["train"] for seen in ranks), strict=True):
        assert (len(one), len(other), len({*one, *other})) == (20, 19, 39)
    for one, other in zip(*(seen["val"] for seen in ranks), strict=True):
        assert len({*one, *other}) == len(one) + len(other) == 9
    assert {*ranks[0]["train"][0], *ranks[1]["train"][0], *ranks[0]["val"][0], *ranks[1]["val"][0]} == set(range(48))
