"""Two processes that train together stop together, and go on to the bits of two that never stopped."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import fit_options
from same_runs import assert_same, run_in

TWO = ["--trainer.devices=2", "--trainer.max_epochs=3", "--trainer.limit_train_batches=7", "--model.dropout=0.2"]
SAVING = ["--last_checkpoint.every_n_steps=2", "--trainer.accumulate_grad_batches=2"]


def start(*args: object) -> subprocess.Popen[str]:
    """Run a command in processes of its own, which a killed one takes with it."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "arc_light", *map(str, args)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)


def done(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for a command; return its exit status and what it wrote on stderr."""
    _, err = process.communicate(timeout=240)
    return process.returncode, err


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGKILL])
def test_two_processes_go_on(stop: signal.Signals) -> None:
    options = [*fit_options("digits_mlp"), *TWO, *SAVING]
    assert done(start("fit", *options, "--runs=whole"))[0] == 0
    process = start("fit", *options, "--runs=parts")
    while not any(Path("parts").rglob("previous.ckpt")) and process.poll() is None:
        time.sleep(0.01)
    if stop == signal.SIGTERM:
        process.terminate()
    else:
        os.killpg(process.pid, stop)
    status, err = done(process)
    assert status == (75 if stop == signal.SIGTERM else -stop), err
    status, err = done(start("resume", "--run=parts"))
    assert status == 0, err
    assert_same(run_in("whole"), run_in("parts"))
