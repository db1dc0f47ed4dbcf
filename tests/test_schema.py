"""configs/schema.json: what editors are told about YAML files is true."""

import json
import subprocess
import sys
from typing import Any

import pytest
import yaml
from conftest import CONFIGS, ROOT

FILES = sorted([*CONFIGS.glob("*.yaml"), *CONFIGS.glob("debug/*.yaml")])
WRONG = [
    "trainer: {max_epoch: 3}",
    "trainer: {max_epochs: many}",
    "model: {class_path: MLPClassifier, init_args: {hiden_sizes: [8]}}",
    "model: {class_path: MLPClassifier, init_args: {optimizer: {class_path: Adam, init_args: {lrr: 0.1}}}}",
    "model: {class_path: MLPClassifier, options: {}}",
    "data: {class_path: arc_light.data.digits.DigitsDataModule, init_args: {batch_size: large}}",
    "data: {class_path: DigitsDataModule, init_args: {augment: [{class_path: RandomCrop, init_args: {pad: 1}}]}}",
    "seed: 3",
]
RIGHT = [
    "trainer: {callbacks+: [my.Callback], max_time: '00:01:00:00', limit_train_batches: 0.5}",
    "model: {class_path: my.Model, init_args: {anything: 1}}",
    "model: {init_args: {optimizer: SGD, lr_scheduler: null}}",
    "model: {class_path: MLPClassifier, init_args: {optimizer: {class_path: AdamW, init_args: {lr: 1e-3}}}}",
]


@pytest.fixture(scope="module")
def validator() -> Any:
    jsonschema = pytest.importorskip("jsonschema", reason="needs jsonschema, of the group test")
    schema = json.loads((CONFIGS / "schema.json").read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_names_the_schema_and_fits_it(path: Any, validator: Any) -> None:
    text = path.read_text()
    name = text.partition("\n")[0].removeprefix("# yaml-language-server: $schema=")
    assert (path.parent / name).resolve() == CONFIGS / "schema.json"
    assert [error.message for error in validator.iter_errors(yaml.safe_load(text))] == []


def test_what_is_wrong_is_told_from_what_is_right(validator: Any) -> None:
    assert [text for text in WRONG if validator.is_valid(yaml.safe_load(text))] == []
    assert [text for text in RIGHT if not validator.is_valid(yaml.safe_load(text))] == []


@pytest.mark.slow
def test_it_is_what_the_command_prints() -> None:
    command = [sys.executable, "-m", "arc_light", "fit", "--print_schema"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == (CONFIGS / "schema.json").read_text(), "make schema writes it anew"


def test_the_files_of_editors_name_what_exists() -> None:
    read = {
        path.name: json.loads(path.read_text())
        for folder in (".vscode", ".devcontainer")
        for path in (ROOT / folder).iterdir()
    }
    extensions = read["devcontainer.json"]["customizations"]["vscode"]["extensions"]
    assert extensions == read["extensions.json"]["recommendations"]
    train, test = read["launch.json"]["configurations"]
    assert (train["module"], test["module"]) == ("arc_light", "pytest")
    assert all((ROOT / value).exists() for value in train["args"] if value.startswith("configs/"))
    assert "\nsetup:" in (ROOT / "Makefile").read_text()
