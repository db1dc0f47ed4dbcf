"""The files for SLURM and SkyPilot, with stand-ins for commands of theirs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import FEW_BATCHES, ROOT
from same_runs import assert_same, run_in

PYTHON = """#!/usr/bin/env bash
exec "{python}" "$@"
"""
SRUN = """#!/usr/bin/env bash
# starts a task on each of two nodes, and sends the signal when there is a first checkpoint, as a time limit would
export SLURM_STEP_ID=0 SLURM_NTASKS=2 SLURM_NTASKS_PER_NODE=1 SLURM_NNODES=2 SLURM_NODELIST=127.0.0.1 SLURM_LOCALID=0
tasks=()
for rank in 0 1; do SLURM_PROCID=$rank SLURM_NODEID=$rank "$@" & tasks+=($!); done
until compgen -G "runs/slurm-7/*/*/last.ckpt" >/dev/null || ! kill -0 "${tasks[0]}" 2>/dev/null; do sleep 0.01; done
[ -e requeued ] || kill -USR1 "${tasks[@]}"
status=0
for task in "${tasks[@]}"; do wait "$task" || status=$?; done
exit $status
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
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "SLURM_JOB_ID": "7",
        "PATH": f"{Path('bin').absolute()}:{os.environ['PATH']}",
    }
    options = [
        "digits_mlp",
        "--logger=none",
        "--trainer.max_epochs=2",
        "--trainer.accelerator=cpu",
        *FEW_BATCHES,
    ]
    script = ["bash", str(ROOT / "docs" / "slurm.sbatch"), *options]

    first = subprocess.run(script, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert first.returncode == 75, first.stderr
    assert first.stderr.count("stopped by SIGUSR1") == 1
    assert Path("requeued").read_text() == "requeue 7\n"
    second = subprocess.run(script, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert second.returncode == 0, second.stderr
    assert Path("requeued").read_text() == "requeue 7\n"

    whole = {**environment, "SLURM_JOB_ID": "8"}
    subprocess.run(script, env=whole, check=True, capture_output=True, timeout=300)
    assert [len([*Path(f"runs/slurm-{job}", "digits_mlp").iterdir()]) for job in (7, 8)] == [1, 1]
    assert_same(run_in("runs/slurm-8"), run_in("runs/slurm-7"))


def test_the_machines_of_a_cloud_train_together(monkeypatch: pytest.MonkeyPatch) -> None:
    task = yaml.safe_load((ROOT / "docs" / "skypilot.yaml").read_text())
    known = {"name", "num_nodes", "workdir", "resources", "envs", "file_mounts", "setup", "run"}
    assert (task.keys() - known, task["setup"]) == (set(), "make setup")
    envs = {**task["envs"], "EXPERIMENT": "digits_mlp"}
    for name, value in {**envs, "NODE_IPS": "10.0.0.1\n10.0.0.2", "NODE_RANK": "1", "NUM_NODES": "2"}.items():
        monkeypatch.setenv(name if name in envs else f"SKYPILOT_{name}", value)
    monkeypatch.setenv("SKYPILOT_NUM_GPUS_PER_NODE", "8")
    executable(Path("bin/make"), f'#!/usr/bin/env bash\n{shutil.which("make")} --dry-run -C {ROOT} "$@"\n')
    monkeypatch.setenv("PATH", f"{Path('bin').absolute()}:{os.environ['PATH']}")
    done = subprocess.run(["bash", "-c", task["run"]], capture_output=True, text=True, check=True)
    launcher = "--nnodes=2 --node-rank=1 --nproc-per-node=8 --master-addr=10.0.0.1 --master-port=29500"
    command = f".venv/bin/torchrun {launcher} -m -- arc_light fit -c configs/trainer.yaml -c configs/digits_mlp.yaml"
    assert f"{command} --logger none --runs ~/runs" in " ".join(done.stdout.split())
