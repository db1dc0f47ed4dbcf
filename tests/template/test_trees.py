"""Every combination of answers: nothing of what is left out, nothing of the template, and clean code."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from projects import COMBINATIONS, OURS, PAIRS, ROOT, answers, planned, run, text_of, written

from arc_light_scaffold.manifest import Manifest

MANIFEST = Manifest.read(ROOT)
SHORT = {"project_name": "Q", "project_slug": "q", "package_name": "q"}
LONG = {"project_name": "W" * 50, "project_slug": "w" * 50, "package_name": "w" * 30}
TEXT = re.compile(r"(\.(md|toml|ya?ml)|Makefile|run|\.gitignore)$")
# prose in which a word of what is left out is no leftover
ALLOWED = {"LICENSE", "requirements.lock"}

NAMED = re.compile(r"(?<![\w/])(?:configs|docs|src|tests(?!/parity_pytorch)|benchmarks)/[\w/.-]*\.(?:yaml|md|py|npz)\b")
RUFF = Path(sys.executable).with_name("ruff")
combination = pytest.mark.parametrize("choices", COMBINATIONS, ids="-".join)


@combination
def test_no_word_of_what_is_left_out(choices: tuple[str, str, str]) -> None:
    words = MANIFEST.words(MANIFEST.left_out(answers(*choices)))
    plan = planned(*choices)
    texts = {path: text_of(plan, path) for path in plan if b"\0" not in plan[path].content and path not in ALLOWED}
    found = {path: words.findall(path + text) for path, text in texts.items()} if words else {}
    assert {path: sorted(set(left)) for path, left in found.items() if left} == {}


@combination
def test_no_word_of_the_template(choices: tuple[str, str, str]) -> None:
    plan = planned(*choices)
    for path in plan:
        assert not re.search(r"arc[\W_]*light|scaffold|cookiecutter(?! gh:)|part:", path, re.I)
        if b"\0" not in plan[path].content:
            assert not re.search(r"arc[\W_]*light|_scaffold|\[/?part:", text_of(plan, path), re.I), path


@combination
def test_text_files_are_tidy(choices: tuple[str, str, str]) -> None:
    plan = planned(*choices)
    for path in filter(TEXT.search, plan):
        text = text_of(plan, path)
        assert "\r" not in text
        assert "\n\n\n" not in re.sub(r"```.*?```", "...", text, flags=re.DOTALL), path
        assert text == text.strip("\n") + "\n", path


@combination
def test_links_lead_to_files(choices: tuple[str, str, str]) -> None:
    plan = planned(*choices)
    for path in [path for path in plan if path.endswith(".md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text_of(plan, path)):
            linked = (Path("/", path).parent / target).resolve().relative_to("/").as_posix()
            assert any(name == linked or name.startswith(f"{linked}/") for name in plan), f"{path} links to {target}"


@combination
def test_files_that_are_named_exist(choices: tuple[str, str, str]) -> None:
    plan = planned(*choices)
    for path in filter(TEXT.search, plan):
        text = text_of(plan, path)
        to_be_written = re.findall(r"`([\w/.]+)`:\n\n```", text)
        for name in NAMED.findall(text):
            assert name in plan or name in to_be_written, f"{path} names {name}"


@combination
def test_experiment_and_logger_by_default_are_there(choices: tuple[str, str, str]) -> None:
    start, logger, _ = choices
    plan = planned(*choices)
    defaults = dict(re.findall(r"^(\w+) \?= (.*)$", text_of(plan, "Makefile"), re.M))
    assert defaults["EXPERIMENT"] == ("digits_resnet" if start == "cifar10_resnet" else "digits_mlp")
    assert f"configs/{defaults['EXPERIMENT']}.yaml" in plan
    assert defaults["LOGGER"] == logger
    assert yaml.safe_load(text_of(plan, "configs/trainer.yaml"))["trainer"]["logger"] == f"logger/{logger}.yaml"
    assert f"configs/logger/{logger}.yaml" in plan


@combination
def test_commands_name_what_is_there(choices: tuple[str, str, str]) -> None:
    plan = planned(*choices)
    for path in ("README.md", "CONTRIBUTING.md", ".ci/run", "docs/parity.md"):
        text = text_of(plan, path) if path in plan else ""
        for logger in re.findall(r"LOGGER=(\w+)", text):
            assert f"configs/logger/{logger}.yaml" in plan
        for experiment in set(re.findall(r"EXPERIMENT=(\w+)", text)):
            assert f"configs/{experiment}.yaml" in [*plan, *re.findall(r"`(configs/stripes_\w+.yaml)`", text)]
        targets = set(re.findall(r"^([a-z-]+):", text_of(plan, "Makefile"), re.M))
        assert set(re.findall(r"(?:^|`|\$ |    )make ([a-z-]+)", text, re.M)) <= targets


@combination
def test_dependencies(choices: tuple[str, str, str]) -> None:
    start, logger, _ = choices
    plan = planned(*choices)
    project = tomllib.loads(text_of(plan, "pyproject.toml"))
    names = {re.split(r"[^\w-]", dependency)[0] for dependency in project["project"]["dependencies"]}
    groups = {name for group in project["dependency-groups"].values() for name in map(str, group)}
    locked = set(re.findall(r"^([\w.-]+)==", text_of(plan, "requirements.lock"), re.M))
    assert ("wandb" in names) == ("wandb" in locked) == (start == "everything" or logger == "wandb")
    assert ("tensorboard" in names) == (logger == "tensorboard")
    assert ("tensorboard" in locked) == (start == "everything" or logger == "tensorboard")
    assert not locked & {"cookiecutter", "cruft"}
    assert not any(name.startswith(("cookiecutter", "cruft")) for name in names | groups)


@combination
def test_targets_of_the_makefile_are_phony_and_have_help(choices: tuple[str, str, str]) -> None:
    text = text_of(planned(*choices), "Makefile")
    targets = set(re.findall(r"^([a-z-]+):", text, re.M))
    assert targets == set(" ".join(re.findall(r"^\.PHONY: (.*)$", text, re.M)).split())
    assert targets == set(re.findall(r"^([a-z-]+):.*## ", text, re.M))


@pytest.mark.parametrize("names", [{}, *(pytest.param(names, marks=pytest.mark.slow) for names in (SHORT, LONG))])
def test_ruff(names: dict[str, str], tmp_path: Path) -> None:
    for choices in PAIRS if names else COMBINATIONS:
        written(tmp_path / "-".join(choices), *choices, **names)
    run(RUFF, "check", "--no-cache", "--output-format=concise", cwd=tmp_path)
    run(RUFF, "format", "--check", "--no-cache", cwd=tmp_path)


def test_every_module_can_be_imported(tmp_path: Path) -> None:
    """Each combination in a fork of the process that imported the first, and torch with it, which takes the time."""
    folders = [written(tmp_path / "-".join(choices), *choices) for choices in COMBINATIONS]
    code = """
import importlib, os, pkgutil, sys, warnings
warnings.simplefilter("ignore")
package, *folders = sys.argv[1:]
for folder in folders:
    if folder != folders[0] and os.fork():
        assert os.wait()[1] == 0, folder
        continue
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        del sys.modules[name]
    sys.path.insert(0, f"{folder}/src")
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    if folder != folders[0]:
        os._exit(0)
"""
    subprocess.run([sys.executable, "-c", code, OURS["package_name"], *folders], check=True)


@pytest.mark.slow
def test_mypy(tmp_path: Path) -> None:
    """In one process for all combinations, each under a name of its own, where reading torch is most of the time."""
    names = [f"{OURS['package_name']}_{i}" for i in range(len(COMBINATIONS))]
    for name, choices in zip(names, COMBINATIONS, strict=True):
        written(tmp_path / name, *choices, package_name=name)
    packages = [f"{name}/src/{name}" for name in names]
    config = tmp_path / names[0] / "pyproject.toml"
    path = ":".join(str(tmp_path / name / "src") for name in names)
    run(
        sys.executable,
        "-m",
        "mypy",
        "--config-file",
        config,
        *packages,
        cwd=tmp_path,
        env={"MYPYPATH": path, "PATH": ""},
    )
