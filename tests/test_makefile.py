"""The Makefile: its help, and what its targets run."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
TARGETS = {"train", "test", "evaluate", "predict", "resume", "tune", "lint", "setup"}


def make(*args: str) -> str:
    done = subprocess.run(["make", "-C", ROOT, *args], capture_output=True, text=True, check=True)
    return done.stdout


def test_help_lists_every_target_from_its_comment() -> None:
    text = (ROOT / "Makefile").read_text()
    described = dict(re.findall(r"^([a-z-]+):.*## (.+)$", text, re.MULTILINE))
    assert set(described) >= TARGETS
    shown = make("help")
    assert all(re.search(rf"make {name} +{re.escape(comment)}", shown) for name, comment in described.items())


@pytest.mark.parametrize(
    ("args", "command"),
    [
        (["train"], "-c configs/digits_mlp.yaml"),
        (
            ["train", "EXPERIMENT=mnist_mlp", "LOGGER=csv"],
            "-c configs/mnist_mlp.yaml --logger csv",
        ),
        (
            ["train", "ARGS=--model.optimizer.lr 0.1 --trainer.max_epochs 3"],
            " --model.optimizer.lr 0.1 --trainer.max_epochs 3",
        ),
        (["train", "SEEDS=0 3"], 'repeat --seeds "0 3"  -c configs/trainer.yaml'),
        (["crossval", "FOLDS=3", "WORKERS=2"], "repeat  --workers 2 --folds 3 -c configs/trainer.yaml"),
        (["evaluate"], 'evaluate --run "runs/digits_mlp"'),
        (["evaluate", "EXPERIMENT=mnist_mlp"], 'evaluate --run "runs/mnist_mlp"'),
        (["predict", "RUN=a run", "INPUT=an image.png"], 'predict --run "a run" --input "an image.png"'),
        (["resume", "RUN=x", "ARGS=--trainer.max_epochs 9"], 'resume --run "x" --trainer.max_epochs 9'),
        (["tune", "ARGS=--ema 0.9"], "tune -c configs/trainer.yaml -c configs/digits_mlp.yaml --ema 0.9"),
        (["test"], "-m pytest"),
        (["bench", "ONLY=start step", "ARGS=--quick"], "-m benchmarks start step --quick"),
    ],
)
def test_a_target_runs(args: list[str], command: str) -> None:
    assert command in make("--dry-run", *args)


def test_the_compiler_writes_into_no_path_with_a_space() -> None:
    database = make("-pn", "CURDIR=/a clone", "help")
    assert "/a clone/.cache/inductor" not in database.replace("$(CURDIR)", "/a clone")


def test_a_file_of_a_targets_name_is_not_in_its_way() -> None:
    shutil.copy(ROOT / "Makefile", ".")
    for name in ("clean", "help"):
        Path(name).touch()
    assert "rm -rf" in subprocess.run(["make", "-n", "clean"], capture_output=True, text=True, check=True).stdout


UV = """#!/bin/sh
mkdir busy || exit 1  # two set up at once
echo "$1 $2" >> calls
mkdir -p .venv
sleep 0.1
rmdir busy
"""


def test_of_several_set_ups_at_once_one_works_and_the_others_wait() -> None:
    shutil.copy(ROOT / "Makefile", ".")
    for name in ("requirements.lock", "pyproject.toml"):
        Path(name).touch()
    Path("bin").mkdir()
    Path("bin/uv").write_text(UV)
    Path("bin/uv").chmod(0o755)
    own = {name: value for name, value in os.environ.items() if "MAKE" not in name}  # make may have called the tests
    environment = {**own, "PATH": f"{Path('bin').absolute()}{os.pathsep}{os.environ['PATH']}"}
    command = ["make", "setup", f"PYTHON={sys.executable}"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    started = [subprocess.Popen(command, env=environment, **pipes) for _ in range(5)]
    output = "".join(process.communicate()[0] for process in started)
    assert output == "installing what requirements.lock lists into .venv, once: 6 GB\n"
    assert [process.returncode for process in started] == [0] * 5
    assert Path("calls").read_text().splitlines() == ["venv --quiet", "pip sync", "pip install"]


LOCK = """\
nvidia-cublas==13 \\
    --hash=sha256:1
torch==2.15.0 \\
    --hash=sha256:2
    # via torchvision
torchmetrics==1.9.0 \\
    --hash=sha256:3
triton==3.9.0 ; sys_platform == 'linux' \\
    --hash=sha256:4
"""
RECORDING_UV = """#!/bin/sh
mkdir -p .venv
echo "$*" >> calls
case "$2" in sync) cat > installed;; esac
"""


def test_a_set_up_for_cpus_needs_no_cuda_and_is_kept() -> None:
    shutil.copy(ROOT / "Makefile", ".")
    Path("requirements.lock").write_text(LOCK)
    Path("pyproject.toml").touch()
    Path("bin").mkdir()
    Path("bin/uv").write_text(RECORDING_UV)
    Path("bin/uv").chmod(0o755)

    def run(*words: str) -> str:
        own = {name: value for name, value in os.environ.items() if "MAKE" not in name}
        environment = {**own, "PATH": f"{Path('bin').absolute()}{os.pathsep}{os.environ['PATH']}"}
        command = ["make", f"PYTHON={sys.executable}", *words]
        return subprocess.run(command, env=environment, input="", capture_output=True, text=True, check=False).stderr

    assert "TORCH=gpu: cpu is the only choice" in run("setup", "TORCH=gpu")
    run("setup", "TORCH=cpu")
    assert "--torch-backend cpu -" in Path("calls").read_text()
    assert Path("installed").read_text() == "torch==2.15.0\ntorchmetrics==1.9.0 \\\n    --hash=sha256:3\n"
    Path("calls").unlink()
    assert run("setup") == ""
    assert not Path("calls").exists()
    run("setup", "TORCH=")
    assert "--require-hashes requirements.lock" in Path("calls").read_text()
