"""Trees of every pair of answers: nothing of what is left out, nothing of the template, and clean code."""

import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from projects import CHOICES, PAIRS, ROOT, answers, label, planned, run, text_of, texts_of, written

from arc_light_scaffold.manifest import Manifest
from arc_light_scaffold.tracked import tracked_files

MANIFEST = Manifest.read(ROOT)
TEXT = re.compile(r"(\.(md|toml|ya?ml)|Makefile|run|\.gitignore)$")
WORDS = {  # by which a part is mentioned
    "mnist": "mnist",
    "cifar10": "cifar",
    "folder": "ImageFolder|folder_resnet|digits_?folder|image_folder",
    "digits": "digits_|DigitsData|data.digits|embedded digits",
    "mlp": "mlp",
    "resnet": "resnet(?!18)",
    "speedrun": "speedrun|fast_?resnet",
    "language": r"language_?model|language\.py|gpt|shakespeare",
    "classification": r"(?<!torchmetrics)\.classification\b|Classifier|make new-(?:model|data)\b",
    "segmentation": r"segment|unet|scenes|\bpets",
    "demo": "make demo",
    "loops": r"arc_light\.loops|--loop\b|LOOP=|parity|hand-?written(?! digits)",
}
LIBRARY = {"docs/parts.md", "docs/reliability.md", "AGENTS.md"}  # tell of lamphouse, which is always whole
NAMED = re.compile(r"(?<![\w/])(?:configs|docs|src|tests(?!/lamphouse|/parity_pytorch))/[\w/.-]*\.(?:yaml|md|py|npz)\b")
combination = pytest.mark.parametrize("choices", PAIRS, ids=label)


@combination
def test_lamphouse_is_whole_and_the_same(choices: dict[str, str]) -> None:
    plan = planned(**choices)
    living = {path for path in tracked_files(ROOT) if path.startswith("src/lamphouse/")}
    assert living == {path for path in plan if path.startswith("src/lamphouse/")}
    assert all(plan[path].content == (ROOT / path).read_bytes() for path in living)


@combination
def test_what_a_project_gets(choices: dict[str, str]) -> None:
    plan, package = planned(**choices), choices["package_name"]
    assert any(path.startswith(f"src/{package}/loops/") for path in plan) == (choices["loops"] == "yes")
    assert {path.split("/")[1] for path in plan if path.startswith("src/")} == {package, "lamphouse"}
    assert {path.split("/")[1] for path in plan if path.startswith("tests/")} == {package}
    assert not any(path.startswith(("benchmarks", "hooks", "cookiecutter", "CHANGELOG")) for path in plan)
    assert set(MANIFEST.data["executable"]) == {path for path, file in plan.items() if file.executable}


@combination
def test_no_word_of_what_is_left_out(choices: dict[str, str]) -> None:
    gone = MANIFEST.left_out(answers(**choices))
    words = re.compile("|".join(word for part, word in WORDS.items() if part in gone) or "$^", re.I)
    texts = {path: text for path, text in texts_of(planned(**choices)).items() if path not in LIBRARY}
    del texts["requirements.lock"], texts["pyproject.toml"]
    found = {path: sorted(set(words.findall(path + text))) for path, text in texts.items()}
    assert {path: left for path, left in found.items() if left} == {}


@combination
def test_no_word_of_the_template(choices: dict[str, str]) -> None:
    for path, text in texts_of(planned(**choices)).items():
        assert not re.search(r"arc[\W_]*light|_scaffold|cookiecutter(?! gh:)|\[/?part:", path + text, re.I), path


@combination
def test_text_files_are_tidy(choices: dict[str, str]) -> None:
    for path, text in texts_of(planned(**choices)).items():
        if TEXT.search(path):
            assert "\r" not in text
            assert not re.search(r"\n\n\n(?!    )", re.sub(r"```.*?```", "...", text, flags=re.DOTALL)), path
            assert text == text.strip("\n") + "\n", path


