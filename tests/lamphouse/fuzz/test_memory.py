"""Input that grows when it is read is refused before it fills the memory of a process with a limit."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT, fit_options
from fake_data import write_image

from tests.lamphouse.fuzz.test_images import BOMBS
from tests.lamphouse.fuzz.test_yaml import BOMB

MORE = 2**30  # bytes, beside what the imports took
SECONDS = 120  # for what would never end; each takes about one
CHILD = f"""
import resource, sys
from pathlib import Path
import torch
from arc_light.__main__ import main
from lamphouse.cli.commands import evaluate, fit, predict, resume
pages = int(Path("/proc/self/statm").read_text().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + {MORE},) * 2)
main(sys.argv[1:])
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the limit is set from what Linux tells"),
]


def refused(*args: object) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", CHILD, *map(str, args)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert "MemoryError" not in done.stderr


@pytest.mark.parametrize("name", ["a line of pixels", "9,000 pixels a side, all there", "a comment of 100 MB"])
def test_an_image(trained: Path, name: str) -> None:
    Path("bomb.png").write_bytes(BOMBS[name])
    refused("predict", "--run", trained, "--input=bomb.png")


@pytest.mark.parametrize("text", [BOMB, "trainer: {callbacks: &a [*a]}", "[" * 500_000], ids=["laughs", "loop", "deep"])
def test_a_yaml_file(text: str) -> None:
    Path("bomb.yaml").write_text(text)
    refused("fit", *fit_options("digits_mlp"), "-c", "bomb.yaml")


@pytest.mark.parametrize("command", ["evaluate", "predict", "resume"])
def test_a_checkpoint(trained: Path, command: str) -> None:
    path = trained / "best.ckpt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("archive/data.pkl", "w") as part:
        for _ in range(1500):
            part.write(bytes(2**20))
    for name in ("last", "previous"):
        shutil.copy(path, trained / f"{name}.ckpt")
    more = {"predict": ["--input", write_image(Path("image.png"))], "resume": ["--trainer.max_epochs=3"]}
    refused(command, "--run", trained, *more.get(command, []))
