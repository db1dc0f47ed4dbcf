"""Processes that train together stop together, and go on to the bits of two that never stopped."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import fit_options
from processes import child, done, ended, start, wait_for
from same_runs import assert_same, run_in

OPTIONS = ["--trainer.max_epochs=8", "--trainer.limit_train_batches=1.0", "--model.dropout=0.2"]
SAVING = ["--last_checkpoint.every_n_steps=2", "--trainer.accumulate_grad_batches=2", "--logger=csv"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train with two processes that are not interrupted."""
    folder = tmp_path_factory.mktemp("two")
    options = [*fit_options("digits_mlp"), *OPTIONS, *SAVING, "--trainer.devices=2"]
    assert done(start("fit", *options, f"--runs={folder}"))[0] == 0
    return run_in(str(folder))


@pytest.mark.slow
def test_two_processes_go_on(whole: Path) -> None:
    """One of them receives a signal, and another time is killed."""
    process = start("fit", *fit_options("digits_mlp"), *OPTIONS, *SAVING, "--trainer.devices=2", "--runs=parts")
    wait_for(process, 1)
    os.kill(child(process, 1), signal.SIGUSR1)
    assert ended(process, "fit: stopped by SIGUSR1") == 75
    process = start("resume", "--run=parts")
    wait_for(process, 2)
    os.kill(child(process, 1), signal.SIGKILL)
    assert ended(process, "resume: the process of rank 1 was killed by SIGKILL") == 1
    status, err = done(start("resume", "--run=parts"))
    assert status == 0, err
    assert_same(whole, run_in("parts"))


SLOW = """
import time
from pathlib import Path

from lightning.pytorch import Callback


class SlowValidation(Callback):
    def on_validation_batch_start(self, *args):
        Path("validates").touch()
        time.sleep(2)
"""


@pytest.mark.slow
def test_one_of_four_stops_all_within_a_long_validation(own: Callable[[str], str]) -> None:
    own(SLOW)
    options = ["--trainer.devices=4", "--data.batch_size=3", "--trainer.callbacks+=own.SlowValidation", "--runs=parts"]
    process = start("fit", *fit_options("digits_mlp"), "--trainer.limit_train_batches=1", "--logger=csv", *options)
    while not Path("validates").exists() and process.poll() is None:
        time.sleep(0.01)
    os.kill(child(process, 3), signal.SIGUSR2)
    assert ended(process, "fit: stopped by SIGTERM") == 75
    assert (run_in("parts") / "last.ckpt").exists()


@pytest.fixture
def nodes() -> Iterator[list[list[str]]]:
    """Make two networks of one machine each, and a cable between them; return how to start a program in each."""
    if sys.platform != "linux" or os.geteuid() or not shutil.which("ip"):
        pytest.skip("needs Linux, root, and the command ip of iproute2")
    names = [f"lamp{os.getpid()}{letter}" for letter in "ab"]
    made = [subprocess.run(["ip", "netns", "add", name], check=False).returncode for name in names]
    if any(made):
        pytest.skip("network namespaces are not permitted here")
    try:
        cable = ["ip", "-n", names[0], "link", "add", "cable", "type", "veth", "peer", "name", "cable"]
        subprocess.run([*cable, "netns", names[1]], check=True)
        for number, name in enumerate(names, 1):
            subprocess.run(["ip", "-n", name, "addr", "add", f"10.77.0.{number}/24", "dev", "cable"], check=True)
            for device in ("lo", "cable"):
                subprocess.run(["ip", "-n", name, "link", "set", device, "up"], check=True)
        yield [["ip", "netns", "exec", name] for name in names]
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=True)


TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]


@pytest.mark.slow
def test_torchrun_restarts_two_nodes_and_stops_them(nodes: list[list[str]], whole: Path) -> None:
    options = ["fit", *fit_options("digits_mlp"), *OPTIONS, *SAVING, "--runs=parts"]
    meeting = ["--rdzv-backend=c10d", "--rdzv-endpoint=10.77.0.1:29400"]
    place = ["--nnodes=2", "--nproc-per-node=1", "--max-restarts=1", *meeting]
    both = []
    for number, node in enumerate(nodes, 1):
        own_place = [f"--local-addr=10.77.0.{number}", f"--rdzv-conf=is_host={number == 1}", "-m"]
        before = [*node, *TORCHRUN, *place, *own_place]
        both.append(start(*options, before=before, GLOO_SOCKET_IFNAME="cable"))
    wait_for(both[0], 1)
    os.kill(child(both[1], 0), signal.SIGKILL)
    wait_for(both[0], 2)
    for process in both:
        process.terminate()
    errors = [done(process) for process in both]
    assert [status for status, _ in errors] == [1, 1], errors  # whatever the ranks have returned
    assert sum(err.count("; to continue: ") for _, err in errors) == 2, errors
    status, err = done(start("resume", "--run=parts", "--trainer.devices=2"))
    assert status == 0, err
    assert_same(whole, run_in("parts"))
