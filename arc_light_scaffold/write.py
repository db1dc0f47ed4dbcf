"""Writing a plan, all or nothing."""

import shutil
from pathlib import Path

from arc_light_scaffold.manifest import Answers
from arc_light_scaffold.plan import Plan
from arc_light_scaffold.tracked import git


def write(plan: Plan, folder: Path, answers: Answers, with_git: bool) -> None:
    """Write all files and, if asked for, commit them; a failure leaves the folder empty.

    Args:
        plan: what to write.
        folder: an empty one.
        answers: with the author of the commit.
        with_git: whether to make a repository.
    """
    try:
        for path, file in plan.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.content)
            if file.executable:
                target.chmod(0o755)
        if with_git:
            commit(folder, answers)
    except BaseException:
        empty(folder)
        raise


def commit(folder: Path, answers: Answers) -> None:
    """Make a repository with a first commit, by the user that Git knows or else by the author in the answers."""
    git(folder, "-c", "init.defaultBranch=main", "init", "--quiet")
    git(folder, "add", "--all")
    known = git(folder, "config", "--default", "", "user.email").strip()
    author = () if known else ("-c", f"user.name={answers['author']}", "-c", f"user.email={answers['email']}")
    git(folder, *author, "commit", "--quiet", "--no-verify", "--no-gpg-sign", "--message", "Begin")


def empty(folder: Path) -> None:
    """Remove everything in a folder."""
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
