"""Write the files of a new model, data set, task or experiment, to begin with."""

import os
import re
from collections.abc import Sequence
from importlib.util import find_spec
from keyword import iskeyword
from pathlib import Path

from lamphouse.cli.checks.yaml_files import read_file
from lamphouse.cli.parser import CommandParser
from lamphouse.cli.project import Project
from lamphouse.errors import InputError
from lamphouse.files import user_path, write_whole

TEMPLATES = Path(__file__).parents[1] / "new"
COPY = ""  # in the place of a template: the experiment that a new one is like
FILES = {
    "experiment": {"configs/NAME.yaml": COPY},
    "model": {"src/PACKAGE/models/NAME.py": "model", "tests/PACKAGE/models/test_NAME.py": "test_model"},
    "data": {
        "src/PACKAGE/data/NAME.py": "data",
        "tests/PACKAGE/data/test_NAME.py": "test_data",
        "configs/NAME.yaml": "data_experiment",
    },
    "task": {
        "src/PACKAGE/models/NAME.py": "task",
        "src/PACKAGE/data/NAME.py": "table",
        "tests/PACKAGE/models/test_NAME.py": "test_task",
        "configs/NAME.yaml": "task_experiment",
    },
}
OF_CLASSIFIERS = ("model", "data")  # whose files import the classifier, or train one
SUFFIXES = {"model": "Classifier", "data": "DataModule", "task": "Regressor", "experiment": ""}  # of the class


def main(project: Project, args: Sequence[str]) -> None:
    """Write files that train and pass their tests as they are; none is overwritten."""
    parser = CommandParser(project, "new", main.__doc__, run=False)
    parser.add_argument("kind", choices=list(FILES), help="what the files are of")
    parser.add_argument("name", help="of the module and the experiment: lower case letters, digits and _")
    parser.add_argument("--like", type=user_path, required=True, help="the experiment to begin with, a YAML file")
    options = parser.parse_args(args)
    name, like = options.name, options.like
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or iskeyword(name):
        raise InputError(f"name {name!r}: expected lower case letters, digits and _, a letter first")
    if options.kind in OF_CLASSIFIERS and find_spec(f"{project.package}.classification") is None:
        way_out = "copy one of the project's own, or use task"
        raise InputError(f"kind {options.kind}: begins with classification.py, which is not there: {way_out}")
    words = {"PACKAGE": project.package, "NAME": name, **_classes(options.kind, name, read_file(like).get("model"))}
    files: dict[Path, str] = {}
    for file, template in FILES[options.kind].items():
        text = (TEMPLATES / f"{template}.txt" if template else like).read_text(encoding="utf-8")
        files[Path(_filled(file, words))] = _filled(text, words) if template else text
    if existing := [str(path) for path in files if os.path.lexists(path)]:
        raise InputError(f"name {name}: {', '.join(existing)} exists already: choose another name")
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text)
        print(path)


def _classes(kind: str, name: str, model: object) -> dict[str, str]:
    title = name.title().replace("_", "")
    class_path = model.get("class_path") if isinstance(model, dict) else model
    return {"CLASS": f"{title}{SUFFIXES[kind]}", "TABLE": f"{title}DataModule", "MODEL": str(class_path)}


def _filled(text: str, words: dict[str, str]) -> str:
    return re.sub("|".join(words), lambda found: words[found[0]], text)
