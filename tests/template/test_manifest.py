"""The manifest and the living project fit each other."""

import re
from itertools import product
from pathlib import Path

import pytest
import yaml
from projects import COMBINATIONS, ROOT, answers

from arc_light_scaffold.errors import TemplateError
from arc_light_scaffold.fences import MARK
from arc_light_scaffold.manifest import Manifest, derived, matches
from arc_light_scaffold.tracked import tracked_files

MANIFEST = Manifest.read(ROOT)
TRACKED = tracked_files(ROOT)


@pytest.mark.parametrize("path", TRACKED)
def test_every_file_belongs_to_a_part(path: str) -> None:
    assert MANIFEST.parts(path), f"say in manifest.yaml what {path} belongs to"


def test_every_pattern_is_for_a_file() -> None:
    patterns = [*MANIFEST.data["project"], *(pattern for part in MANIFEST.data["parts"].values() for pattern in part)]
    patterns += [*MANIFEST.data["executable"], *MANIFEST.data["follow"]]
    assert [pattern for pattern in patterns if not any(matches([pattern], path) for path in TRACKED)] == []


def test_no_part_but_the_template_s_is_left_out_of_everything() -> None:
    assert MANIFEST.left_out(answers()) == {"template"}
    assert set(MANIFEST.data["parts"]) == {part for rule in MANIFEST.data["without"] for part in rule["parts"]}


def test_every_fence_is_for_a_part() -> None:
    fenced = (
        ROOT / path for path in TRACKED if "arc_light_scaffold" not in path and not path.startswith("tests/template")
    )
    texts = [path.read_text() for path in fenced if b"\0" not in path.read_bytes()]
    parts = {part for text in texts for mark in MARK.finditer(text) for part in mark["parts"].split(",")}
    assert parts <= set(MANIFEST.data["parts"])


def test_every_question_that_rules_ask_for_exists() -> None:
    asked = yaml.safe_load((ROOT / "cookiecutter.json").read_text())
    for rule in [rule for section in ("without", "stand_ins", "edits") for rule in MANIFEST.data[section]]:
        for name, values in rule.get("when", {}).items():
            assert set(values) <= set(asked[name])


def test_names_are_spelled_in_known_ways_only() -> None:
    known = set(MANIFEST.data["names"])
    files = [path for path in TRACKED if "template" not in MANIFEST.parts(path)]
    contents = [(path, (ROOT / path).read_bytes()) for path in files]
    for path, content in contents:
        found = re.findall(r"arc[\W_]*light", "" if b"\0" in content else content.decode(), re.I)
        assert set(found) <= known, path


def test_edit_that_finds_nothing_is_an_error() -> None:
    manifest = Manifest({"edits": [{"files": ["Makefile"], "spell": {"nothing like this": ""}}]})
    with pytest.raises(TemplateError, match="Makefile: 'nothing like this' is not there"):
        manifest.check("edits", {"Makefile": "all:\n", "README.md": "nothing like this"}, answers())


def test_starting_points_leave_out_what_they_say() -> None:
    left_out = {combination: MANIFEST.left_out(answers(*combination)) for combination in COMBINATIONS}
    for start, logger, loops in COMBINATIONS:
        parts = left_out[start, logger, loops]
        assert ("loops" in parts) == (loops == "no")
        assert ("resnet" in parts) == ("cifar10" in parts) == (start == "mnist_mlp")
        assert ("mlp" in parts) == ("mnist" in parts) == (start == "cifar10_resnet")
        assert logger not in parts
        assert ({"wandb", "tensorboard", "csv"} - {logger} <= parts) == (start != "everything")


def test_a_file_of_two_parts_needs_both() -> None:
    assert MANIFEST.parts("configs/mnist_resnet.yaml") == {"project", "mnist", "resnet"}
    assert MANIFEST.parts("configs/logger/csv.yaml") == {"project", "csv"}
    assert MANIFEST.parts("notes.txt") == set()


@pytest.mark.parametrize(("licence", "email"), list(product(["MIT", "proprietary"], ["", "a@b.c"])))
def test_what_follows_from_answers(licence: str, email: str) -> None:
    facts = derived(answers(package_name="leaf_counter_2", author="A B", licence=licence, email=email))
    assert facts["class_name"] == "LeafCounter2"
    assert facts["constant_name"] == "LEAF_COUNTER_2"
    assert facts["spdx"] == ("MIT" if licence == "MIT" else "LicenseRef-Proprietary")
    assert facts["author_table"] == '{ name = "A B"' + (', email = "a@b.c" }' if email else " }")


def test_files_of_an_archive_are_found_without_git(tmp_path: Path) -> None:
    for path in ("a.txt", "src/b.py", "src/__pycache__/b.pyc"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    assert tracked_files(tmp_path) == ["a.txt", "src/b.py"]
