"""Checks the user's answers; cookiecutter runs this file alone, so it imports nothing of the template."""

import json
import keyword
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cookiecutter.exceptions import FailedHookException

ROOT = Path(__file__).resolve().parent.parent
FOLDER = "{{cookiecutter.project_slug}}"
MARKS = ("{{", "{%", "{#")
LONGEST = {
    "project_name": 50,
    "project_slug": 50,
    "package_name": 30,
    "description": 200,
    "author": 100,
    "email": 100,
    "year": 4,
}
PATTERNS = {
    "project_name": (r"[^\W_][\w .,&+'()-]*", "begin with a letter or digit; then also spaces and . , & + ' ( ) - _"),
    "project_slug": (r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?", "use a-z, 0-9, and between them . _ -"),
    "package_name": (r"[a-z][a-z0-9_]*", "begin with a-z, then a-z, 0-9 and _"),
    "description": (r'[^"\\`${}<>]+', 'leave out " \\ ` $ { } < >'),
    "author": (r'[^"\\`${}<>]+', 'leave out " \\ ` $ { } < >'),
    "email": (r"([\w.+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+)?", "give one like name@example.org, or none"),
    "year": (r"[12][0-9]{3}", "give four digits"),
}
IMPORTED_AS = {
    "pillow": "pil",
    "pyyaml": "yaml",
    "protobuf": "google",
    "gitpython": "git",
    "python-dateutil": "dateutil",
}
PYTHON = sys.stdlib_module_names | {"test"}
RESERVED = {"configs", "conftest", "data", "docs", "loops", "models", "runs", "src", "tests", "tiny_data"}
WINDOWS = {"aux", "con", "nul", "prn", *(f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10))}


class BadAnswerError(FailedHookException, SystemExit):  # type: ignore[misc]  # has no annotations
    """A bad answer: cookiecutter prints the one line as of a failed hook, and cruft ends with it."""

    def __init__(self, line: str) -> None:
        super().__init__(line)
        self.code = line


def check_answers(answers: Mapping[str, Any], output_folder: str | None) -> str:
    """Check all answers, and return an empty text to be rendered.

    Args:
        answers: all of them.
        output_folder: parent of the project's folder, once it is known.

    Raises:
        BadAnswerError: an answer cannot be used; the line names it, its value and the way out.
    """
    for name, choices in json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8")).items():
        if not name.startswith("_"):
            _check(answers, name, choices)
    for name, problems in PROBLEMS.items():
        for found, way_out in problems:
            if found(answers[name]):
                raise BadAnswerError(f"{name} {answers[name]!r}: {way_out}")
    target = Path(output_folder or "", answers["project_slug"])
    if output_folder is not None and target.is_dir() and any(target.iterdir()):
        raise BadAnswerError(f"{target}: is not empty: choose another project_slug or output folder, or empty it")
    return ""


def review_source(source: str) -> str:
    """Check the answers before the project's folder is made, also when they come from a replay file.

    Raises:
        BadAnswerError: an answer that was given as an option would be rendered as a template.
    """
    if source == FOLDER:
        return "{{ check_answers(cookiecutter) }}" + source
    if any(mark in source for mark in MARKS) and source not in _own_sources():
        raise BadAnswerError(f"{source!r}: leave out {' '.join(MARKS)}, which are marks of templates")
    return source


def _check(answers: Mapping[str, Any], name: str, choices: Any) -> None:
    value = answers.get(name)
    if not isinstance(value, str):
        raise BadAnswerError(f"{name} {value!r}: is missing or not a text: answer again, without the replay")
    if isinstance(choices, list):
        if value not in choices:
            raise BadAnswerError(f"{name} {value!r}: choose one of {', '.join(choices)}")
        return
    pattern, way_out = PATTERNS[name]
    if len(value) > LONGEST[name]:
        raise BadAnswerError(f"{name} {value[:20] + '…'!r}: {len(value)} characters: at most {LONGEST[name]}")
    if not re.fullmatch(pattern, value) or not value.isprintable() or value != value.strip():
        raise BadAnswerError(f"{name} {value!r}: {way_out}")


def _own_sources() -> set[str]:
    """Return the sources that the template itself renders: the defaults and the hooks."""
    defaults = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8")).values()
    hooks = (path.read_text(encoding="utf-8") for path in (ROOT / "hooks").glob("*.py"))
    return {*hooks, *(default for default in defaults if isinstance(default, str))}


def _dependencies() -> set[str]:
    """Return the locked requirements, as distributions and as modules, and what generation needs."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    distributions = set(re.findall(r"^([a-z0-9._-]+)==", lock, re.M)) | {"cookiecutter", "cruft", "jinja2", "lamphouse"}
    modules = {IMPORTED_AS.get(name, name) for name in distributions}
    return {re.sub(r"[-.]", "_", name) for name in distributions | modules}


def _is_dependency(value: str) -> bool:
    return re.sub(r"[-.]", "_", value) in _dependencies()


def _lacks_git(value: str) -> bool:
    return value == "yes" and shutil.which("git") is None


PROBLEMS: dict[str, list[tuple[Callable[[str], bool], str]]] = {
    "project_slug": [
        (_is_dependency, "is the name of a dependency: choose another"),
        (lambda slug: slug.split(".")[0] in WINDOWS, "cannot be the name of a folder on Windows: choose another"),
    ],
    "package_name": [
        (keyword.iskeyword, "is a keyword of Python: choose another"),
        (PYTHON.__contains__, "is a module of Python's standard library: choose another"),
        (_is_dependency, "is the name of a dependency: choose another"),
        (RESERVED.__contains__, "is the name of a folder of the project: choose another"),
        (lambda package: package in WINDOWS, "cannot be the name of a folder on Windows: choose another"),
    ],
    "git": [(_lacks_git, "git is not installed: answer no, or install it")],
}
