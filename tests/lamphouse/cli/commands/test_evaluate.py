"""`evaluate`: a run's directory is enough."""

import csv
import errno
import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Outcome
from PIL import Image

from lamphouse.checkpoints import load_checkpoint
from arc_light.classification import Classifier
from arc_light.data.digits import DigitsDataModule
from arc_light.models.mlp import MLPClassifier

Command = Callable[..., Outcome]


def as_measured(run: Path) -> tuple[str, str]:
    with (run / "metrics.csv").open(newline="") as file:
        *_, test = csv.DictReader(file)
    return f"{float(test['test/loss']):.4f}", f"{float(test['test/acc']):.4f}"


def table(outcome: Outcome) -> dict[str, tuple[str, ...]]:
    return {line.split()[0]: tuple(line.split()[1:]) for line in outcome.out.splitlines() if line.strip()}


def test_measures_what_fit_measured(arc: Command, trained: Path) -> None:
    before = {path: path.read_bytes() for path in trained.iterdir()}
    outcome = arc("evaluate", "--run", trained, "--trainer.profiler=pytorch")
    assert (outcome.status, outcome.err) == (0, "")
    assert not list(Path().glob("*.json"))  # traces
    assert table(outcome)["test"] == (*as_measured(trained), "359", "images")
    best = load_checkpoint(trained / "best.ckpt")
    assert table(outcome)["run"] == (str(trained),)
    assert table(outcome)["checkpoint"] == (
        "best.ckpt,",
        "epoch",
        f"{best['epoch']},",
        f"{best['global_step']}",
        "steps",
    )
    result = trained / "evaluation.json"
    assert {path: path.read_bytes() for path in trained.iterdir() if path != result} == before
    measured = json.loads(result.read_text())["best.ckpt"]
    assert measured["samples"] == {"val": 143, "test": 359}
    assert f"{measured['metrics']['test/acc']:.4f}" == as_measured(trained)[1]
    matrix, classes = measured["confusion"]["test"], measured["classes"]["test"]
    assert sum(matrix[i][i] for i in range(10)) / 359 == pytest.approx(measured["metrics"]["test/acc"])
    for i, found in enumerate(classes):
        assert (found["name"], found["count"]) == (str(i), sum(matrix[i]))
        assert found["accuracy"] == matrix[i][i] / sum(matrix[i])
        assert found["precision"] == matrix[i][i] / sum(row[i] for row in matrix)
        assert f"{found['f1']:.4f}" in next(line for line in outcome.out.splitlines() if line.startswith(f"{i}  "))
        assert [count or "." for count in matrix[i]] == [
            "." if cell == "." else int(cell)
            for cell in outcome.out.split("prediction\n")[1].splitlines()[i + 1].split()[1:]
        ]


def test_each_checkpoint_keeps_its_results_and_a_part_of_the_data_is_named(arc: Command, trained: Path) -> None:
    arc("evaluate", "--run", trained, "--checkpoint=last")
    outcome = arc("evaluate", "--run", trained, "--trainer.limit_test_batches=2")
    assert table(outcome)["test"][-4:] == ("256", "of", "359", "images")
    results = json.loads((trained / "evaluation.json").read_text())
    assert {name: result["options"] for name, result in results.items()} == {
        "last.ckpt": [],
        "best.ckpt": ["--trainer.limit_test_batches=2"],
    }


