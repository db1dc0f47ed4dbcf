"""The end of a process: quick where the work is done, Python's own otherwise, and nothing is lost."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BEGIN = "from lamphouse.machine.start import QuickEnd; end = QuickEnd()"
WORK = """
import atexit, logging, sys, threading, time
kept = object()
class Noisy:
    def __del__(self): print("taken apart")
noisy = Noisy()
text, data, both = open("text", "w"), open("data", "wb"), open("both", "w+b")
text.write("written"), data.write(b"written"), both.write(b"written")
atexit.register(text.write, ", at exit")
threading.Thread(target=lambda: (time.sleep(0.1), data.write(b", by a thread"))).start()
logging.getLogger().addHandler(logging.handlers.MemoryHandler(9, target=logging.FileHandler("log")))
logging.error("logged")
sys.stdout.write("printed ")
"""


def run(*code: str, **options: object) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    environment = {**own, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", "\n".join(["import logging.handlers", *code])]
    return subprocess.run(command, env=environment, text=True, check=False, **{"capture_output": True, **options})


@pytest.mark.parametrize("succeeded", [True, False])
def test_everything_is_written(succeeded: bool) -> None:
    done = run(BEGIN, WORK, f"end.succeeded = {succeeded}")
    assert done.returncode == 0
    assert done.stdout == ("printed " if succeeded else "printed taken apart\n")
    written = {path.name: path.read_text() for path in Path().iterdir()}
    assert written == {
        "text": "written, at exit",
        "data": "written, by a thread",
        "both": "written",
        "log": "logged\n",
    }


@pytest.mark.parametrize(("failure", "status"), [("sys.exit(2)", 2), ("raise SystemExit(75)", 75), ("1 / 0", 1)])
def test_a_failure_keeps_its_status(failure: str, status: int) -> None:
    assert run(BEGIN, WORK, failure, "end.succeeded = True").returncode == status


def test_a_file_that_was_detached_is_passed_over() -> None:
    done = run(BEGIN, "kept = open('text', 'w'); kept.detach(); print('said')", "end.succeeded = True")
    assert (done.returncode, done.stdout, done.stderr) == (0, "said\n", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_output_that_cannot_be_written_is_a_failure() -> None:
    with Path("/dev/full").open("w") as full:
        done = run(BEGIN, "print('lost')", "end.succeeded = True", capture_output=False, stdout=full)
    assert done.returncode == 120  # Python's own
