"""`predict`: the classes of image files, read as in training."""

import csv
import json
import shutil
import sys
from collections.abc import Callable
from importlib import import_module
from io import BytesIO, TextIOWrapper
from pathlib import Path
from time import sleep
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Outcome
from fake_data import write_folder, write_image
from PIL import Image

from lamphouse.data.arrays import read_each
from arc_light.data.digits import DigitsDataModule
from arc_light.models.mlp import MLPClassifier

Command = Callable[..., Outcome]


@pytest.fixture
def digits() -> dict[str, int]:
    """Write test digits as image files, and return the class of each by its path."""
    images, labels = DigitsDataModule().load(train=False)[:]
    Path("digits").mkdir()
    for number, image in enumerate(images[:12]):
        Image.fromarray(image[0].numpy()).save(f"digits/{number:02}.png")
    return {f"digits/{number:02}.png": int(labels[number]) for number in range(12)}


def predictions(run: Path) -> list[dict[str, str]]:
    with (run / "predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_files_are_read_as_in_training(arc: Command, trained: Path, digits: dict[str, int]) -> None:
    outcome = arc("predict", "--run", trained, "--input", "digits")
    assert (outcome.status, outcome.err) == (0, "")
    model = MLPClassifier.load_from_checkpoint(trained / "best.ckpt", weights_only=True).eval()
    images, _ = DigitsDataModule().load(train=False)[:12]
    with torch.inference_mode():
        probabilities = model(DigitsDataModule().normalise(images)).softmax(1)
    table = predictions(trained)
    assert [row["file"] for row in table] == list(digits)
    for row, expected, line in zip(table, probabilities, outcome.out.splitlines(), strict=False):
        values, classes = expected.topk(3)
        assert [row[f"class_{rank}"] for rank in (1, 2, 3)] == [str(label) for label in classes.tolist()]
        assert [float(row[f"probability_{rank}"]) for rank in (1, 2, 3)] == pytest.approx(values.tolist(), abs=1e-5)
        assert line.split() == [row["file"], *f"{classes[0]} {values[0]:.4f}".split(), *line.split()[3:]]
    right = sum(row["class_1"] == str(label) for row, label in zip(table, digits.values(), strict=True))
    assert right >= 9


def test_mode_and_size_are_adapted(arc: Command, trained: Path, digits: dict[str, int]) -> None:
    """A digit in colour, enlarged without smoothing, is the same digit."""
    with Image.open("digits/00.png") as image:
        image.convert("RGB").resize((64, 64), Image.Resampling.NEAREST).save("large.png")
    for path in ("digits/00.png", "large.png"):
        assert arc("predict", "--run", trained, "--input", path).status == 0
        (row,) = predictions(trained)
        assert row["class_1"] == str(digits["digits/00.png"])


@pytest.mark.parametrize(("top", "columns"), [(1, 1), (5, 5), (99, 10)])
def test_top_says_how_many_classes(arc: Command, trained: Path, digits: dict[str, int], top: int, columns: int) -> None:
    assert arc("predict", "--run", trained, "--input", next(iter(digits)), "--top", top).status == 0
    (row,) = predictions(trained)
    assert len(row) == 1 + 2 * columns
    values = [float(row[f"probability_{rank}"]) for rank in range(1, columns + 1)]
    assert values == sorted(values, reverse=True)
    assert sum(values) <= 1 + 1e-5


def test_images_are_found_in_folders_of_folders(arc: Command, trained: Path) -> None:
    for name in ("a/1.png", "a/b/2.JPG", "3.webp"):
        write_image(Path("in", name))
    Path("in/notes.txt").write_text("no image")
    assert arc("predict", "--run", trained, "--input", "in").status == 0
    assert [row["file"] for row in predictions(trained)] == ["in/3.webp", "in/a/1.png", "in/a/b/2.JPG"]


def test_predictions_do_not_depend_on_their_batch(arc: Command, fit: Command, digits: dict[str, int]) -> None:
    fit("--data.batch_size=5")
    (run,) = Path("runs", "digits_mlp").iterdir()
    arc("predict", "--run", run, "--input", "digits")
    together = predictions(run)
    arc("predict", "--run", run, "--input", "digits/11.png")
    (alone,) = predictions(run)
    assert alone["class_1"] == together[11]["class_1"]
    assert float(alone["probability_1"]) == pytest.approx(float(together[11]["probability_1"]), abs=1e-5)


def test_a_users_own_classes_are_named(fit: Command, arc: Command) -> None:
    """The folder with the images may be gone: the checkpoint knows classes, mean and deviation."""
    root = write_folder(Path("images"), ["black", "red"], per_class=12)
    options = ["--model=MLPClassifier", "--data=ImageFolderDataModule", f"--data.root={root}", "--data.image_size=6"]
    whole = [f"--trainer.limit_{part}_batches=1.0" for part in ("train", "val", "test")]
    assert fit(*options, *whole, "--trainer.max_epochs=15", "--early_stopping.patience=99").status == 0
    (run,) = Path("runs", "digits_mlp").iterdir()
    root.rename("moved")
    assert arc("predict", "--run", run, "--input", "moved").status == 0
    assert all(row["class_1"] == Path(row["file"]).parent.name for row in predictions(run))


OWN = "from arc_light.models.mlp import MLPClassifier\nclass Mine(MLPClassifier): pass"


def test_a_users_own_model_is_found_again(
    arc: Command, fit: Command, own: Callable[[str], str], digits: dict[str, int]
) -> None:
    assert fit(f"--model={own(OWN)}").status == 0
    del sys.modules["own"]
    assert arc("predict", "--input", "digits").status == 0


@pytest.mark.slow
def test_a_network_by_name_is_built_again(arc: Command, fit: Command, digits: dict[str, int]) -> None:
    network = ["--model=NetworkClassifier", "--model.network=torchvision.models.mobilenet_v3_small"]
    assert fit(*network, "--model.network_args={width_mult: 0.1}").status == 0
    assert arc("predict", "--input", next(iter(digits))).status == 0


def test_rows_and_arrays_are_predicted_like_their_images(arc: Command, trained: Path, digits: dict[str, int]) -> None:
    assert arc("predict", "--run", trained, "--input", "digits").status == 0
    expected = [row["probability_1"] for row in predictions(trained)]
    images = DigitsDataModule().load(train=False)[:12][0].numpy()
    np.save("some.npy", images)
    np.savetxt("some.csv", images.reshape(12, -1), "%d", ",", header=",".join("p" * 64), comments="")
    torch.save(torch.from_numpy(images), "some.pt")
    for name in ("some.npy", "some.csv", "some.pt"):
        outcome = arc("predict", "--run", trained, "--input", name)
        assert "predictions.csv in place of the earlier one" in outcome.out
        assert [row["file"] for row in predictions(trained)] == [f"{name}[{i}]" for i in range(12)]
        assert [float(row["probability_1"]) for row in predictions(trained)] == pytest.approx([*map(float, expected)])


def test_only_a_tensor_is_read_from_a_file_of_torch(arc: Command, trained: Path) -> None:
    bad = {"dictionary": {"x": torch.ones(1)}, "code": print, "swelling": torch.zeros(1).expand(1, 8, 80000)}
    Path("bad").mkdir()
    for name, content in bad.items():
        torch.save(content, f"bad/{name}.pt")
    outcome = arc("predict", "--run", trained, "--input", "bad")
    assert outcome.status == 2
    *listed, last = outcome.err.splitlines()
    assert [line.partition(":")[0] for line in listed] == [f"bad/{name}.pt" for name in sorted(bad)]
    assert all("expected an array (.npy), a tensor (.pt) or rows (.csv)" in line for line in listed)
    assert "3 files are not readable" in last


TABLE = """
import torch
from torch import nn
from torch.nn import functional as F
from lamphouse.data import Samples, TensorDataModule
from lamphouse.task import Task
class Data(TensorDataModule):
    input_shape = (4,)
    def load(self, train):
        x = torch.rand(40, 4)
        return Samples(x, x @ torch.arange(4.0))
class Mine(Task):
    def __init__(self, input_shape, **kwargs):
        super().__init__(**kwargs)
        self.network = nn.Linear(*input_shape, 2)
    def loss(self, batch):
        outputs = self(batch[0])
        return F.mse_loss(outputs[:, 0], batch[1]), outputs
"""
PARTS, LEAST = ("best_checkpoint", "early_stopping"), ("monitor=val/loss", "mode=min")
LOSS = [f"--{part}.{option}" for part in PARTS for option in LEAST]


def test_rows_of_a_table_have_outputs(arc: Command, fit: Command, own: Callable[[str], str]) -> None:
    assert fit(f"--model={own(TABLE)}", "--data=own.Data", *LOSS).status == 0
    Path("rows.csv").write_text("a,b,c,d\n0,0,0,0\n1,2,3,4\n")
    assert arc("predict", "--input", "rows.csv", "--output", "out.csv").status == 0
    with Path("out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    network = torch.load(next(Path("runs").rglob("best.ckpt")), weights_only=True)["state_dict"]
    expected = torch.tensor([[0.0] * 4, [1.0, 2.0, 3.0, 4.0]]) @ network["network.weight"].T + network["network.bias"]
    assert [row["file"] for row in rows] == ["rows.csv[0]", "rows.csv[1]"]
    found = [[float(row[f"output_{i}"]) for i in (1, 2)] for row in rows]
    assert torch.tensor(found).allclose(expected, atol=1e-5)
    np.save("rows.npy", [[0.0] * 4, [1.0, 2.0, 3.0, 4.0]])  # float64
    assert arc("predict", "--input", "rows.npy", "--output", "again.csv").status == 0
    assert Path("again.csv").read_text().replace(".npy", ".csv") == Path("out.csv").read_text()
    Path("rows.csv").write_text("0,0,0\n")
    outcome = arc("predict", "--input", "rows.csv", "--output", "out.csv")
    assert outcome.status == 2
    assert "rows.csv: numbers of shape [1, 3]: expected [1, 4]" in outcome.err


ANSWERS = (
    TABLE
    + """
    def respond(self, given, data, times: int = 2, mark: str = "!"):
        return (given + mark) * times + f"\\n{int(self.network.weight.isfinite().all())} {data.input_shape}"
"""
)


def test_a_text_is_answered_as_the_model_says(arc: Command, fit: Command, own: Callable[[str], str]) -> None:
    assert fit(f"--model={own(ANSWERS)}", "--data=own.Data", *LOSS).status == 0
    (run,) = Path("runs", "digits_mlp").iterdir()
    outcome = arc("predict", "--input", "no file", "--times", 3)
    assert outcome.out.startswith("no file!no file!no file!\n1 (4,)\n1 predicted in")
    Path("texts.txt").write_text("one,\n\ntwo\n")
    assert arc("predict", "--input", "texts.txt", "--mark=").status == 0
    answers = {"one,": "one,one,\n1 (4,)", "two": "twotwo\n1 (4,)"}
    assert predictions(run) == [{"input": text, "output": answer} for text, answer in answers.items()]
    for options, error in (
        (["--tmes", 3], "no such option: --tmes 3; did you mean --times?; Mine has --times, --mark"),
        (["--times", "x"], "--times x: expected int; Mine has --times, --mark"),
        (["--top", 3], "--top: applies to samples only, and Mine takes texts"),
        (["--checkpoint", "best", "last", "--output", "a.csv"], "--run: texts are answered by one model"),
    ):
        outcome = arc("predict", "--input", "a", *options)
        assert (outcome.status, outcome.err.count("\n")) == (2, 1)
        assert error in outcome.err


def test_what_can_be_read_is_predicted_and_the_rest_is_listed(
    arc: Command, trained: Path, digits: dict[str, int]
) -> None:
    Path("digits/00.png").rename("digits/\udcff.png")
    for name in ("bad1.png", "bad2.png"):
        Path("digits", name).write_bytes(b"junk")
    outcome = arc("predict", "--run", trained, "--input", "digits")
    assert (outcome.status, outcome.err.count("not a readable image")) == (2, 2)
    assert "2 files are not readable, listed above: the others were predicted" in outcome.err
    assert sorted(row["file"] for row in predictions(trained)) == [*[*digits][1:], "digits/\\xff.png"]
    assert "digits/\\xff.png   " in outcome.out
    skipped = arc("predict", "--run", trained, "--input", "digits", "--skip_unreadable", "true")
    assert (skipped.status, skipped.err.count("not a readable image"), len(predictions(trained))) == (0, 2, 12)
    assert "note: skipped 2 of 14 files, listed above" in skipped.err


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", pytest.param(".parquet", marks=pytest.mark.slow)])
def test_the_suffix_chooses_the_format_and_every_class_has_its_column(
    arc: Command, trained: Path, digits: dict[str, int], suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow.parquet", reason="needs pyarrow: make extra EXTRA=parquet")
    monkeypatch.setattr("lamphouse.runs.tables.ROWS_AT_ONCE", 5)
    file = Path(f"table{suffix}")
    options = ["--data.batch_size", 5, "--probabilities", "--output", file]
    outcome = arc("predict", "--run", trained, "--input", "digits", *options)
    assert (outcome.status, outcome.err) == (0, "")
    assert "12 predicted in " in outcome.out
    assert arc("predict", "--run", trained, "--input", "digits", "--top", 10).status == 0
    for row, expected in zip(read_table(file), predictions(trained), strict=True):
        assert (row["file"], row["class_1"]) == (expected["file"], expected["class_1"])
        for rank in range(1, 11):
            value = float(row[f"p_{expected[f'class_{rank}']}"])
            assert value == pytest.approx(float(expected[f"probability_{rank}"]), abs=1e-6)


def read_table(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return import_module("pyarrow.parquet").read_table(path).to_pylist()
    with path.open(newline="") as file:
        return [json.loads(line) for line in file] if path.suffix == ".jsonl" else list(csv.DictReader(file))


def test_paths_come_from_standard_input(
    arc: Command, trained: Path, digits: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for text, expected in (
        ("digits/03.png\n\ndigits/01.png\n", ["digits/03.png", "digits/01.png"]),
        ("digits", [*digits]),
    ):
        monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(text.encode())))
        assert arc("predict", "--run", trained, "--input", "-").status == 0
        assert [row["file"] for row in predictions(trained)] == expected
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(b"\n")))
    assert "--input -: no path on standard input" in arc("predict", "--run", trained, "--input", "-").err


def test_several_checkpoints_predict_their_mean(
    arc: Command, trained: Path, digits: dict[str, int], own: Callable[[str], str]
) -> None:
    content = torch.load(trained / "last.ckpt", weights_only=True)
    content["state_dict"] = {name: value * 0.5 for name, value in content["state_dict"].items()}
    torch.save(content, trained / "last.ckpt")
    other = Path(shutil.copytree(trained, "other"))
    shutil.copy(other / "last.ckpt", other / "best.ckpt")
    tables = []
    for choice in (
        ["--checkpoint", "best"],
        ["--checkpoint", "last"],
        ["--checkpoint", "best", "last"],
        ["--run", other],
    ):
        options = ["--run", trained, *choice, "--input", "digits", "--probabilities", "--output", "out.csv"]
        assert arc("predict", *options).status == 0
        rows = read_table(Path("out.csv"))
        tables.append(torch.tensor([[float(row[f"p_{name}"]) for name in range(10)] for row in rows]))
    best, last, *means = tables
    assert not best.allclose(last, atol=0.05)
    assert all(mean.allclose((best + last) / 2, atol=1e-6) for mean in means)
    several = ("predict", "--run", trained, other, "--input", "digits")
    assert "--output: the mean of several models belongs to no run" in arc(*several).err
    path = own("from arc_light.data.digits import DigitsDataModule\nclass Mine(DigitsDataModule): pass")
    config = (other / "config.yaml").read_text()
    (other / "config.yaml").write_text(config.replace("arc_light.data.digits.DigitsDataModule", path))
    assert f"--run other: of other data than {trained}" in arc(*several, "--output", "out.csv").err


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--output", "out.txt"], "--output out.txt: no table is called so"),
        (["--skip_unreadable", "perhaps"], "--skip_unreadable: perhaps: expected true or false"),
        (["--trainer.accelerator", "tpux"], "--trainer.accelerator tpux: there is none here"),
    ],
)
def test_options_that_are_refused(
    arc: Command, trained: Path, digits: dict[str, int], options: list[str], error: str
) -> None:
    outcome = arc("predict", "--run", trained, "--input", "digits", *options)
    assert (outcome.status, outcome.err.count("\n")) == (2, 1)
    assert error in outcome.err
    assert not (trained / "predictions.csv").exists()


