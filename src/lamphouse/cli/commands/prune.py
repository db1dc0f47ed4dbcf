"""Remove checkpoints that are not needed any more."""

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from lamphouse.checkpoints import load_checkpoint
from lamphouse.cli.parser import CommandParser
from lamphouse.cli.project import Project
from lamphouse.errors import InputError, short_path
from lamphouse.files import only_writer, remove, user_path
from lamphouse.runs.directory import Run, check_entries, find_runs

MEGABYTE = 10**6


def main(project: Project, args: Sequence[str]) -> None:
    """List the checkpoints of runs except best.ckpt and last.ckpt, and remove them after confirmation."""
    parser = CommandParser(project, "prune", main.__doc__, run=False)
    parser.add_argument("runs", nargs="+", type=user_path, help="directories of runs, or of several")
    parser.add_argument("--also", nargs="+", default=[], choices=["best", "last"], help="remove these, too")
    parser.add_argument("--yes", action="store_true", help="remove them without confirmation")
    options = parser.parse_args(args)
    runs = {run.path.resolve(): run for path in options.runs for run in find_runs(path)}
    with ExitStack() as locks:
        files = [file for run in runs.values() for file in _files(run, options.also, locks)]
        if not files:
            print("nothing to remove")
            return
        sizes = [_size(file) for file in files]
        for file, size in zip(files, sizes, strict=True):
            print(f"{size / MEGABYTE:>10,.1f} MB  {short_path(file)}")
        what = f"{len(files)} files, {sum(sizes) / MEGABYTE:,.1f} MB"
        if not options.yes and not _confirmed(what):
            print("nothing is removed")
            return
        for file in files:
            remove(file)
        print(f"removed {what}")


def _files(run: Run, also: Sequence[str], locks: ExitStack) -> list[Path]:
    """Lock a run, and list what can be removed; of a run that is trained, or that is damaged, nothing."""
    named = [run.path / f"{name}.ckpt" for name in ("previous", *also)]
    files = [path for path in [*named, *sorted(run.kept.glob("*.ckpt"))] if path.is_file() or path.is_dir()]
    if files:
        try:
            locks.enter_context(only_writer(run.path))
            check_entries(run)
            for path in (run.best, run.last):
                load_checkpoint(path, weights=False)
        except InputError as error:
            print(f"note: left alone: {error}", file=sys.stderr)
            return []
    return files


def _size(path: Path) -> int:
    """Count the bytes of a file, or of all files in a directory."""
    return sum(file.lstat().st_size for file in (path, *path.rglob("*")) if not file.is_dir())


def _confirmed(what: str) -> bool:
    if not sys.stdin.isatty():
        raise InputError(f"--yes: is needed without a terminal to remove these {what}")
    try:
        return input(f"remove these {what}? [y/N] ").strip().lower() in {"y", "yes"}
    except EOFError:
        return False
