"""The command line itself."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import FEW_BATCHES, ROOT, Outcome, fit_options

from lamphouse.cli.main import COMMANDS
from arc_light.__main__ import main

Command = Callable[..., Outcome]


@pytest.mark.parametrize("args", [["--help"], ["-h"], []])
def test_help_lists_the_commands(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main(args)
    text = capsys.readouterr().out
    assert all(name in text and description in text for name, description in COMMANDS.items())


@pytest.mark.parametrize(
    ("command", "options"),
    [
        (
            "fit",
            ["--trainer.max_epochs", "--early_stopping.patience", "--best_checkpoint.monitor", "--seed_everything"],
        ),
        ("evaluate", ["--run", "--checkpoint"]),
        ("predict", ["--run", "--input", "--top"]),
        ("resume", ["--run", "--trainer.max_epochs"]),
    ],
)
def test_help_of_a_command_lists_its_options(arc: Command, command: str, options: list[str]) -> None:
    outcome = arc(command, "--help")
    assert outcome.status == 0
    assert all(option in outcome.out for option in options)
    assert not list(Path().iterdir())


def test_a_run_prints_nothing_on_stderr(fit: Command) -> None:
    outcome = fit()
    assert outcome.status == 0
    assert outcome.err == ""


def test_a_run_says_what_it_leaves_out_and_wraps_long_lines(fit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "50")
    outcome = fit("--trainer.limit_val_batches=0", "--trainer.limit_test_batches=0")
    assert outcome.status == 0
    assert re.findall(r"note: (\S+ \d): no (\w+)", outcome.err) == [
        ("--trainer.limit_val_batches 0", "validation"),
        ("--trainer.limit_test_batches 0", "test"),
    ]
    assert "\nlast epoch  0 of 0..0\n" in outcome.out  # by no validation the best
    header = outcome.out.partition("machine: ")[0].splitlines()
    assert len(header) > 2
    assert max(map(len, header)) <= 50


def test_what_is_not_validated_is_said(fit: Command) -> None:
    plateau = "--model.lr_scheduler=ReduceLROnPlateau"
    refused = fit("--trainer.limit_val_batches=0", plateau).err.splitlines()[-1]
    assert refused.startswith("arc_light fit: --model.lr_scheduler.monitor val/loss: no validation: ")
    few = fit("--trainer.limit_val_batches=0.001").err
    assert few.startswith("arc_light fit: --trainer.limit_val_batches 0.001: ")
    outcome = fit("--trainer.check_val_every_n_epoch=null", "--trainer.val_check_interval=9", plateau)
    assert outcome.err == "note: nothing was validated: best.ckpt has the last weights\n"


def program(*args: object) -> list[str]:
    return [sys.executable, "-m", "arc_light", *(str(arg) for arg in args)]


def call(*args: object) -> Outcome:
    done = subprocess.run(program(*args), env=own_source(), capture_output=True, text=True, check=False, timeout=300)
    return Outcome(done.returncode, done.stdout, done.stderr)


def own_source() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), "."))}


@pytest.mark.slow
def test_a_path_that_the_locale_cannot_write(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("umlaut.yaml").write_text("runs: ${PWD}/ü\n", encoding="utf-8")
    for name, value in {"LC_ALL": "C", "PYTHONUTF8": "0", "PWD": str(Path.cwd())}.items():
        monkeypatch.setenv(name, value)
    done = call("fit", *fit_options("digits_mlp"), "-c", "umlaut.yaml")
    assert done.status == 2
    assert "/\\xfc/digits_mlp/" in done.err
    assert ": cannot be written in this locale: set PYTHONUTF8=1" in done.err


@pytest.mark.slow
def test_the_module_is_a_program() -> None:
    done = call("fit", *fit_options("digits_mlp"))
    assert (done.status, done.err) == (0, "")
    assert "run         runs/digits_mlp/" in done.out
    bad = call("fit", *fit_options("digits_mlp"), "--foo")
    assert (bad.status, bad.err.count("\n")) == (2, 1)


@pytest.mark.slow
def test_two_processes_write_one_run_and_test_its_best_checkpoint() -> None:
    """The second epoch destroys the model, so that a process with the last weights would be found out."""
    whole = [option for option in fit_options("digits_mlp") if option not in FEW_BATCHES]
    leap = ["--model.lr_scheduler=StepLR", "--model.lr_scheduler.step_size=1", "--model.lr_scheduler.gamma=1e4"]
    done = call("fit", *whole, *leap, "--trainer.max_epochs=2", "--trainer.devices=2", "--trainer.strategy=ddp")
    assert (done.status, done.err) == (0, "")
    (run,) = Path("runs", "digits_mlp").iterdir()
    *epochs, test = (line.split(",") for line in (run / "metrics.csv").read_text().splitlines()[1:])
    assert len(epochs) == 2
    assert done.out.count("best epoch  0") == 1
    alone = call("evaluate", "--run", run, "--trainer.devices=1", "--trainer.strategy=auto")
    assert f"{float(test[6]):.4f}    {float(test[7]):.4f}" in alone.out


STOCK = """
from lightning.pytorch.demos.boring_classes import BoringDataModule, BoringModel
from torch.utils.data import DataLoader
class Data(BoringDataModule):
    def train_dataloader(self):
        return DataLoader([(i / 100,) * 32 for i in range(20)], shuffle=True, collate_fn=torch.tensor)
class Model(BoringModel):
    def training_step(self, batch, batch_idx):
        with open(f"seen-{self.global_rank}.txt", "a") as file:
            print(round(100 * float(batch[0, 0])), file=file)
        return super().training_step(batch, batch_idx)
    def validation_step(self, batch, batch_idx):
        self.log("val/loss", super().validation_step(batch, batch_idx)["x"])
"""


@pytest.mark.slow
def test_two_processes_share_out_the_samples_of_a_stock_loader() -> None:
    Path("mine.py").write_text(f"import torch{STOCK}")
    parts, least = ("best_checkpoint", "early_stopping"), ("monitor=val/loss", "mode=min")
    loss = [f"--{part}.{option}" for part in parts for option in least]
    options = ["--trainer.accelerator=cpu", "--trainer.devices=2", "--trainer.max_epochs=1", "--logger=none"]
    done = call("fit", "--model=mine.Model", "--data=mine.Data", *options, *loss)
    assert done.status == 0, done.err
    seen = [Path(f"seen-{rank}.txt").read_text().split() for rank in range(2)]
    assert [len(part) for part in seen] == [10, 10]
    assert len({*seen[0], *seen[1]}) == 20


@pytest.mark.slow
def test_an_interrupt_ends_in_one_line_and_the_run_goes_on() -> None:
    patience = ["--trainer.max_epochs=500", "--early_stopping.patience=500", "--runs=my runs"]
    options = [*fit_options("digits_mlp"), *patience]
    process = subprocess.Popen(
        program("fit", *options), env=own_source(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    next(line for line in process.stdout if line.startswith("epoch "))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.count("\n") == 1
    command = err.partition("to continue: ")[2].strip()
    done = len(next(Path("my runs").glob("*/*/metrics.csv")).read_text().splitlines()) - 1
    pasted = f"{command} --trainer.max_epochs={done + 1}"
    assert subprocess.run(pasted, shell=True, env=own_source(), check=False, timeout=300).returncode == 0  # noqa: S602
