"""`fit`: what a run writes, and that it is what was computed."""

import csv
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import yaml
from conftest import FEW_BATCHES, Outcome, fit_options
from torch.nn import functional as F

from lamphouse.loggers.table import COLUMNS
from arc_light.__main__ import main
from arc_light.data.digits import DigitsDataModule
from arc_light.models.mlp import MLPClassifier

Command = Callable[..., Outcome]


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def only_run() -> Path:
    (path,) = Path("runs", "digits_mlp").iterdir()
    return path


def rates(run: Path) -> list[float]:
    return [float(row["lr"]) for row in rows(run) if row["lr"]]


def test_metrics_have_a_row_an_epoch_and_one_for_the_test(trained: Path) -> None:
    header = (trained / "metrics.csv").read_text().splitlines()[0].split(",")
    expected = (
        "epoch, step, train/loss, train/acc, val/loss, val/acc, test/loss, test/acc, lr, samples_per_second, seconds"
    )
    assert header == list(COLUMNS) == expected.split(", ")
    *epochs, test = rows(trained)
    assert [row["epoch"] for row in epochs] == ["0", "1"]
    steps = [int(row["step"]) for row in epochs]
    assert steps[1] - steps[0] == -(-1295 // 128)  # training images in batches of 128
    for row in epochs:
        assert all(float(row[name]) >= 0 for name in header if not name.startswith("test/"))
        assert row["test/loss"] == row["test/acc"] == ""
    assert 0 < float(test["test/acc"]) <= 1
    assert test["train/loss"] == test["val/acc"] == ""


def test_the_reported_figures_can_be_computed_again_from_the_checkpoint(trained: Path) -> None:
    model = MLPClassifier.load_from_checkpoint(trained / "best.ckpt", weights_only=True).eval()
    data = DigitsDataModule(seed=42)
    data.setup("fit")
    data.setup("test")
    *epochs, test = rows(trained)
    best = max(epochs, key=lambda row: float(row["val/acc"]))
    for part, row in (("val", best), ("test", test)):
        images, labels = data.parts[part][:]
        with torch.inference_mode():
            logits = model(data.normalise(images))
        assert float(row[f"{part}/acc"]) == pytest.approx((logits.argmax(1) == labels).double().mean().item(), abs=1e-6)
        assert float(row[f"{part}/loss"]) == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-4)


def test_a_run_learns(trained: Path) -> None:
    first, second, test = rows(trained)
    assert float(second["train/loss"]) < float(first["train/loss"])
    assert float(test["test/acc"]) > 0.85


