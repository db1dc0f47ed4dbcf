"""Data sets to be downloaded: files in the true formats, found damaged, missing or downloaded from a mirror."""

import gzip
import shutil
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch
from fake_data import expect_cifar10, expect_mnist, images_of, labels_of, md5, write_cifar10, write_mnist
from tiny_data.pets import expect_pets, write_pets
from torchvision import datasets

from lamphouse.data import ImageDataModule
from lamphouse.errors import InputError
from arc_light.data.cifar10 import CIFAR10DataModule
from arc_light.data.mnist import MNISTDataModule
from arc_light.data.pets import OxfordPetsDataModule

NOWHERE = "http://127.0.0.1:9/"  # nothing listens on the discard port


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def mirror() -> Iterator[tuple[Path, str]]:
    """Serve a folder on this machine."""
    folder = Path("mirror").absolute()
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder))) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture
def mnist(monkeypatch: pytest.MonkeyPatch) -> Path:
    expect_mnist(monkeypatch, write_mnist(Path("data")))
    monkeypatch.setattr(datasets.MNIST, "mirrors", [NOWHERE])
    return Path("data/MNIST/raw")


@pytest.fixture
def cifar10(monkeypatch: pytest.MonkeyPatch) -> Path:
    expect_cifar10(monkeypatch, write_cifar10(Path("data")))
    monkeypatch.setattr(datasets.CIFAR10, "url", f"{NOWHERE}cifar-10-python.tar.gz")
    return Path("data/cifar-10-batches-py")


@pytest.mark.usefixtures("mnist")
def test_mnist_reads_the_idx_files() -> None:
    data = MNISTDataModule()
    data.prepare_data()
    for train, size, seed in ((True, 100, 1), (False, 20, 2)):
        images, labels = data.load(train)[:]
        assert images.shape == (size, 1, 28, 28)
        assert images.dtype == torch.uint8
        assert np.array_equal(images[:, 0].numpy(), images_of(labels_of(size), (28, 28), seed))
        assert labels.tolist() == labels_of(size).tolist()


@pytest.mark.usefixtures("cifar10")
def test_cifar10_reads_the_pickles() -> None:
    data = CIFAR10DataModule()
    data.prepare_data()
    images, labels = data.load(train=True)[:]
    assert images.shape == (100, 3, 32, 32)
    assert images.is_contiguous()
    assert np.array_equal(images[:20].numpy(), images_of(labels_of(20), (3, 32, 32), seed=0))
    assert labels[:20].tolist() == labels_of(20).tolist()
    test = data.load(train=False)
    assert np.array_equal(test.inputs.numpy(), images_of(labels_of(20), (3, 32, 32), seed=5))


@pytest.mark.parametrize(("module", "files"), [(MNISTDataModule, "mnist"), (CIFAR10DataModule, "cifar10")])
def test_the_official_test_split_is_used_whole(
    module: Callable[[], ImageDataModule], files: str, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(files)
    data = module()
    data.prepare_data()
    data.setup("fit")
    data.setup("test")
    assert [len(data.parts[part]) for part in ("train", "val", "test")] == [90, 10, 20]
    assert torch.equal(data.parts["test"].inputs, data.load(train=False).inputs)
    assert sorted(data.parts["val"][:][1].tolist()) == list(range(10))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [cut, flip, lengthen, empty])
@pytest.mark.parametrize(
    ("module", "files", "name"),
    [
        *((MNISTDataModule, "mnist", name) for name in MNISTDataModule.md5),
        *((CIFAR10DataModule, "cifar10", name) for name in ("data_batch_3", "test_batch", "batches.meta")),
    ],
)
def test_a_damaged_file_is_named_and_left_alone(
    module: Callable[[], ImageDataModule],
    files: str,
    name: str,
    damage: Callable[[Path], None],
    request: pytest.FixtureRequest,
) -> None:
    path = request.getfixturevalue(files) / name
    damage(path)
    before = path.read_bytes()
    with pytest.raises(InputError, match=rf"^\S*{name}: damaged .*: delete it to have it downloaded again$"):
        module().prepare_data()
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("module", "files", "name"),
    [
        (MNISTDataModule, "mnist", "t10k-labels-idx1-ubyte"),
        (CIFAR10DataModule, "cifar10", "data_batch_1"),
        (CIFAR10DataModule, "cifar10", "batches.meta"),
    ],
)
def test_without_a_network_a_missing_file_is_asked_for(
    module: Callable[[], ImageDataModule], files: str, name: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(files)
    (folder / name).unlink()
    message = rf"cannot be downloaded \(.*\): put its files into {folder}, or train on data that needs no download"
    with pytest.raises(InputError, match=message) as info:
        module().prepare_data()
    assert "\n" not in str(info.value)


def pack_mnist(folder: Path, served: Path) -> list[tuple[str, str]]:
    resources = []
    for path in folder.iterdir():
        packed = served / f"{path.name}.gz"
        packed.write_bytes(gzip.compress(path.read_bytes()))
        resources.append((packed.name, md5(packed)))
    return resources


def test_mnist_is_downloaded_and_unpacked(
    mnist: Path, mirror: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    served, url = mirror
    monkeypatch.setattr(datasets.MNIST, "resources", pack_mnist(mnist, served))
    monkeypatch.setattr(datasets.MNIST, "mirrors", [url])
    shutil.rmtree("data")
    data = MNISTDataModule("elsewhere/data")
    data.prepare_data()
    assert len(data.load(train=True)) == 100
    monkeypatch.setattr(datasets.MNIST, "mirrors", [NOWHERE])
    data.prepare_data()  # not asked for again


def test_cifar10_is_downloaded_and_unpacked(
    cifar10: Path, mirror: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    served, url = mirror
    archive = served / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(cifar10, cifar10.name)
    monkeypatch.setattr(datasets.CIFAR10, "url", f"{url}{archive.name}")
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", md5(archive))
    shutil.rmtree("data")
    data = CIFAR10DataModule("elsewhere/data")
    data.prepare_data()
    assert len(data.load(train=True)) == 100


def test_pets_are_downloaded_and_unpacked(mirror: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    served, url = mirror
    sums = write_pets(served)
    expect_pets(monkeypatch, sums)
    resources = [(f"{url}oxford-iiit-pet/{name}", digest) for name, digest in sums.items()]
    monkeypatch.setattr(datasets.OxfordIIITPet, "_RESOURCES", resources)
    data = OxfordPetsDataModule("elsewhere/data", image_size=16)
    data.prepare_data()
    assert len(data.load(train=True)) == 10
    monkeypatch.setattr(datasets.OxfordIIITPet, "_RESOURCES", [(NOWHERE, "")])
    data.prepare_data()  # not asked for again
    next(Path("elsewhere/data/oxford-iiit-pet/annotations/trimaps").iterdir()).write_bytes(b"none")
    with pytest.raises(InputError, match=r"trimaps/.*png: not a readable image"):
        data.load(train=True)


def test_a_mirror_that_serves_something_else_is_found_out(
    mnist: Path, mirror: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    served, url = mirror
    monkeypatch.setattr(datasets.MNIST, "resources", pack_mnist(mnist, served))
    monkeypatch.setattr(datasets.MNIST, "mirrors", [url])
    shutil.rmtree("data")
    flip(served / "train-images-idx3-ubyte.gz")
    for place in (".", "other/place"):
        before = sorted(Path().rglob("*"))
        with pytest.raises(InputError, match="MNIST cannot be downloaded"):
            MNISTDataModule(place).prepare_data()
        assert sorted(Path().rglob("*")) == before
