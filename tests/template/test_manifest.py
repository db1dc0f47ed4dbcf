"""The manifest and this repository fit each other."""

import re
from pathlib import Path

import pytest
import yaml
from projects import OURS, PAIRS, ROOT, answers, label

from arc_light_scaffold.errors import TemplateError
from arc_light_scaffold.fences import MARK
from arc_light_scaffold.manifest import Manifest, derived, matches
from arc_light_scaffold.tracked import tracked_files

MANIFEST = Manifest.read(ROOT)
TRACKED = tracked_files(ROOT)
GENERATED = [path for path in TRACKED if "template" not in MANIFEST.parts(path)]


def test_every_file_is_either_the_projects_or_the_templates() -> None:
    unknown = [path for path in TRACKED if len(MANIFEST.parts(path) & {"project", "template"}) != 1]
    assert unknown == [], "say in manifest.yaml what they belong to"


def test_every_pattern_matches_a_file() -> None:
    lists = [MANIFEST.data[name] for name in ("project", "unchanged", "executable")]
    patterns = [pattern for patterns in [*lists, *MANIFEST.data["parts"].values()] for pattern in patterns]
    assert [pattern for pattern in patterns if not any(matches([pattern], path) for path in TRACKED)] == []


def test_everything_leaves_out_the_template_only() -> None:
    assert MANIFEST.left_out(answers()) == {"template"}
    assert set(MANIFEST.data["parts"]) == {part for rule in MANIFEST.data["without"] for part in rule["parts"]}


def test_every_fence_is_for_a_part() -> None:
    texts = [(ROOT / path).read_text() for path in GENERATED if b"\0" not in (ROOT / path).read_bytes()]
    parts = {part for text in texts for mark in MARK.finditer(text) for part in mark["parts"].split(",")}
    assert parts <= set(MANIFEST.data["parts"])


def test_sources_have_no_fences() -> None:
    sources = [path for path in GENERATED if path.endswith(".py")]
    assert [path for path in sources if MARK.search((ROOT / path).read_text())] == []


def test_every_answer_that_a_rule_names_exists() -> None:
    asked = yaml.safe_load((ROOT / "cookiecutter.json").read_text())
    for rule in [rule for section in ("without", "edits") for rule in MANIFEST.data[section]]:
        for name, values in rule.get("when", {}).items():
            assert set(values) <= set(asked[name])


def test_names_are_spelled_in_known_ways_only() -> None:
    known = set(MANIFEST.data["names"])
    for path in GENERATED:
        content = (ROOT / path).read_bytes()
        found = re.findall(r"arc[\W_]*light", "" if b"\0" in content else content.decode(), re.I)
        assert set(found) <= known, path


def test_edit_that_finds_nothing_is_an_error() -> None:
    manifest = Manifest({"edits": [{"files": ["Makefile"], "spell": {"nothing like this": ""}}]})
    with pytest.raises(TemplateError, match="Makefile: 'nothing like this' is not there"):
        manifest.check_edits({"Makefile": "all:\n", "README.md": "nothing like this"}, answers())


@pytest.mark.parametrize("choices", PAIRS, ids=label)
def test_what_answers_leave_out(choices: dict[str, str]) -> None:
    start, logger, parts = choices["starting_point"], choices["logger"], MANIFEST.left_out({**OURS, **choices})
    assert ("loops" in parts) == (choices["loops"] == "no")
    starts = {"mnist": "mnist_mlp", "cifar10": "cifar10_resnet", "folder": "image_folder"}
    assert {part for part in starts if part in parts} == {
        part for part in starts if start not in ("everything", starts[part])
    }
    others = {"scenes_unet", "shakespeare_gpt"}
    assert ("resnet" in parts) == (start in {"mnist_mlp", *others})
    assert ("mlp" in parts) == (start in {"cifar10_resnet", "image_folder", *others})
    assert ("speedrun" in parts) == (start in {"mnist_mlp", "image_folder", *others})
    assert ("classification" in parts) == (start in others)
    assert ("segmentation" in parts) == (start not in {"everything", "scenes_unet"})
    assert ("language" in parts) == (start not in {"everything", "shakespeare_gpt"})
    assert ("digits" in parts) == (start == "shakespeare_gpt")
    assert logger not in parts
    assert ({"wandb", "tensorboard"} - {logger} <= parts) == (start != "everything")


def test_parts_of_a_file() -> None:
    assert MANIFEST.parts("configs/mnist_resnet.yaml") == {"project", "mnist", "resnet"}
    assert MANIFEST.parts("src/lamphouse/loggers/wandb.py") == {"project"}
    assert MANIFEST.parts("notes.txt") == set()


@pytest.mark.parametrize("licence", ["MIT", "proprietary"])
@pytest.mark.parametrize("email", ["", "a@b.c"])
def test_what_follows_from_answers(licence: str, email: str) -> None:
    facts = derived(answers(author="A B", licence=licence, email=email))
    assert facts["spdx"] == ("MIT" if licence == "MIT" else "LicenseRef-Proprietary")
    assert facts["author_table"] == '{ name = "A B"' + (', email = "a@b.c" }' if email else " }")


def test_files_of_an_archive_are_found_without_git(tmp_path: Path) -> None:
    for path in ("a.txt", "src/b.py", "src/__pycache__/b.pyc"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    assert tracked_files(tmp_path) == ["a.txt", "src/b.py"]