def test_the_config_is_whole_and_makes_the_same_run_again(fit: Command, arc: Command) -> None:
    fit()
    first = only_run()
    config = yaml.safe_load((first / "config.yaml").read_text())
    assert config["model"]["init_args"]["num_classes"] == 10
    assert config["model"]["init_args"]["optimizer"]["init_args"]["betas"] == [0.9, 0.999]  # a default nobody gave
    assert config["data"]["init_args"]["seed"] == config["seed_everything"] == 42
    assert arc("fit", "-c", first / "config.yaml", "--runs=again").status == 0
    (second,) = Path("again", "digits_mlp").iterdir()
    states = [torch.load(run / "last.ckpt", weights_only=True)["state_dict"] for run in (first, second)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_another_seed_makes_another_run(fit: Command) -> None:
    for seed in (1, 2):
        fit(f"--seed_everything={seed}", f"--runs=runs{seed}")
    states = [
        torch.load(next(Path(f"runs{seed}").glob("*/*")) / "last.ckpt", weights_only=True)["state_dict"]
        for seed in (1, 2)
    ]
    assert not torch.equal(states[0]["network.1.weight"], states[1]["network.1.weight"])


def test_versions_and_commit_are_written_down(trained: Path) -> None:
    described = json.loads((trained / "environment.json").read_text())
    assert described["packages"]["lightning"]
    assert "commit" in described["git"]


def test_two_runs_of_one_second_have_their_own_directories(fit: Command) -> None:
    for _ in range(2):
        assert fit("--trainer.limit_train_batches=1").status == 0
    assert len(list(Path("runs", "digits_mlp").iterdir())) == 2


def test_the_summary_says_what_was_reached_and_where(fit: Command) -> None:
    outcome = fit("--trainer.max_epochs=2")
    run = only_run()
    *epochs, test = rows(run)
    best = max(range(2), key=lambda epoch: float(epochs[epoch]["val/acc"]))
    lines = {line.split()[0]: line.split()[1:] for line in outcome.out.splitlines() if line.strip()}
    assert lines["train"] == [f"{float(epochs[best][f'train/{name}']):.4f}" for name in ("loss", "acc")]
    assert lines["validation"] == [f"{float(epochs[best][f'val/{name}']):.4f}" for name in ("loss", "acc")]
    assert lines["test"] == [f"{float(test[f'test/{name}']):.4f}" for name in ("loss", "acc")]
    assert f"best epoch  {best} of 0..1" in outcome.out
    assert lines["run"] == [str(run)]
    assert {"wall", "throughput"} <= set(lines)


def test_the_best_checkpoint_is_that_of_the_best_validation(fit: Command) -> None:
    """A rate that destroys the model: the first epoch stays the best."""
    fit("--trainer.max_epochs=3", "--model.lr_scheduler=StepLR", *["--model.lr_scheduler.step_size=1"], *LEAP)
    run = only_run()
    *epochs, test = rows(run)
    best = max(range(3), key=lambda epoch: float(epochs[epoch]["val/acc"]))
    assert torch.load(run / "best.ckpt", weights_only=True)["epoch"] == best == 0
    assert torch.load(run / "last.ckpt", weights_only=True)["epoch"] == 3
    assert float(test["test/acc"]) > 2 * float(epochs[2]["val/acc"])


LEAP = [
    "--model.lr_scheduler.gamma=1e6",
    "--check_finite=false",
    "--trainer.limit_train_batches=1.0",
    "--trainer.limit_val_batches=1.0",
]


def test_early_stopping_stops_and_its_knobs_are_in_reach(fit: Command) -> None:
    fit("--trainer.max_epochs=9", "--early_stopping.patience=1", "--early_stopping.min_delta=1.0")
    assert len(rows(only_run())) == 2 + 1  # the first epoch is the best, the second is no better


SCHEDULES = {
    "none": (["--model.lr_scheduler=null"], [0.01] * 4),
    "steps": (
        ["--model.lr_scheduler=StepLR", "--model.lr_scheduler.step_size=2", "--model.lr_scheduler.gamma=0.1"],
        [0.01, 0.01, 0.001, 0.001],
    ),
    "by the epoch": (
        ["--model.lr_scheduler=ExponentialLR", "--model.lr_scheduler.gamma=0.5"],
        [0.01, 0.005, 0.0025, 0.00125],
    ),
    "plateau": (
        [
            "--model.lr_scheduler=ReduceLROnPlateau",
            "--model.lr_scheduler.monitor=val/acc",
            "--model.lr_scheduler.threshold=2",
            "--model.lr_scheduler.patience=0",
            "--model.lr_scheduler.mode=max",
        ],
        [0.01, 0.01, 0.001, 0.0001],  # the first epoch is the best so far
    ),
    "warm-up and cosine": (
        ["--model.lr_scheduler=WarmupCosineLR", "--model.lr_scheduler.warmup=0.5", "--model.lr_scheduler.initial=0"],
        [0.0, 0.005, 0.01, 0.005],  # eight steps, four of them up; the first of each epoch
    ),
    "one cycle": (
        ["--model.lr_scheduler=OneCycle", "--model.lr_scheduler.warmup=0.5", "--model.lr_scheduler.initial=0"],
        [0.0, 0.005, 0.01, 0.005],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("options", "expected"), SCHEDULES.values(), ids=SCHEDULES.keys())
def test_schedules_by_short_name(fit: Command, options: list[str], expected: list[float]) -> None:
    outcome = fit("--trainer.max_epochs=4", *options)
    assert (outcome.status, outcome.err) == (0, "")
    assert rates(only_run()) == pytest.approx(expected, abs=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "torch.optim.Adagrad"])
def test_optimizers_by_short_name(fit: Command, name: str) -> None:
    assert fit(f"--model.optimizer={name}", "--model.optimizer.lr=0.003", "--model.lr_scheduler=null").status == 0
    config = yaml.safe_load((only_run() / "config.yaml").read_text())
    assert config["model"]["init_args"]["optimizer"]["class_path"].endswith(name.rpartition(".")[2])
    assert rates(only_run()) == pytest.approx([0.003])


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ["--trainer.precision=bf16-mixed"],
        ["--trainer.accumulate_grad_batches=2"],
        ["--trainer.gradient_clip_val=0.5"],
        ["--data.num_workers=1"],
        ["--data.augment+=RandomFlip", "--data.augment+=RandomCrop", "--data.augment.padding=2"],
        ["--model.num_classes=10", "--model.input_shape=[1,8,8]"],  # by hand, and right
        ["--model.hidden_sizes=[]"],
        ["--trainer.enable_progress_bar=false"],
        ["--trainer.limit_val_batches=1", "--data.val_fraction=0.5"],
    ],
    ids=" ".join,
)
def test_knobs(fit: Command, options: list[str]) -> None:
    outcome = fit(*options)
    assert (outcome.status, outcome.err) == (0, "")
    assert len(rows(only_run())) == 2


