"""The README's own text, followed to the letter."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def follow(section: str, project: Path) -> list[Path]:
    """Write the files that a section of the README shows, and add the imports that it asks for."""
    text = README.split(f"\n## {section}\n")[1].split("\n## ")[0]
    files = re.findall(r"`([\w/.]+)`:\n\n```\w+\n(.*?)```", text, re.DOTALL)
    for name, content in files:
        (project / name).write_text(content)
    for name, line in re.findall(r"Name it in `([\w/.]+)`\s+\(`(from [\w. ]+)`\)", text):
        with (project / name).open("a") as file:
            file.write(f"\n{line}\n")
    return [project / name for name, _ in files]


def train(project: Path, *args: str) -> str:
    command = [sys.executable, "-m", "arc_light", "fit", "-c", "configs/trainer.yaml", *args]
    options = ["--trainer.logger", "false", "--trainer.accelerator", "cpu"]
    environment = {**os.environ, "PYTHONPATH": str(project / "src")}
    done = subprocess.run(
        [*command, *options], cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for folder in ("src", "configs"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


@pytest.mark.slow
def test_add_a_data_set(project: Path) -> None:
    files = follow("Add a data set", project)
    assert {file.suffix for file in files} == {".py", ".yaml"}
    assert all(len(file.read_text().splitlines()) < 50 for file in files)
    reached = re.search(r"^test +\S+ +(\S+)$", train(project, "-c", "configs/stripes_mlp.yaml"), re.MULTILINE)
    assert reached
    assert float(reached[1]) > 0.9


@pytest.mark.slow
def test_add_a_model(project: Path) -> None:
    assert len(follow("Add a model", project)) == 2
    names = ["-c", "configs/digits_mlp.yaml", "--model", "LinearClassifier", "--trainer.max_epochs", "1"]
    assert "LinearClassifier of 650 parameters" in train(project, *names)


def test_use_from_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = re.search(r"## Use it from Python\n\n```python\n(.*?)```", README, re.DOTALL)
    assert code
    names: dict[str, object] = {}
    exec(code[1].replace("max_epochs=3", "max_epochs=1, enable_progress_bar=False"), names)  # noqa: S102  # the README's own code
    assert names["model"].train_metrics.running()["loss"].isnan()  # reset after its epoch


def test_every_experiment_is_in_the_table() -> None:
    listed = set(re.findall(r"^\| `(\w+)` \|", README, re.MULTILINE))
    shipped = {path.stem for path in (ROOT / "configs").glob("*_*.yaml")}
    assert listed == shipped


def test_every_target_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"`?make ([a-z-]+)", README + (ROOT / "CONTRIBUTING.md").read_text()))
    assert targets
    assert all(f"\n{target}:" in makefile for target in targets)
