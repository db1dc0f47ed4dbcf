"""Exported models compute what the model computes, and what cannot be exported is one line."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import Outcome
from torch import Tensor, nn

from lamphouse.checkpoints import load_checkpoint
from lamphouse.cli.commands.export import deployed_model
from lamphouse.errors import InputError
from lamphouse.export import Deployed, export, largest_difference
from lamphouse.runs.directory import find_run
from arc_light.data.digits import DigitsDataModule
from arc_light.models.mlp import MLPClassifier

onnxruntime = pytest.importorskip("onnxruntime", reason="make extra EXTRA=export installs what is tested here")
safetensors = pytest.importorskip("safetensors.torch", reason="make extra EXTRA=export installs what is tested here")
Command = Callable[..., Outcome]
INPUTS = torch.randint(256, (64, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def network(classes: int = 4) -> nn.Module:
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, classes)]
    return nn.Sequential(*layers)


def expected_of(run: Path) -> tuple[Tensor, Tensor]:
    """Return test images, and the probabilities that the run's best weights give."""
    data = DigitsDataModule()
    data.setup("test")
    model = MLPClassifier((256, 256), input_shape=data.input_shape, num_classes=10).eval()
    model.load_state_dict(load_checkpoint(run / "best.ckpt")["state_dict"])
    images = data.parts["test"][:5][0]
    return images, model(data.normalise(images)).softmax(1).detach()


def test_onnx_takes_bytes_and_names_classes(arc: Command, trained: Path) -> None:
    outcome = arc("export", "--run", trained)
    assert (outcome.status, outcome.err) == (0, "")
    assert "probabilities differ by at most" in outcome.out
    images, expected = expected_of(trained)
    session = onnxruntime.InferenceSession(trained / "export" / "model.onnx")
    probabilities, labels = session.run(None, {"inputs": images.numpy()})
    assert torch.allclose(torch.from_numpy(probabilities), expected, atol=1e-6)
    assert list(labels) == [str(index) for index in expected.argmax(1).tolist()]


def test_a_program_has_its_classes_beside_it(arc: Command, trained: Path) -> None:
    assert arc("export", "--run", trained, "--format=pt2", "--output=out").status == 0
    images, expected = expected_of(trained)
    beside = {"classes.json": ""}
    program = torch.export.load("out/model.pt2", extra_files=beside)
    assert torch.equal(program.module()(images), expected)
    assert json.loads(beside["classes.json"]) == [str(digit) for digit in range(10)]