def test_a_run_that_cannot_be_written_to_is_measured(
    arc: Command, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("lamphouse.cli.commands.evaluate.write_whole", refuse)
    outcome = arc("evaluate", "--run", trained)
    assert (outcome.status, outcome.err.count("\n")) == (0, 1)
    assert "evaluation.json: not written: Read-only" in outcome.err


@pytest.mark.parametrize("where", [[], ["--run=runs/digits_mlp"], ["--run=runs"]])
def test_the_newest_run_is_the_default(arc: Command, trained: Path, where: list[str]) -> None:
    shutil.copytree(trained, trained.with_name("20000101-000000-aaaaaa"))
    (trained.with_name("20000101-000000-aaaaaa") / "best.ckpt").unlink()  # were it taken, it would fail
    assert table(arc("evaluate", *where))["test"][:2] == as_measured(trained)


def test_a_moved_run_is_enough(arc: Command, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = as_measured(trained)
    Path("elsewhere").mkdir()
    shutil.move(trained, Path("elsewhere", "my run"))
    monkeypatch.chdir("elsewhere")
    assert table(arc("evaluate", "--run", "my run"))["test"][:2] == expected


@pytest.mark.parametrize("checkpoint", ["best", "last", "mine.ckpt", "epoch=1.ckpt"])
def test_any_checkpoint(arc: Command, trained: Path, checkpoint: str) -> None:
    (trained / "checkpoints").mkdir()
    for copy in ("mine.ckpt", trained / "checkpoints" / "epoch=1.ckpt"):
        shutil.copy(trained / "best.ckpt", copy)
    assert arc("evaluate", "--run", trained, "--checkpoint", checkpoint).status == 0
    none = arc("predict", "--run", trained, "--checkpoint", "epoch=7.ckpt", "--input", "mine.ckpt")
    assert (none.status, none.err.count("\n")) == (2, 1)
    assert "--checkpoint epoch=7.ckpt: no such file; there are best, last, epoch=1.ckpt" in none.err


def test_options_of_the_experiment_can_be_given(arc: Command, trained: Path) -> None:
    outcome = arc("evaluate", "--run", trained, "--data.batch_size=7", "--trainer.accelerator=cpu")
    assert table(outcome)["test"][1] == as_measured(trained)[1]


def test_a_signal_stops_it_in_one_line(arc: Command, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loss = Classifier.loss

    def terminated(model: Classifier, batch: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return loss(model, batch)

    monkeypatch.setattr(Classifier, "loss", terminated)
    outcome = arc("evaluate", "--run", trained)
    assert (outcome.status, outcome.err) == (75, "arc_light evaluate: stopped by SIGTERM\n")


@pytest.mark.slow
def test_other_data_is_normalized_like_the_runs_and_measured_whole(arc: Command, trained: Path) -> None:
    images, labels = DigitsDataModule().load(train=False)[:200]
    for i, (image, label) in enumerate(zip(images.byte(), labels.tolist(), strict=True)):
        Path("digits", str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0].numpy() // 2).save(f"digits/{label}/{i}.png")  # darker, with another mean
    folder = ["--data=ImageFolderDataModule", "--data.root=digits"]
    evaluate = ("evaluate", "--run", trained, *folder)
    assert "its model takes inputs [1, 8, 8], the data has [3, 64, 64]: --data.image_size N" in arc(*evaluate).err
    outcome = arc(*evaluate, "--data.image_size=8", "--data.channels=1")
    assert (outcome.status, outcome.err) == (0, "")
    model = MLPClassifier.load_from_checkpoint(trained / "best.ckpt", weights_only=True).eval()
    right = (model(DigitsDataModule().normalise(images // 2)).argmax(1) == labels).float().mean()
    assert table(outcome)["test"] == (table(outcome)["test"][0], f"{right:.4f}", "200", "images")
    assert "validation" not in table(outcome)
    (name,) = json.loads((trained / "evaluation.json").read_text())
    assert name.startswith("best.ckpt with --data=ImageFolderDataModule")
    Path("digits/3").rename("digits/three")
    other = arc(*evaluate, "--data.image_size=8", "--data.channels=1")
    assert "--data: other classes, '4' instead of '3'" in other.err
    shutil.rmtree("digits/three")
    fewer = arc(*evaluate, "--data.image_size=8", "--data.channels=1")
    assert "its model knows 10 classes, the data has 9: give data of the same classes" in fewer.err


def test_the_mean_of_several_models(arc: Command, trained: Path) -> None:
    run, names = Path(shutil.copytree(trained, "run")), ("best.ckpt", "other.ckpt")
    content = load_checkpoint(run / "best.ckpt")
    torch.save(
        {**content, "state_dict": {key: 2 * value for key, value in content["state_dict"].items()}}, run / names[1]
    )
    best, other = (arc("evaluate", "--run", run, "--checkpoint", run / name) for name in names)
    same, mean = (arc("evaluate", "--run", run, "--ensemble", run / name) for name in names)
    assert table(same)["test"] == table(best)["test"]
    losses = [float(table(outcome)["test"][0]) for outcome in (best, other, mean)]
    assert losses[2] not in losses[:2]
    assert losses[2] < sum(losses[:2]) / 2  # the logarithm is concave
    assert f"best.ckpt with --ensemble {run}/other.ckpt" in json.loads((run / "evaluation.json").read_text())
    wrong = arc("evaluate", "--run", run, "--ensemble", "nowhere")
    assert (wrong.status, wrong.err.count("\n")) == (2, 1)
