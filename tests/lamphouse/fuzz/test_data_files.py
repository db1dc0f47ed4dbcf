"""A damaged data file, or a damaged file of a run, is named in one line before anything of it is believed."""

import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from conftest import Outcome
from fake_data import expect_cifar10, expect_mnist, write_cifar10, write_folder, write_image, write_mnist
from hypothesis import strategies as st
from tries import assert_clear, assert_refused, damaged, forget_runs, tries

from tests.lamphouse.fuzz.conftest import Parsed
from tests.lamphouse.fuzz.test_checkpoints import Code

pytestmark = pytest.mark.slow


def test_a_damaged_idx_file(parsed: Parsed, monkeypatch: pytest.MonkeyPatch) -> None:
    expect_mnist(monkeypatch, write_mnist(Path("data")))
    refuse_damages(partial(parsed, experiment="mnist_mlp"), Path("data/MNIST/raw"))


def test_a_damaged_cifar_pickle(parsed: Parsed, monkeypatch: pytest.MonkeyPatch) -> None:
    expect_cifar10(monkeypatch, write_cifar10(Path("data")))
    refuse_damages(partial(parsed, experiment="cifar10_mlp"), Path("data/cifar-10-batches-py"))


def refuse_damages(run: Parsed, folder: Path) -> None:
    """Refuse files of another content, and take the files themselves."""
    files = {path: path.read_bytes() for path in sorted(folder.iterdir())}

    def check(path: Path, data: st.DataObject) -> None:
        content = data.draw(damaged(files[path]))
        path.write_bytes(content)
        outcome = run()[0]
        path.write_bytes(files[path])
        assert_clear(outcome, str(path))
        assert (outcome.status == 0) == (content == files[path])

    tries(60, check, path=st.sampled_from(list(files)), data=st.data())
    assert run()[0].status == 0


def test_code_in_a_cifar_pickle_is_not_run(parsed: Parsed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torchvision unpickles what has the right checksum, and nothing else."""
    expect_cifar10(monkeypatch, write_cifar10(Path("data")))
    for path in sorted(Path("data/cifar-10-batches-py").iterdir()):
        good = path.read_bytes()
        path.write_bytes(pickle.dumps(Code()))
        assert_refused(parsed(experiment="cifar10_mlp")[0], f"{path}: damaged")
        path.write_bytes(good)


def test_a_damaged_image_in_a_folder(parsed: Parsed) -> None:
    root = write_folder(Path("images"), per_class=3)
    path = root / "dog" / "bad.png"
    options = ["--data.root=images", "--data.image_size=8", "--model.depth=18", "--model.width=8"]

    def check(content: bytes) -> None:
        path.write_bytes(content)
        assert_clear(parsed(*options, experiment="folder_resnet")[0], str(path))

    tries(40, check, content=damaged(write_image(Path("good.png")).read_bytes()))


@pytest.mark.parametrize("name", ["config.yaml", "metrics.csv"])
def test_a_damaged_file_of_a_run(arc: Callable[..., Outcome], trained: Path, without_training: None, name: str) -> None:
    path, config = trained / name, (trained / "config.yaml").read_bytes()
    good = path.read_bytes()

    def check(content: bytes) -> None:
        (trained / "config.yaml").write_bytes(config)
        path.write_bytes(content)
        assert_clear(arc("resume", "--run", trained, "--trainer.max_epochs=3"), name, "--")

    lines = st.permutations(good.splitlines(keepends=True)).map(b"".join)
    tries(30, check, content=damaged(good) | lines)
    forget_runs()
