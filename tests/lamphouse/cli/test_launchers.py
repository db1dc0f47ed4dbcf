"""Processes that torchrun starts, each by itself, train one run."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import CONFIGS, fit_options

WHERE = """
from pathlib import Path

from lightning.pytorch import Callback


class Mine(Callback):
    def on_train_start(self, trainer, pl_module):
        Path(f"rank-{trainer.global_rank}").write_text(str(trainer.checkpoint_callback.dirpath))
"""


def torchrun(*args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "arc_light"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    whole = [*command, *map(str, args)]
    return subprocess.run(whole, env=environment, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.slow
def test_they_have_one_directory_and_one_run_of_wandb(own: Callable[[str], str]) -> None:
    more = ["-c", CONFIGS / "strategy" / "ddp.yaml", "--logger=wandb", f"--trainer.callbacks+={own(WHERE)}"]
    done = torchrun("fit", *fit_options("digits_mlp"), *more)
    assert done.returncode == 0, done.stderr
    (run,) = Path("runs", "digits_mlp").iterdir()
    assert [Path(f"rank-{rank}").read_text() for rank in range(2)] == [str(run.absolute())] * 2
    assert len([*run.glob("wandb/offline-run-*")]) == 1
    lines = done.stdout.splitlines()
    assert len(lines) == len({*filter(None, lines)}) + lines.count("")
