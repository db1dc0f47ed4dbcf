"""A tiny CIFAR-10."""

import pickle
from pathlib import Path

import pytest
from torchvision.datasets import CIFAR10
from torchvision.models import resnet18

from tiny_data import images_of, labels_of, md5


def make(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the files, let torchvision expect their checksums, and take random weights for pretrained ones."""
    expect_cifar10(monkeypatch, write_cifar10(data_dir))
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", lambda *_, **__: resnet18().state_dict())


def write_cifar10(data_dir: Path, train: int = 100, test: int = 20) -> dict[str, str]:
    """Write the seven pickles and return their checksums."""
    folder = data_dir / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    sizes = {**{f"data_batch_{i}": train // 5 for i in range(1, 6)}, "test_batch": test}
    for seed, (name, size) in enumerate(sizes.items()):
        labels = labels_of(size)
        batch = {"data": images_of(labels, (3072,), seed), "labels": labels.tolist()}
        (folder / name).write_bytes(pickle.dumps(batch))
    meta = {"label_names": [f"class {i}" for i in range(10)]}
    (folder / "batches.meta").write_bytes(pickle.dumps(meta))
    return {path.name: md5(path) for path in folder.iterdir()}


def expect_cifar10(monkeypatch: pytest.MonkeyPatch, sums: dict[str, str]) -> None:
    """Let torchvision expect these checksums."""
    monkeypatch.setattr(CIFAR10, "train_list", [[f"data_batch_{i}", sums[f"data_batch_{i}"]] for i in range(1, 6)])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": sums["batches.meta"]})
