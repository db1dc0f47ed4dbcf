"""Commands in processes of their own, and what becomes of them."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

OWN = [path for path in [os.environ.get("PYTHONPATH")] if path]


def start(*args: object, before: Sequence[str] = (), **variables: str) -> subprocess.Popen[str]:
    """Run a command in processes of its own, which a killed one takes with it."""
    paths = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([*OWN, str(Path.cwd())])}
    command = [*(before or [sys.executable, "-m"]), "arc_light", *map(str, args)]
    environment = {**os.environ, **paths, **variables}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)


def done(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for a command, and for all that it has started; return its exit status and what it wrote on stderr."""
    _, err = process.communicate(timeout=240)  # until nobody can write there any more
    return process.returncode, err


def ended(process: subprocess.Popen[str], message: str) -> int:
    """Wait for a command that ends with one line and nothing else; return its exit status."""
    status, err = done(process)
    assert err.splitlines()[-1].startswith(f"arc_light {message}; to continue: "), err
    assert err.count("; to continue: ") == 1, err
    assert "Traceback" not in err
    return status


def child(process: subprocess.Popen[str], rank: int) -> int:
    """Return the process id of a rank that another process has launched."""
    while True:
        for path in Path(f"/proc/{process.pid}/task").glob("*/children"):
            with suppress(FileNotFoundError):
                for found in path.read_text().split():
                    if f"LOCAL_RANK={rank}".encode() in Path(f"/proc/{found}/environ").read_bytes().split(b"\0"):
                        return int(found)
        time.sleep(0.01)


def wait_for(process: subprocess.Popen[str], entries: int) -> None:
    """Wait until a run that is begun, or gone on with, for that many times trains."""
    while process.poll() is None:
        with suppress(StopIteration, FileNotFoundError):
            run = next(path.parent for path in Path("parts").rglob("history.json"))
            begun = (run / "history.json").stat().st_mtime_ns
            counted = len(json.loads((run / "history.json").read_text())) == entries
            if counted and (run / "previous.ckpt").stat().st_mtime_ns > begun:
                return
        time.sleep(0.01)
