"""From answers to a project, in the folder that cookiecutter has made for it."""

import subprocess
import sys
from pathlib import Path

from arc_light_scaffold.errors import TemplateError
from arc_light_scaffold.manifest import Answers
from arc_light_scaffold.plan import make_plan
from arc_light_scaffold.write import write


def generate(answers: Answers, with_git: bool = True) -> None:
    """Plan and write a project into the working directory.

    Args:
        answers: to the questions of cookiecutter.json, checked.
        with_git: false keeps from making a repository, even if the answers ask for one.

    Raises:
        SystemExit: with one line; then the folder is empty.
    """
    root = Path(__file__).resolve().parent.parent
    try:
        write(make_plan(root, answers), Path.cwd(), answers, with_git and answers["git"] == "yes")
    except TemplateError as error:
        sys.exit(f"the template is at fault: {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(error.cmd)} failed: {' '.join(error.stderr.split())}")
    except OSError as error:
        sys.exit(f"the project cannot be written: {error}")
