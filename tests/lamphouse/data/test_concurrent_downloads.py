"""Two processes download the same data set at once, and one is killed in the middle: the data is whole or not there."""

import gzip
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from time import sleep

import pytest
from downloading import EXPECT, MODULES, Mirror, Packed, Sums, begin, mirroring
from fake_data import md5, write_cifar10, write_mnist

from lamphouse.errors import InputError


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    Path("mirror").mkdir()
    with mirroring(Path("mirror")) as server:
        yield server


def pack_mnist() -> tuple[Packed, Sums]:
    sums = write_mnist(Path("data"))
    for name in sums:
        Path("mirror", f"{name}.gz").write_bytes(gzip.compress(Path("data/MNIST/raw", name).read_bytes()))
    return [(path.name, md5(path)) for path in Path("mirror").iterdir()], sums


def pack_cifar10() -> tuple[Packed, Sums]:
    sums = write_cifar10(Path("data"))
    archive = Path("mirror", "cifar-10-python.tar.gz")
    with tarfile.open(archive, "w:gz") as tar:
        tar.add("data/cifar-10-batches-py", "cifar-10-batches-py")
    return [(archive.name, md5(archive))], sums


def left() -> set[str]:
    """Name what is in the data's directory, but for the lock."""
    return {str(path.relative_to("data")) for path in Path("data").rglob("*") if path.suffix != ".lock"}


PACK = {"mnist": pack_mnist, "cifar10": pack_cifar10}
Served = tuple[Packed, Sums, set[str]]  # what the mirror has, the sums of the data's files, and the files themselves


def served(name: str, mirror: Mirror) -> Served:
    """Put a data set on the mirror, which waits half way, and take it from here."""
    packed, sums = PACK[name]()
    expected = left()
    shutil.rmtree("data")
    mirror.go_on.clear()
    return packed, sums, expected


@pytest.mark.slow
@pytest.mark.parametrize("name", PACK)
def test_processes_at_once(name: str, mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    packed, sums, expected = served(name, mirror)
    processes = [begin(name, mirror.url, packed, sums) for _ in range(2)]
    while len(list(Path().glob("*.ready"))) < 2 or not mirror.half_way.is_set():
        assert all(process.exitcode is None for process in processes)
        sleep(0.1)
    mirror.go_on.set()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert left() == expected
    at_once = mirror.asked.copy()
    mirror.asked.clear()
    shutil.rmtree("data")
    EXPECT[name](monkeypatch, mirror.url, packed, sums)
    MODULES[name]().prepare_data()
    assert at_once == mirror.asked  # as often as by one alone


@pytest.mark.slow
@pytest.mark.parametrize("name", PACK)
def test_one_is_killed_half_way(name: str, mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    packed, sums, expected = served(name, mirror)
    process = begin(name, mirror.url, packed, sums)
    assert mirror.half_way.wait(60)
    process.kill()
    process.join()
    mirror.go_on.set()
    assert not any(Path("data").glob("[!.]*"))
    EXPECT[name](monkeypatch, mirror.url, packed, sums)
    MODULES[name]().prepare_data()
    assert left() == expected


@pytest.mark.parametrize("name", PACK)
def test_a_download_that_breaks_off_leaves_nothing(name: str, mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    packed, sums = PACK[name]()
    shutil.rmtree("data")
    EXPECT[name](monkeypatch, mirror.url, packed, sums)
    last = Path("mirror", packed[-1][0])
    last.write_bytes(last.read_bytes()[:-9])
    with pytest.raises(InputError, match="cannot be downloaded"):
        MODULES[name]().prepare_data()
    assert left() == set()