@combination
def test_links_and_names_lead_to_files(choices: dict[str, str]) -> None:
    plan = planned(**choices)
    for path, text in texts_of(plan).items():
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text) if path.endswith(".md") else ():
            linked = (Path("/", path).parent / target).resolve().relative_to("/").as_posix()
            assert any(name == linked or name.startswith(f"{linked}/") for name in plan), f"{path} links to {target}"
        to_be_written = re.findall(r"`([\w/.]+)`:\n\n```", text)
        for name in NAMED.findall(text) if TEXT.search(path) else ():
            assert name in plan or name in to_be_written, f"{path} names {name}"


@combination
def test_commands_name_what_is_there(choices: dict[str, str]) -> None:
    plan = planned(**choices)
    makefile = text_of(plan, "Makefile")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.M))
    assert targets == set(re.findall(r"^([a-z-]+):.*## ", makefile, re.M)) | {"test", "test-slow"}
    defaults = dict(re.findall(r"^(\w+) \?= (.*)$", makefile, re.M))
    assert yaml.safe_load(text_of(plan, "configs/trainer.yaml"))["logger"] == choices["logger"]
    experiments = {defaults["EXPERIMENT"]}
    for path in ("README.md", "CONTRIBUTING.md", ".ci/run", "AGENTS.md", "docs/parity.md"):
        text = text_of(plan, path) if path in plan else ""
        own = re.findall(r"`configs/(\w+).yaml`:\n\n```", text)
        experiments |= set(re.findall(r"EXPERIMENT=(\w+)", text)) - {*own}
        assert set(re.findall(r"(?:^|`|\$ |    )make ([a-z-]+)", text, re.M)) <= targets
    assert all(f"configs/{experiment}.yaml" in plan for experiment in experiments)


@combination
def test_dependencies(choices: dict[str, str]) -> None:
    start, logger, plan = choices["starting_point"], choices["logger"], planned(**choices)
    project = tomllib.loads(text_of(plan, "pyproject.toml"))
    names = {re.split(r"[^\w-]", dependency)[0] for dependency in project["project"]["dependencies"]}
    groups = {name for group in project["dependency-groups"].values() for name in map(str, group)}
    locked = set(re.findall(r"^([\w.-]+)==", text_of(plan, "requirements.lock"), re.M))
    assert ("wandb" in names) == ("wandb" in locked) == (start == "everything" or logger == "wandb")
    assert ("tensorboard" in names) == (logger == "tensorboard")
    assert ("tensorboard" in locked) == (start == "everything" or logger == "tensorboard")
    assert not locked & {"allpairspy", "cookiecutter", "cruft", "hypothesis"}
    assert not any(name.startswith(("cookiecutter", "cruft")) for name in names | groups)


def test_ruff(tmp_path: Path) -> None:
    for choices in PAIRS:
        written(tmp_path / label(choices), **choices)
    ruff = Path(sys.executable).with_name("ruff")
    run(ruff, "check", "--no-cache", "--output-format=concise", cwd=tmp_path)
    run(ruff, "format", "--check", "--no-cache", cwd=tmp_path)


@pytest.mark.slow
def test_mypy(tmp_path: Path) -> None:
    """In one process for all combinations, each under a name of its own: reading torch takes most of the time."""
    names = [f"{choices['package_name'][:20]}_{i}" for i, choices in enumerate(PAIRS)]
    for name, choices in zip(names, PAIRS, strict=True):
        written(tmp_path / name, **{**choices, "package_name": name})
    path = ":".join(str(tmp_path / name / "src") for name in names)
    command = [sys.executable, "-m", "mypy", "--config-file", f"{names[0]}/pyproject.toml"]
    run(*command, *(f"{name}/src/{name}" for name in names), cwd=tmp_path, env={"MYPYPATH": path, "PATH": ""})


def test_every_two_answers_are_in_one_of_the_trees() -> None:
    for first in CHOICES:
        for second in set(CHOICES) - {first}:
            pairs = {(choices[first], choices[second]) for choices in PAIRS}
            assert len(pairs) == len(CHOICES[first]) * len(CHOICES[second])
