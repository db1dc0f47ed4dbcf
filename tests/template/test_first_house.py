"""A project of version 0.1 with files of its owner's takes an update, and goes on training after the listed renames."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from calls import commit, copy_template, cruft, git, ours
from projects import ROOT, planned, tree

FIRST = "8e5f2fefd3833b095e1fc3f6d94de9b7dd31cc27"  # the last commit before 0.2.0
OWN_EXPERIMENT = """\
model:
  class_path: LinearClassifier
data:
  class_path: StripesDataModule
trainer:
  max_epochs: 3
"""
EXPORTS = ("src/leaf_counter/models/__init__.py", "src/leaf_counter/data/__init__.py")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clone this repository and commit its working tree as version `now`."""
    if subprocess.run(["git", "cat-file", "-e", FIRST], cwd=ROOT, capture_output=True, check=False).returncode:
        pytest.skip(f"this clone lacks commit {FIRST[:7]}: fetch it with git fetch --unshallow")
    template = tmp_path_factory.mktemp("template") / "arc-light.git"
    git(ROOT, "-c", "safe.directory=*", "clone", "--quiet", str(ROOT), str(template))
    git(template, "rm", "-r", "--quiet", ".")
    copy_template(template)
    commit(template, "now")
    return template


def follow(readme: str, sections: tuple[str, ...], project: Path) -> list[Path]:
    """Write the files that sections of a README show, and add the imports that they ask for."""
    text = "".join(readme.split(f"\n## {section}\n")[1].split("\n## ", maxsplit=1)[0] for section in sections)
    files = re.findall(r"`([\w/.]+)`:\n\n```\w+\n(.*?)```", text, re.DOTALL)
    for name, content in files:
        (project / name).write_text(content)
    for name, line in re.findall(r"Name it in `([\w/.]+)`\s+\(`(from [\w. ]+)`\)", text):
        with (project / name).open("a") as file:
            file.write(f"\n{line}\n")
    return [project / name for name, _ in files]


def renames() -> dict[str, str]:
    """Read the table of renames from the changelog."""
    section = (ROOT / "CHANGELOG.md").read_text().split("\n## 0.2.0")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([\w<>.]+)` \| `([\w<>.]+)` \|$", section, re.M)
    return {old.replace("<package>", "leaf_counter"): new.replace("<package>", "leaf_counter") for old, new in rows}


def renamed(text: str, table: dict[str, str]) -> str:
    """Apply a table of renames to a source's imports, and to the names that change."""
    changed: dict[str, str] = {}

    def imports(found: re.Match[str]) -> str:
        return "\n".join(import_of(f"{found[1]}.{name}") for name in found[2].split(", "))

    def import_of(name: str) -> str:
        new = next((table[part] + name[len(part) :] for part in prefixes(name) if part in table), name)
        changed[name.rpartition(".")[2]] = new.rpartition(".")[2]
        return "from {} import {}".format(*new.rsplit(".", 1))

    text = re.sub(r"^from (leaf_counter[\w.]*) import ([\w, ]+)$", imports, text, flags=re.M)
    for old, new in changed.items():
        text = re.sub(rf"\b{old}\b", new, text)
    return text


def prefixes(name: str) -> Iterator[str]:
    """Yield a dotted name and the modules that it is in, the longest first."""
    while name:
        yield name
        name = name.rpartition(".")[0]


def test_names_are_renamed_as_listed() -> None:
    table = {"leaf_counter.data.splits.Images": "lamphouse.data.Samples", "leaf_counter.errors": "lamphouse.errors"}
    text = "from leaf_counter.data.splits import Images\nfrom leaf_counter.errors import A, B\n\nImages(Imagesque)\n"
    imports = "from lamphouse.data import Samples\nfrom lamphouse.errors import A\nfrom lamphouse.errors import B\n"
    assert renamed(text, table) == f"{imports}\nSamples(Imagesque)\n"


@pytest.mark.slow
@pytest.mark.parametrize("start", ["everything", "mnist_mlp"])
def test_own_files_go_on_working_after_the_update(template: Path, start: str) -> None:
    choices = {"starting_point": start, "logger": "csv"}
    context = json.dumps(ours(**choices))
    cruft(Path.cwd(), "create", template, "--checkout", FIRST, "--no-input", "--extra-context", context)
    project = Path("leaf-counter").absolute()
    own = follow((project / "README.md").read_text(), ("Add a data set", "Add a model"), project)
    (project / "configs" / "mine.yaml").write_text(OWN_EXPERIMENT)
    git(project, "init", "--quiet")
    commit(project, "mine")
    output = cruft(project, "update", "--skip-apply-ask", "--checkout", "now")

    conflicts = {str(path.relative_to(project)).removesuffix(".rej") for path in project.rglob("*.rej")}
    conflicts |= set(git(project, "diff", "--name-only", "--diff-filter=U").splitlines())
    assert conflicts <= set(EXPORTS), output
    for path in EXPORTS:  # of which the template's version is to be taken
        docstring = (ROOT / path.replace("leaf_counter", "arc_light")).read_text()
        (project / path).write_text(docstring)
    for path in own:
        path.write_text(renamed(path.read_text(), renames()))
    mine = {str(path.relative_to(project)) for path in own} | {"configs/mine.yaml", ".cruft.json"}
    assert {path for path in tree(project) if not path.endswith(".rej")} == set(planned(**choices)) | mine
    for experiment in ("mine", "stripes_mlp", "digits_mlp"):
        train(project, experiment)


def train(project: Path, experiment: str) -> None:
    files = ["-c", "configs/trainer.yaml", "-c", f"configs/{experiment}.yaml"]
    command = [
        sys.executable,
        "-m",
        "leaf_counter",
        "fit",
        *files,
        "--trainer.max_epochs=1",
        "--trainer.accelerator=cpu",
    ]
    environment = {"PYTHONPATH": str(project / "src"), "PATH": ""}
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
