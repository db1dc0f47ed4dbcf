"""The command shards, and training on what it wrote."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import CONFIGS, Outcome
from fake_data import write_folder

from lamphouse.data import ImageFolderDataModule

Command = Callable[..., Outcome]
DIGITS = ["-c", str(CONFIGS / "trainer.yaml"), "-c", str(CONFIGS / "digits_mlp.yaml")]
FOLDER = ["-c", str(CONFIGS / "trainer.yaml"), "-c", str(CONFIGS / "folder_resnet.yaml"), "--data.root=images"]
pytestmark = pytest.mark.slow
pytest.importorskip("litdata", reason="make extra EXTRA=streaming installs what is tested here")


def numbers(out: str) -> list[str]:
    return re.findall(r"^(?:epoch .* acc \S+|(?:train|validation|test) .*)", out, re.MULTILINE)


def test_a_run_on_shards_is_the_run_on_the_data_in_memory(arc: Command, fit: Command) -> None:
    written = arc("shards", *DIGITS, "--output=digits", "--chunk_mb=1")
    assert (written.status, written.err) == (0, "")
    counts, command = written.out.split("; to train on them: ")
    assert counts == "digits: 1,295 train, 143 validation, 359 test images, 0.1 MB"
    assert shlex.split(command)[1:] == ["-m", "arc_light", "fit", *DIGITS, "--data.shards", "digits"]
    streamed = fit("--data.shards=digits")
    assert "streamed from digits, which were split with seed 42" in streamed.out
    assert numbers(streamed.out) == numbers(fit().out) != []


@pytest.mark.parametrize("parts", [[""], ["train", "val"]])
def test_a_folder_is_written_without_being_loaded(
    arc: Command, parts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in parts:
        write_folder(Path("images", part), per_class=8)
    with monkeypatch.context() as patched:
        patched.setattr(ImageFolderDataModule, "load", lambda self, train: pytest.fail("loads all images"))
        assert arc("shards", *FOLDER, "--data.image_size=8", "--output=shards").status == 0
    memory, streamed = (ImageFolderDataModule("images", 8, seed=42, shards=shards) for shards in (None, "shards"))
    for data in (memory, streamed):
        data.prepare_data()
        for stage in ("fit", "test"):
            data.setup(stage)
    assert (streamed.classes, streamed.mean, streamed.std) == (memory.classes, memory.mean, memory.std)
    for part, samples in memory.parts.items():
        assert all(torch.equal(one, other) for one, other in zip(samples[:], streamed.parts[part][:], strict=True))


def test_what_is_wrong_is_one_line_and_leaves_nothing(arc: Command, fit: Command, own: Callable[[str], str]) -> None:
    write_folder(Path("images"), per_class=4)
    next(Path("images").rglob("*.png")).write_bytes(b"no image")
    code = "class Mine(DigitsDataModule):\n  def state_dict(self): return {'mean': torch.ones(1)}"
    own(f"import torch\nfrom arc_light.data.digits import DigitsDataModule\n{code}\n")
    before = {*Path().iterdir()}
    wrong = [
        ([*DIGITS, "--data=own.Mine"], "state_dict: Object of type Tensor is not JSON"),
        ([*FOLDER, "--output=out/new"], "not a readable image"),
        ([*DIGITS, "--output=images"], "--output images: exists already"),
        ([*DIGITS, "--chunk_mb=5000"], "--chunk_mb 5000: expected less than"),
        ([*DIGITS, "--data.shards=images"], "--data.shards images: not readable as shards"),
    ]
    for args, text in wrong:
        failed = arc("shards", *args)
        assert (failed.status, failed.err.count("\n")) == (2, 1), failed.err
        assert text in failed.err
    assert {*Path().iterdir()} - {Path("out"), Path("data"), Path("__pycache__")} == before
    assert not [*Path("out").iterdir()]
    arc("shards", *DIGITS, "--output=digits")
    for args, text in [
        (["--data.shards=none"], "--data.shards none: no such directory"),
        (["--data.shards=digits", "--data.val_fraction=0.2"], "--data.val_fraction 0.2: the shards in digits were"),
        (["--data.shards=digits", "--data.on_device=true"], "--data.on_device true with --data.shards digits"),
        (["--data.shards=digits", "--data.num_folds=3", "--data.fold=0"], "--data.num_folds 3: the shards in digits"),
    ]:
        failed = fit(*args)
        assert (failed.status, failed.err.count("\n")) == (2, 1), failed.err
        assert text in failed.err
