"""The files of this repository."""

import os
import subprocess
from pathlib import Path

SCRATCH = {"__pycache__", ".git"}
ELSEWHERE = {"GIT_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX", "GIT_WORK_TREE"}  # of a calling Git


def git(folder: Path, *command: str) -> bytes:
    """Run Git on the repository in a folder, and return what it prints.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    environment = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
    return subprocess.run(["git", *command], cwd=folder, env=environment, capture_output=True, check=True).stdout


def tracked_files(root: Path) -> list[str]:
    """List the files that Git tracks at `root`; without a repository, as in an unpacked archive, all files."""
    if not (root / ".git").exists():
        return sorted(_walk(root))
    listed = git(root, "-c", "safe.directory=*", "ls-files", "-z").decode("utf-8")
    return sorted(path for path in listed.split("\0") if (root / path).is_file())


def _walk(root: Path) -> list[str]:
    return [
        (Path(folder, name).relative_to(root)).as_posix()
        for folder, folders, names in os.walk(root)
        for name in names
        if not SCRATCH & set(Path(folder).relative_to(root).parts)
    ]