def test_gradients_are_clipped(fit: Command) -> None:
    """With a tiny norm and plain SGD the weights hardly move."""
    options = ["--model.optimizer=SGD", "--model.optimizer.lr=1", "--model.lr_scheduler=null"]
    for clip in ("1e-9", "null"):
        fit(*options, f"--trainer.gradient_clip_val={clip}", f"--runs=runs{clip}")
    states = [
        torch.load(next(Path(f"runs{clip}").glob("*/*")) / "last.ckpt", weights_only=True)["state_dict"]
        for clip in ("1e-9", "null")
    ]
    torch.manual_seed(42)
    assert not torch.allclose(states[0]["network.1.weight"], states[1]["network.1.weight"], atol=1e-3)


@pytest.mark.parametrize(
    "options",
    [
        ["--trainer.max_epochs=-1"],
        ["--trainer.val_check_interval=2000"],
        ["--model.lr_scheduler=OneCycleLR", "--model.lr_scheduler.max_lr=0.1", "--model.lr_scheduler.total_steps=1"],
    ],
    ids=" ".join,
)
def test_what_only_the_run_finds_out_leaves_no_run(fit: Command, options: list[str]) -> None:
    outcome = fit(*options)
    assert (outcome.status, outcome.err.count("\n")) == (2, 1)
    assert options[0].removeprefix("--").split("=")[0].split(".")[1] in outcome.err
    assert list(Path("runs", "digits_mlp").iterdir()) == []


def test_a_run_without_end_stops_early(fit: Command) -> None:
    options = ["--model.lr_scheduler=null", "--early_stopping.patience=1", "--early_stopping.min_delta=1"]
    assert fit("--trainer.max_epochs=-1", *options).status == 0
    assert len(rows(only_run())) == 3


@pytest.mark.slow
def test_one_batch_is_learned_by_heart(fit: Command) -> None:
    options = ["--trainer.overfit_batches=1", "--trainer.max_epochs=30", "--early_stopping.patience=99"]
    outcome = fit(*options, "--model.lr_scheduler=null")
    assert (outcome.status, outcome.err) == (0, "")
    assert float(rows(only_run())[29]["train/acc"]) == 1


def test_a_trial_of_one_batch(fit: Command) -> None:
    outcome = fit("--trainer.fast_dev_run=true")
    assert (outcome.status, outcome.err) == (0, "")


def test_an_experiment_is_named_by_its_file_or_by_hand(fit: Command, arc: Command) -> None:
    fit("--experiment=mine")
    assert list(Path("runs").iterdir()) == [Path("runs/mine")]
    Path("wider.yaml").write_text("model: {init_args: {hidden_sizes: [300]}}")
    arc(*without_file(), "--model=MLPClassifier", "--data=DigitsDataModule", "-c", "wider.yaml")
    assert Path("runs/mlpclassifier").is_dir()


def without_file() -> list[str]:
    options = fit_options("digits_mlp")
    return ["fit", *options[:2], *options[4:]]


def test_an_interrupt_says_how_to_continue(fit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lamphouse.callbacks.Throughput.on_train_epoch_end", interrupt)
    outcome = fit()
    assert outcome.status == 130
    assert f"resume --run {only_run()}" in outcome.err


def test_the_epoch_lines_are_plain_when_nobody_watches(fit: Command) -> None:
    outcome = fit("--trainer.max_epochs=3")
    lines = [line for line in outcome.out.splitlines() if line.startswith("epoch ")]
    assert [line.split()[1] for line in lines] == ["0/2", "1/2", "2/2"]
    assert all(word in line for line in lines for word in ("train", "val", "loss", "acc", "samples/s"))
    assert "\x1b" not in outcome.out
    assert all(first != second for first, second in pairwise(lines))


@pytest.mark.slow
def test_the_default_experiment_reaches_what_the_readme_says(capsys: pytest.CaptureFixture[str]) -> None:
    few = {*FEW_BATCHES, "--trainer.max_epochs=1"}
    options = [option for option in fit_options("digits_mlp") if option not in few]
    main(["fit", *options])
    assert float(rows(only_run())[-1]["test/acc"]) >= 0.97
    assert "best epoch" in capsys.readouterr().out


@pytest.mark.slow
def test_without_a_compiler_nothing_is_compiled(fit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", (None, "none/g++"))
    outcome = fit("--model.compile=true")
    assert outcome.status == 2
    assert outcome.err.startswith("arc_light fit: ")
    assert "--model.compile needs a C++ compiler, install g++ or leave" in outcome.err
    assert outcome.err.count("\n") == 1
    assert not list(Path("runs").glob("*/*"))
