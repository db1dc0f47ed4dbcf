"""cookiecutter and cruft, called as a user calls them."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner
from cookiecutter.cli import main
from projects import OURS, ROOT, run

from arc_light_scaffold.tracked import tracked_files

PERSON = {"GIT_AUTHOR_NAME": "T", "GIT_AUTHOR_EMAIL": "t@example.org", "GIT_COMMITTER_NAME": "T"}
PERSON |= {"GIT_COMMITTER_EMAIL": "t@example.org", "GIT_CONFIG_NOSYSTEM": "1"}


@dataclass(frozen=True)
class Home:
    """A user's own folder, where cookiecutter keeps clones and answers."""

    path: Path

    @property
    def replay(self) -> Path:
        """Locate the answers that were given last."""
        (path,) = (self.path / "replay").glob("*.json")
        return path

    @property
    def config(self) -> str:
        """Locate cookiecutter's configuration, which is made here."""
        self.path.mkdir(exist_ok=True)
        path = self.path / "config.yaml"
        path.write_text(json.dumps({f"{name}_dir": str(self.path / name) for name in ("cookiecutters", "replay")}))
        return str(path)

    def generate(self, *arguments: object, **answers: str) -> tuple[int, str]:
        """Run cookiecutter in this process and return its exit status and what it printed."""
        options = ["--config-file", self.config, *map(str, arguments)]
        result = CliRunner().invoke(main, [*options, *(f"{name}={value}" for name, value in answers.items())])
        return result.exit_code, result.output


def ours(**others: str) -> dict[str, str]:
    """Answer all questions."""
    return {**OURS, **others}


def commit(folder: Path, tag: str, files: Mapping[str, str] | None = None) -> None:
    """Change files and commit everything under a tag."""
    for path, text in (files or {}).items():
        (folder / path).write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", tag)
    git(folder, "tag", tag)


def git(folder: Path, *command: str) -> str:
    """Run Git as a person who is not the one of the machine."""
    environment = {**os.environ, **PERSON, "HOME": str(folder)}
    return run("git", "-c", "init.defaultBranch=main", *command, cwd=folder, env=environment).stdout


def copy_template(folder: Path) -> Path:
    """Copy the template's own files, uncommitted changes included."""
    for path in tracked_files(ROOT):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, folder / path)
    return folder


def template_repository(folder: Path) -> Path:
    """Commit a copy of the template as version 1."""
    copy_template(folder)
    git(folder, "init", "--quiet")
    commit(folder, "v1")
    return folder


def cruft(folder: Path, *command: object, status: int = 0) -> str:
    """Run cruft, check how it ends and return what it printed."""
    environment = {**os.environ, **PERSON, "HOME": str(folder.parent)}
    words = [sys.executable, "-m", "cruft", *map(str, command)]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr
