"""What a section of the README, or of docs/extending.md, shows: files to write, and commands to run."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

RECIPES = (
    "Add a model",
    "Any network by name",
    "Add a data set",
    "Add a task",
    "Add a metric",
    "Add a callback",
)


@dataclass(frozen=True)
class Recipe:
    """The files and the commands of a section.

    Args:
        files: their content, by path.
        commands: `make train` with its variables.
    """

    files: dict[str, str]
    commands: list[str]

    def write(self, folder: Path) -> None:
        """Write the files into a project."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            assert not path.exists(), f"{name} would be overwritten"
            path.write_text(content)


def read_section(project: Path, title: str) -> str:
    """Read a section of the page that has it; the README's may be a summary, which the other page shows whole."""
    pages = [(project / name).read_text() for name in ("docs/extending.md", "README.md")]
    sections = [text for page in pages for text in page.split(f"\n## {title}\n")[1:]]
    return sections[0].split("\n## ", maxsplit=1)[0]


def read_recipe(project: Path, title: str) -> Recipe:
    """Read a section. A code block is the file that was named last before it."""
    text = read_section(project, title)
    files = {}
    for block in re.finditer(r"^```(?:python|yaml)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        names = re.findall(r"`((?:src|configs)/[\w/.]+)`", text[: block.start()])
        files[names[-1]] = block[1]
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    commands = [" ".join(command.split()) for command in re.findall(r"`(make train [^`]+)`", prose)]
    return Recipe(files, commands)


def fit_options(command: str) -> list[str]:
    """Translate a `make train` command into the options of `fit`."""
    variables = dict(word.split("=", 1) for word in shlex.split(command)[2:])
    experiment = variables.get("EXPERIMENT", "digits_mlp")
    files = ["-c", "configs/trainer.yaml", "-c", f"configs/{experiment}.yaml"]
    return [*files, *shlex.split(variables.get("ARGS", ""))]
