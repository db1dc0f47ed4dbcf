"""The page of a run: right figures, one file, nothing loaded, readable on any screen."""

import csv
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from browser import browser, needs_browser
from conftest import Outcome
from PIL import Image
from torch import Tensor, nn

from lamphouse.data import ImageDataModule, Samples, TensorDataModule
from lamphouse.pages import Pictures, Predictions, confusion_figure, curve_figures, look, predict, render
from lamphouse.task import Task

Command = Callable[..., Outcome]


def last_row(run: Path) -> dict[str, str]:
    with (run / "metrics.csv").open(newline="") as file:
        return [*csv.DictReader(file)][-1]


def test_a_page_says_what_the_run_reached(arc: Command, trained: Path) -> None:
    summary = arc("evaluate", "--run", trained).out
    outcome = arc("report", "--run", trained)
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out == f"written to {trained}/report.html\n"
    page = (trained / "report.html").read_text()
    test_row = next(line.split() for line in summary.splitlines() if line.startswith("test"))
    assert all(f"<td>{value}</td>" in page for value in test_row if re.fullmatch(r"\d\.\d{4}", value))
    for text in (
        "confusion matrix",
        "calibration",
        "learning rate",
        "Most confident mistakes",
        "best epoch",
        "git checkout",
    ):
        assert text in page
    assert "<dt>model.hidden_sizes</dt><dd>[256, 256]</dd>" in page
    assert "<dt>trainer.max_epochs</dt><dd>2</dd>" in page
    assert "trainer.max_steps" not in page  # a default
    assert "model.dropout" not in page  # a default of the class
    assert page.count('alt="training sample"') == 32
    tested = f"<td>{float(last_row(trained)['test/loss']):.4f}</td>"
    assert tested in page
    arc("report", "--run", trained, "--checkpoint=last")
    other = (trained / "report.html").read_text()
    assert "best epoch" not in other  # nor the test of the best epoch
    assert tested not in other
    assert 'src="http' not in page


def test_the_old_page_stays_where_a_new_one_fails(arc: Command, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arc("report", "--run", trained)
    before = (trained / "report.html").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("lamphouse.files.os.fsync", lambda file: os.kill(os.getpid(), signal.SIGINT))
        assert arc("report", "--run", trained).status == 130
    assert (trained / "report.html").read_bytes() == before
    (trained / "metrics.csv").unlink()
    outcome = arc("report", "--run", trained)
    assert (outcome.status, outcome.err.count("\n")) == (2, 1)
    assert "no epoch yet" in outcome.err
    assert (trained / "report.html").read_bytes() == before


def test_what_follows_from_predictions() -> None:
    probabilities = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6]])
    found = Predictions(probabilities, torch.tensor([0, 1, 1, 0]), ["cat", "dog"])
    assert found.counts.tolist() == [[1, 1], [2, 2], [2, 2]]
    assert found.table() == [
        {"name": "cat", "count": 2, "accuracy": 0.5, "precision": 0.5, "f1": 0.5},
        {"name": "dog", "count": 2, "accuracy": 0.5, "precision": 0.5, "f1": 0.5},
    ]
    first, second = found.mistakes()
    assert (first["index"], first["label"], first["prediction"]) == (1, "dog", "cat")
    assert second["index"] == 3
    assert found.calibration_error == pytest.approx((0.1 + 0.8 + 0.3 + 0.6) / 4)