def test_files_are_read_ahead_in_order_and_not_all_at_once() -> None:
    read: list[Path] = []

    def slow(path: Path) -> torch.Tensor:
        sleep(int(path.stem) % 3 / 2000)
        read.append(path)
        return torch.tensor([int(path.stem)])

    samples = read_each(slow, [Path(f"{i}.png") for i in range(2000)])
    assert [int(next(samples)) for _ in range(3)] == [0, 1, 2]
    assert len(read) < 600
    assert [int(one) for one in samples] == [*range(3, 2000)]


@pytest.mark.parametrize("module", ["gone", "antigravity"])
def test_a_model_that_cannot_be_imported(arc: Command, trained: Path, digits: dict[str, int], module: str) -> None:
    text = (trained / "config.yaml").read_text()
    (trained / "config.yaml").write_text(text.replace("arc_light.models", module))
    outcome = arc("predict", "--run", trained, "--input", "digits")
    assert outcome.status == 2
    refused = {
        "gone": "gone.mlp: there is no module gone: correct the name, or install it\n",
        "antigravity": f"{trained / 'config.yaml'}: has no model of a class: give another run\n",
    }
    assert outcome.err == f"arc_light predict: {refused[module]}"
    assert "antigravity" not in sys.modules


def test_no_input_is_no_folder(arc: Command, trained: Path) -> None:
    outcome = arc("predict", "--run", trained, "--input", "")
    assert outcome.status == 2
    assert "--input: name a file, or a folder of them" in outcome.err


