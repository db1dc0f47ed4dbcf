"""Two processes against each other, and against the hand-written loop on the global batch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from cases import AUTOMATIC, HANDWRITTEN, MANUAL
from torch import Tensor

from lamphouse.checkpoints.files import load_checkpoint

ROOT = Path(__file__).parents[3]
BATCHES, EPOCHS = 7, 3
TOLERANCE = 1e-6  # absolute, of losses and weights; the means of two halves are rounded otherwise than one mean
NOTED = '''
"""A model that writes down the loss of each of its steps, to the bit."""

import os

import torch

from arc_light.models.mlp import MLPClassifier


class Noted(MLPClassifier):
    def loss(self, batch):
        loss, logits = super().loss(batch)
        if torch.is_grad_enabled():
            with open(f"{os.environ['NOTES']}-{os.environ.get('LOCAL_RANK', 0)}", "a") as file:
                print(loss.item().hex(), file=file)
        return loss, logits
'''


def train(loop: str, devices: int, *options: str) -> tuple[list[list[float]], dict[str, Tensor], list[str]]:
    """Return the losses by process, the last weights and the columns of metrics.csv."""
    name = f"{loop}-{devices}"
    configs = [
        option for file in ("trainer", "digits_mlp") for option in ("-c", str(ROOT / "configs" / f"{file}.yaml"))
    ]
    fixed = ["--model=noted.Noted", "--trainer.accelerator=cpu", "--trainer.logger=false", f"--loop={loop}"]
    fixed += [f"--trainer.devices={devices}", f"--trainer.limit_train_batches={BATCHES}", f"--runs={name}"]
    fixed += [f"--trainer.max_epochs={EPOCHS}", f"--data.batch_size={64 // devices}"]
    fixed += ["--trainer.accumulate_grad_batches=3", "--trainer.gradient_clip_val=0.5", "--model.hidden_sizes=[32]"]
    paths = os.pathsep.join([str(ROOT / "src"), str(Path.cwd())])
    environment = {**os.environ, "PYTHONPATH": paths, "NOTES": name, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "arc_light", "fit", *configs, *fixed, *options]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=300)
    run = next(Path(name).glob("*/*"))
    losses = [[float.fromhex(line) for line in Path(f"{name}-{rank}").read_text().split()] for rank in range(devices)]
    rows = [",".join(row.split(",")[:9]) for row in (run / "metrics.csv").read_text().splitlines()]
    return losses, load_checkpoint(run / "last.ckpt")["state_dict"], rows


@pytest.mark.slow
def test_two_processes_agree_to_the_bit_and_one_nearly() -> None:
    Path("noted.py").write_text(NOTED)
    automatic, manual = (train(loop, 2, "--trainer.strategy=ddp") for loop in (AUTOMATIC, MANUAL))
    assert [len(losses) for losses in automatic[0]] == [BATCHES * EPOCHS] * 2
    assert automatic[0] == manual[0]
    assert automatic[1].keys() == manual[1].keys()
    assert all(torch.equal(automatic[1][name], manual[1][name]) for name in manual[1])
    assert automatic[2] == manual[2]

    losses, weights, rows = train(HANDWRITTEN, 1)
    means = torch.tensor(automatic[0]).mean(0)
    assert torch.allclose(torch.tensor(losses[0]), means, rtol=0, atol=TOLERANCE)
    for name, weight in weights.items():
        assert torch.allclose(weight, automatic[1][name], rtol=0, atol=TOLERANCE)
    for mine, theirs in zip(rows[1:], automatic[2][1:], strict=True):
        numbers = [[float(cell) for cell in row.split(",") if cell] for row in (mine, theirs)]
        assert numbers[0] == pytest.approx(numbers[1], rel=0, abs=TOLERANCE)