def test_validations_within_an_epoch_have_their_own_places() -> None:
    rows = [{"epoch": number // 2, "step": 5 * number + 4, "val/loss": number} for number in range(4)]
    ((_, figure),) = curve_figures(rows, rows[2])
    line, best = figure.axes[0].lines
    assert list(line.get_xdata()) == [-0.5, 0, 0.5, 1]
    assert best.get_xdata()[0] == 0.5


def test_any_module_predicts() -> None:
    batches = [(torch.eye(3), torch.tensor([0, 1, 2])), (torch.eye(3)[:1], torch.tensor([1]))]
    found = predict(nn.Sequential(nn.Dropout(0.9)), batches, lambda batch: batch, "abc")
    assert found.probabilities.argmax(1).tolist() == [0, 1, 2, 0]
    assert [mistake["index"] for mistake in found.mistakes()] == [3]


def test_names_are_text() -> None:
    found = Predictions(torch.eye(2), torch.tensor([0, 1]), ["<i>", "$b$"])
    figures = {"<u>": confusion_figure(found)}
    page = render(
        "<q>", "run", {"validation": {"acc": 1.0}}, {}, [], Pictures(figures, found.table(), predictions=found)
    )
    assert "<q>" not in page
    assert "<i>" not in page
    assert "&lt;q&gt;" in page
    assert "validation acc" in page
    assert "test F1, mean of classes" in page  # for it is of the test set, whatever else was measured
    assert page.count("&lt;i&gt;") == 3  # in the table and at both sides of the matrix
    assert page.count("$b$") == 3  # which is no formula


@needs_browser
@pytest.mark.slow
def test_in_a_browser_it_loads_nothing_and_fits(arc: Command, trained: Path) -> None:
    arc("report", "--run", trained)
    with browser() as page:
        colors: dict[str, Any] = {}
        for scheme in ("light", "dark"):
            for width in (390, 1280):
                page.emulate(width, scheme)
                page.open((trained / "report.html").absolute().as_uri())
                assert page.run("return innerWidth") == width
                assert page.run("return document.documentElement.scrollWidth <= innerWidth")
                assert page.run("return performance.getEntriesByType('resource').length") == 0
            colors[scheme] = page.run("return getComputedStyle(document.querySelector('h1')).color")
        assert colors["light"] != colors["dark"]
        assert page.complaints() == []


class Sums(TensorDataModule):
    """Numbers and their sums."""

    input_shape = (3,)

    def load(self, train: bool) -> Samples:
        numbers = torch.rand(40, 3, generator=torch.Generator().manual_seed(int(train)))
        return Samples(numbers, numbers.sum(1, keepdim=True))


def test_what_data_and_model_do_not_have_is_left_out() -> None:
    data = Sums()
    for stage in ("fit", "test"):
        data.setup(stage)
    pictures = look(nn.Linear(3, 1), data, torch.device("cpu"))
    assert (pictures.images(), pictures.tables()) == ({}, {})
    assert pictures.inputs.shape == (2, 3)
    page = render("sums", "run", {"test": {"loss": 0.5}}, {}, [], pictures)
    assert "confusion" not in page
    assert "training batch" not in page


class Masks(Task):
    """Draws its outputs and targets, one value for each pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Identity()

    def loss(self, batch: Any) -> tuple[Tensor, Any]:
        raise NotImplementedError

    def pictures(self, values: Tensor) -> list[Image.Image]:
        return [Image.fromarray((values[:, 0] > 0).byte().numpy()[index] * 255) for index in range(len(values))]


class Copies(ImageDataModule):
    """Images that are their own targets."""

    classes, input_shape, mean, std = ("a", "b"), (1, 6, 6), (0.5,), (0.3,)

    def load(self, train: bool) -> Samples:
        images = torch.randint(256, (30, 1, 6, 6), generator=torch.Generator().manual_seed(int(train))).byte()
        return Samples(images, images)


def test_what_a_task_draws_is_shown_beside_input_and_target() -> None:
    data = Copies()
    for stage in ("fit", "test"):
        data.setup(stage)
    pictures = look(Masks(), data, torch.device("cpu"))
    assert [caption for _, caption in pictures.outcomes] == 8 * ["input", "label", "prediction"]
    assert torch.equal(pictures.outcomes[0][0], data.parts["test"][:][0][0])
    page = render("masks", "run", {"test": {"loss": 0.5}}, {}, [], pictures)
    assert page.count('alt="prediction"') == 8