def test_no_class_is_built_that_only_the_checkpoint_names(
    arc: Command, trained: Path, digits: dict[str, int], own: Callable[[str], str]
) -> None:
    path = own("open('mark', 'w').close()\nfrom arc_light.models.mlp import MLPClassifier\nMine = MLPClassifier\n")
    checkpoint = torch.load(trained / "best.ckpt", weights_only=True)
    for name in ("hyper_parameters", "datamodule_hyper_parameters"):
        checkpoint[name] |= {"_class_path": path, "augment": [{"class_path": path}]}
    torch.save(checkpoint, trained / "best.ckpt")
    for command in (["predict", "--input", "digits"], ["evaluate"], ["resume", "--trainer.max_epochs=3"]):
        assert arc(command[0], "--run", trained, *command[1:]).status == 0
    assert not Path("mark").exists()


def test_pictures_are_files_beside_the_table(arc: Command, fit: Command) -> None:
    assert fit("--data.scenes=20", "--model.width=8", experiment="scenes_unet").status == 0
    (run,) = Path("runs", "scenes_unet").iterdir()
    for name in ("in/a/1.png", "in/b/1.jpg", "in/b/1.png"):
        write_image(Path(name))
    outcome = arc("predict", "--run", run, "--input", "in")
    assert (outcome.status, outcome.err) == (0, "")
    pictures = [run / "predictions" / name for name in ("a/1.png", "b/1.png", "b/1.png.png")]
    assert [row["picture"] for row in predictions(run)] == [str(path) for path in pictures]
    with Image.open(pictures[0]) as mask:
        assert (mask.mode, mask.size) == ("P", (64, 64))
        assert np.array(mask).max() < 11
