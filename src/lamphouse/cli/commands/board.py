"""Show all runs in TensorBoard."""

import signal
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from lamphouse.cli.parser import CommandParser
from lamphouse.cli.project import Project
from lamphouse.errors import InputError
from lamphouse.files import user_path
from lamphouse.loggers import MetricsTable
from lamphouse.runs.directory import Run, find_runs


def main(project: Project, args: Sequence[str]) -> None:
    """Show all runs in TensorBoard, also those of other loggers; further options are those of TensorBoard."""
    parser = CommandParser(project, "board", main.__doc__, run=False)
    parser.add_argument("--runs", type=user_path, default=Path("runs"), help="directory of runs (default: runs)")
    options, further = parser.parse_known_args(args)
    if find_spec("tensorboard") is None:
        way_out = "add it to the dependencies in pyproject.toml, then run `make lock setup`"
        raise InputError(f"board: needs tensorboard: {way_out}")
    with TemporaryDirectory(prefix="board") as shown:
        for run in find_runs(options.runs):
            below = run.path.relative_to(options.runs)
            _show(run, Path(shown, below if below.name else run.path.resolve().name))
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # which ends TensorBoard, too, and removes the folder
        done = subprocess.run([sys.executable, "-m", "tensorboard.main", "--logdir", shown, *further], check=False)
    if done.returncode:
        raise InputError("board: TensorBoard has ended, see above: correct its options, for example --port 6007")


def _show(run: Run, place: Path) -> None:
    """Link what the run logs to TensorBoard, also while it is trained; of another run, write what its table has now."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if any(run.path.glob("tensorboard/events*")):
        place.symlink_to((run.path / "tensorboard").resolve())
        return
    from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415  # may not be installed

    with SummaryWriter(str(place)) as writer:
        for row in MetricsTable(run.metrics).rows:
            for name in row.keys() - {"epoch", "step"}:
                writer.add_scalar(name, row[name], row["step"])