def test_weights_have_a_card_whose_code_loads_them(
    arc: Command, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert arc("export", "--run", trained, "--format=safetensors", "--output=hub").status == 0
    assert arc("export", "--run", trained, "--format=safetensors").status == 0
    assert find_run(trained.parent).path == trained, "what was exported is no run"
    card = Path("hub", "README.md").read_text()
    assert "license: mit" in card
    assert "pipeline_tag: image-classification" in card
    names: dict[str, Any] = {}
    monkeypatch.chdir("hub")
    exec(card.split("```python\n")[1].split("```")[0], names)  # noqa: S102  # what a reader would run
    assert torch.equal(names["model"].network[1].weight, safetensors.load_file("model.safetensors")["network.1.weight"])
    assert "MLPClassifier" in Path("config.yaml").read_text()


@pytest.mark.parametrize("file_format", ["pt2", "safetensors", pytest.param("onnx", marks=pytest.mark.slow)])
@pytest.mark.parametrize("classes", [(), ("a", "b", "c", "d")], ids=["outputs", "classes"])
def test_any_module_is_exported(file_format: str, classes: tuple[str, ...]) -> None:
    deployed = Deployed(network(), lambda images: images.float() / 255, classes)
    content, difference = export(file_format, deployed, INPUTS)
    assert content
    assert difference <= 1e-6


class Undecided(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs if inputs.float().sum() > 0 else -inputs


class Random(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return torch.rand_like(inputs, dtype=torch.float)


def test_what_cannot_be_exported_is_one_line() -> None:
    with pytest.raises(InputError, match=r"^--format pt2: Undecided cannot be exported: [^\n]+: try another format"):
        export("pt2", Deployed(Undecided()), INPUTS)


def test_what_computes_something_else_is_refused() -> None:
    with pytest.raises(InputError, match=r"^--format pt2: the exported model differs from the checkpoint by \d"):
        export("pt2", Deployed(Random()), INPUTS)


def test_the_difference_is_over_several_batch_sizes() -> None:
    deployed = Deployed(nn.Identity())
    assert largest_difference(deployed, lambda batch: batch + 6 * (len(batch) == 7), torch.zeros(64, 1)) == 6.0


@pytest.mark.parametrize(("outputs", "softmax", "expected"), [(10, False, True), (10, True, True), (3, False, False)])
def test_classes_are_of_models_that_classify(outputs: int, softmax: bool, expected: bool) -> None:
    layers = [nn.Flatten(), nn.Linear(64, outputs), *([nn.Softmax(1)] if softmax else [])]
    experiment: Any = SimpleNamespace(model=nn.Sequential(*layers), datamodule=DigitsDataModule())
    inputs = torch.randint(256, (5, 1, 8, 8), dtype=torch.uint8)
    deployed = deployed_model(experiment, inputs)
    logits = nn.Sequential(*layers)(experiment.datamodule.normalise(inputs))
    assert bool(deployed.classes) is expected
    assert torch.allclose(deployed(inputs), logits.softmax(1) if expected and not softmax else logits)


def test_nothing_is_written_through_a_link(arc: Command, trained: Path) -> None:
    elsewhere = Path("elsewhere")
    elsewhere.mkdir()
    (trained / "export").symlink_to(elsewhere.resolve())
    outcome = arc("export", "--run", trained, "--format=safetensors")
    assert (outcome.status, list(elsewhere.iterdir())) == (2, [])
    assert "a link that leads out of the run's directory: remove it" in outcome.err


def test_a_second_export_says_so_and_a_directory_that_cannot_be_made_is_one_line(arc: Command, trained: Path) -> None:
    command = ("export", "--run", trained, "--format", "safetensors", "--output")
    assert "in place" not in arc(*command, "out").out
    assert "out/model.safetensors in place of the earlier one: " in arc(*command, "out").out
    Path("file").touch()
    outcome = arc(*command, "file/below")
    assert outcome.err == "arc_light export: --output file/below: Not a directory: choose another directory\n"


@pytest.mark.slow
def test_without_a_test_part_the_validation_is_exported_on(arc: Command, fit: Command) -> None:
    fit(experiment="shakespeare_gpt")
    outcome = arc("export", "--format=safetensors")
    assert outcome.status == 0
    assert "outputs differ by at most 0.0e+00 from the checkpoint's on 64 validation samples" in outcome.out


def test_missing_packages_are_one_line(arc: Command, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    outcome = arc("export", "--run", trained)
    assert outcome.status == 2
    assert "--format onnx: needs packages that are not installed" in outcome.err
    assert "make extra EXTRA=export" in outcome.err
    assert not (trained / "export").exists()


def test_a_hub_gets_what_it_needs_and_nothing_else(
    arc: Command, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hub:
        def create_repo(self, name: str, exist_ok: bool) -> None:
            assert (name, exist_ok) == ("me/digits", True)

        def upload_folder(self, repo_id: str, folder_path: Path, allow_patterns: list[str]) -> Any:
            assert {path.name for path in folder_path.iterdir()} >= {*allow_patterns} >= {"README.md"}
            return SimpleNamespace(repo_url=f"https://hub/{repo_id}")

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(HfApi=Hub))  # an optional package
    outcome = arc("export", "--run", trained, "--format=safetensors", "--push_to=me/digits")
    assert outcome.out.endswith("https://hub/me/digits\n")
    outcome = arc("export", "--run", trained, "--push_to=me/digits")
    assert outcome.status == 2
    assert "--push_to me/digits: hubs take weights: use --format safetensors" in outcome.err
