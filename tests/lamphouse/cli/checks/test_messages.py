"""Errors of options in one line."""

from pathlib import Path

import pytest

from lamphouse.cli.checks.messages import explain_parsing, first_plain_message
from lamphouse.cli.checks.yaml_files import yaml_files
from lamphouse.errors import InputError

NESTED = """Parser key "data":
  Does not validate against any of the Union subtypes
  Errors:
    - Problem with given class_path 'arc_light.data.DigitsDataModule':
        Parser key "batch_size":
          Not of type PositiveInt: does not conform to restriction v>0
    - Expected a <class 'NoneType'>
  Given value type: <class 'jsonargparse._util.NestedArg'>
  Given value: NestedArg(key='batch_size', val='0')"""


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (NESTED, "--data.batch_size 0: expected a value >0"),
        ("unrecognized arguments: --foo 3", "no such option: --foo 3"),
        ("the following arguments are required: data, model", "missing: data, model"),
        (
            "Parser key \"trainer.max_epochs\":\n  Expected a <class 'int'>. Got value: x",
            "--trainer.max_epochs x: expected int",
        ),
        ("something\n  quite   different", "something quite different"),
    ],
)
def test_a_tree_becomes_a_line(message: str, line: str) -> None:
    assert explain_parsing(message) == line


def test_the_cause_tells_the_value() -> None:
    message = 'Parser key "seed_everything":\n  Not of type Seed: does not conform to restriction v>=0'
    cause = "Not of type Seed: -1 does not conform to restriction v>=0"
    assert explain_parsing(message, cause) == "--seed_everything -1: expected a value >=0"


def test_the_reason_is_the_first_that_is_no_tree() -> None:
    tree = ValueError("Does not validate:\n  - depth 9")
    tree.__cause__ = ValueError("depth 9 is none")
    tree.__cause__.__cause__ = OSError("deeper")
    assert first_plain_message(tree) == "depth 9 is none"


@pytest.mark.parametrize("option", ["-c", "--config"])
def test_yaml_files_are_found_among_the_options(option: str) -> None:
    Path("a.yaml").write_text("x: 1")
    Path("b.yaml").write_text("y: 2")
    found = yaml_files([option, "a.yaml", "--trainer.max_epochs", "3", f"{option}=b.yaml", "--foo"])
    assert found == {Path("a.yaml"): {"x": 1}, Path("b.yaml"): {"y": 2}}


def test_a_file_without_a_name_is_refused() -> None:
    with pytest.raises(InputError, match="expected one argument"):
        yaml_files(["--config"])
