"""The batch script, with stand-ins for SLURM's own commands."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import FEW_BATCHES, ROOT
from same_runs import assert_same, run_in

PYTHON = """#!/usr/bin/env bash
exec "{python}" "$@"
"""
SRUN = """#!/usr/bin/env bash
# sends the signal when there is a first checkpoint, as a time limit would
"$@" & child=$!
until compgen -G "runs/slurm-7/*/*/last.ckpt" >/dev/null || ! kill -0 $child; do sleep 0.01; done
[ -e requeued ] || kill -USR1 $child
wait $child
"""
SCONTROL = """#!/usr/bin/env bash
echo "$@" >> requeued
"""


def executable(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


@pytest.mark.slow
def test_a_job_that_is_out_of_time_goes_back_into_the_queue_and_on() -> None:
    shutil.copytree(ROOT / "configs", "configs")
    executable(Path(".venv/bin/python"), PYTHON.format(python=sys.executable))
    executable(Path("bin/srun"), SRUN)
    executable(Path("bin/scontrol"), SCONTROL)
    environment = {**os.environ, "SLURM_JOB_ID": "7", "PATH": f"{Path('bin').absolute()}:{os.environ['PATH']}"}
    options = [
        "digits_mlp",
        "--logger=none",
        "--trainer.max_epochs=3",
        "--trainer.accelerator=cpu",
        *FEW_BATCHES,
    ]
    script = ["bash", str(ROOT / "docs" / "slurm.sbatch"), *options]

    first = subprocess.run(script, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert first.returncode == 75, first.stderr
    assert "stopped by SIGUSR1" in first.stderr
    assert Path("requeued").read_text() == "requeue 7\n"
    second = subprocess.run(script, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert second.returncode == 0, second.stderr
    assert Path("requeued").read_text() == "requeue 7\n"

    whole = {**environment, "SLURM_JOB_ID": "8"}
    executable(Path("bin/srun"), '#!/usr/bin/env bash\n"$@"\n')
    subprocess.run(script, env=whole, check=True, capture_output=True, timeout=300)
    assert_same(run_in("runs/slurm-8"), run_in("runs/slurm-7"))
