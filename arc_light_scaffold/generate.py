"""From answers to a project, in the folder that cookiecutter has made for it."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

from arc_light_scaffold.errors import TemplateError
from arc_light_scaffold.manifest import Answers
from arc_light_scaffold.plan import make_plan
from arc_light_scaffold.write import write


def generate(answers: Answers, with_git: bool = True) -> None:
    """Plan a project and write it into the working directory.

    Args:
        answers: to the questions of cookiecutter.json, checked.
        with_git: false for a project that is compared and thrown away: it gets no repository, and nothing is printed.

    Raises:
        SystemExit: with one line; then the folder is empty.
    """
    root, folder = Path(__file__).resolve().parent.parent, Path.cwd()
    answers = {**answers, "_template": address(root, answers.get("_template", ""))}
    try:
        plan = make_plan(root, answers)
        write(plan, folder, answers, with_git and answers["git"] == "yes")
    except TemplateError as error:
        sys.exit(f"the template is at fault: {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(error.cmd)} failed: {' '.join(error.stderr.decode().split())}")
    except OSError as error:
        sys.exit(f"the project cannot be written: {error}")
    if with_git:
        made = ", ".join(f"{name} {answers[name]}" for name in ("starting_point", "logger", "loops", "licence", "git"))
        print(f"{answers['project_name']}: {len(plan)} files in {folder}, with {made}")
        print(f"next: cd {shlex.quote(str(folder))} && make train")


def address(root: Path, given: str) -> str:
    """Return where the template comes from: a URL without user and password, or an absolute path."""
    known = ":" in given or given.endswith(".zip") or Path(given).is_absolute()
    return re.sub(r"(?<=://)[^/@]*@", "", given) if known else str(root)
