"""Every part that Lightning and torch ship works exactly, or is refused before training with a reason of one line."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from inspect import isclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Outcome, fit_options
from lightning.pytorch import callbacks, loggers, plugins, profilers, strategies
from lightning.pytorch.plugins import environments
from lightning.pytorch.strategies import StrategyRegistry
from same_runs import assert_same, run_in
from torch.optim.optimizer import register_optimizer_step_post_hook

from lamphouse.cli.checks.parts import STRATEGIES

Command = Callable[..., Outcome]
KILLED_AT = 7  # of 4 steps in each of 3 epochs
SHORT = ["--trainer.max_epochs=3", "--trainer.limit_train_batches=4", "--last_checkpoint.every_n_steps=1"]
SHORT += ["--model.hidden_sizes=[8]", "--model.dropout=0.2"]
WORK, REFUSED = "works", "is refused"
NONE: dict[str, Any] = {}
# what becomes of each class, and the arguments that it is given
CALLBACKS = {
    WORK: {
        **dict.fromkeys(("BasePredictionWriter", "Callback", "Checkpoint", "LambdaCallback", "ModelSummary"), NONE),
        **dict.fromkeys(("LearningRateMonitor", "ModelCheckpoint", "ProgressBar", "RichModelSummary"), NONE),
        **dict.fromkeys(("RichProgressBar", "TQDMProgressBar"), NONE),
        "EarlyStopping": {"monitor": "val/loss"},
        "Timer": {"duration": "00:01:00:00"},
    },
    REFUSED: {
        **dict.fromkeys(("BackboneFinetuning", "BaseFinetuning", "BatchSizeFinder", "EMAWeightAveraging"), NONE),
        **dict.fromkeys(("LearningRateFinder", "SpikeDetection", "WeightAveraging"), NONE),
        "GradientAccumulationScheduler": {"scheduling": {2: 2}},
        "ModelPruning": {"pruning_fn": "l1_unstructured"},
        "OnExceptionCheckpoint": {"dirpath": "."},
        "StochasticWeightAveraging": {"swa_lrs": 0.1},
        "ThroughputMonitor": {"batch_size_fn": "len"},
    },
}
# on psutil; on a process of its own, as torch's profiler does not survive an error in this one
DEPENDS = {"DeviceStatsMonitor", "PyTorchProfiler"}
PRECISIONS = {
    "DoublePrecision": NONE,
    "HalfPrecision": {"precision": "bf16-true"},
    "MixedPrecision": {"precision": "bf16-mixed", "device": "cpu"},
    "Precision": NONE,
}
PLUGINS = {
    WORK: {**PRECISIONS, "TorchSyncBatchNorm": NONE},
    REFUSED: {
        **dict.fromkeys(("CheckpointIO", "TorchCheckpointIO", "XLACheckpointIO", "FSDPPrecision", "LayerSync"), NONE),
        "AsyncCheckpointIO": {"checkpoint_io": {"class_path": "lightning.pytorch.plugins.TorchCheckpointIO"}},
        "BitsandbytesPrecision": {"mode": "nf4"},
        "DeepSpeedPrecision": {"precision": "bf16-mixed"},
        "TransformerEnginePrecision": {"weights_dtype": "torch.bfloat16"},
        "XLAPrecision": {"precision": "32-true"},
    },
}
ENVIRONMENTS = {
    WORK: dict.fromkeys(("KubeflowEnvironment", "LightningEnvironment", "SLURMEnvironment"), NONE)
    | {"TorchElasticEnvironment": NONE},
    REFUSED: dict.fromkeys(("ClusterEnvironment", "LSFEnvironment", "MPIEnvironment", "XLAEnvironment"), NONE),
}
PROFILERS = {
    WORK: dict.fromkeys(("AdvancedProfiler", "PassThroughProfiler", "SimpleProfiler"), NONE),
    REFUSED: {"Profiler": NONE, "XLAProfiler": NONE},
}
CPU = {"device": "cpu"}
CLASSES_OF_STRATEGIES = {
    WORK: {"DDPStrategy": {"find_unused_parameters": False}, "SingleDeviceStrategy": CPU},
    REFUSED: {
        **dict.fromkeys(("DeepSpeedStrategy", "FSDPStrategy", "ModelParallelStrategy"), NONE),
        **dict.fromkeys(("ParallelStrategy", "Strategy"), NONE),
    },
}
RATE = {"lr": 0.01}
WORKING_OPTIMIZERS = "Adafactor Adadelta Adagrad Adam AdamW Adamax ASGD NAdam RAdam RMSprop Rprop SGD"
OPTIMIZERS = {
    WORK: dict.fromkeys(WORKING_OPTIMIZERS.split(), RATE),
    REFUSED: dict.fromkeys(("LBFGS", "Muon", "Optimizer", "SparseAdam"), RATE),
}
SCHEDULES = {
    WORK: {
        **dict.fromkeys(("ConstantLR", "LinearLR", "PolynomialLR"), NONE),
        "CosineAnnealingLR": {"T_max": 3},
        "CosineAnnealingWarmRestarts": {"T_0": 2},
        "CyclicLR": {"base_lr": 0.001, "max_lr": 0.01, "cycle_momentum": False},
        "ExponentialLR": {"gamma": 0.9},
        "MultiStepLR": {"milestones": [1, 2]},
        "OneCycleLR": {"max_lr": 0.01, "total_steps": 21},
        "StepLR": {"step_size": 2},
    },
    REFUSED: {
        **dict.fromkeys(("ChainedScheduler", "LRScheduler", "ReduceLROnPlateau", "SequentialLR"), NONE),
        **{name: {"lr_lambda": "math.sqrt"} for name in ("LambdaLR", "MultiplicativeLR")},
    },
}
TABLES: dict[str, tuple[Any, dict[str, dict[str, Any]]]] = {
    "trainer.callbacks+": (callbacks, CALLBACKS),
    "trainer.plugins+": (plugins, PLUGINS),
    "trainer.plugins": (environments, ENVIRONMENTS),
    "trainer.profiler": (profilers, PROFILERS),
    "trainer.strategy": (strategies, CLASSES_OF_STRATEGIES),
    "trainer.logger": (loggers, {WORK: NONE, REFUSED: dict.fromkeys(loggers.__all__, NONE)}),
    "model.optimizer": (torch.optim, OPTIMIZERS),
    "model.lr_scheduler": (torch.optim.lr_scheduler, SCHEDULES),
}


class Killed(BaseException):
    """Ends a run as a kill does: nothing of ours answers to it."""


def kill() -> None:
    raise Killed


def shipped(module: Any) -> set[str]:
    """Name the classes that a package exports."""
    names = getattr(module, "__all__", vars(module))
    return {name for name in names if isclass(getattr(module, name))}


def cases(fate: str) -> Iterator[Any]:
    for option, (module, table) in TABLES.items():
        for name, arguments in table[fate].items():
            spec = json.dumps({"class_path": f"{module.__name__}.{name}", "init_args": arguments})
            more = ["--trainer.precision=null"] if name in PRECISIONS else []
            yield pytest.param([f"--{option}={spec}", *more], id=f"{option} {name}")


@pytest.mark.parametrize("option", TABLES)
def test_each_class_that_is_shipped_is_in_the_table(option: str) -> None:
    module, table = TABLES[option]
    assert shipped(module) == {*table[WORK], *table[REFUSED]} | (DEPENDS & shipped(module))


def test_each_name_of_a_strategy_works_or_is_refused(fit: Command) -> None:
    assert {*STRATEGIES} - {"auto"} <= {*StrategyRegistry.available_strategies()}
    for name in ("ddp_fork", "fsdp"):
        refused = fit(f"--trainer.strategy={name}")
        assert (refused.status, refused.err.count("\n")) == (2, 1)
        assert refused.err.startswith(f"arc_light fit: --trainer.strategy {name}: ")


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        *cases(REFUSED),
        *(["--trainer.strategy=" + name] for name in {*StrategyRegistry.available_strategies()} - {*STRATEGIES}),
        ["--trainer.profiler=xla"],
        ['--trainer.strategy={"class_path": "lamphouse.checkpoints.FullyShardedStrategy"}', "--ema=0.9"],
        ['--trainer.callbacks+={"class_path": "BackboneFinetuning"}', "--model.lr_scheduler=null"],  # has no backbone
        ["--trainer.plugins+=lightning.pytorch.plugins.DoublePrecision"],  # and --trainer.precision
    ],
)
def test_what_is_refused_leaves_nothing(fit: Command, options: list[str]) -> None:
    refused = fit(*options)
    assert (refused.status, refused.err.count("\n")) == (2, 1), refused.err
    assert not any(path.is_file() for path in Path().rglob("*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        *cases(WORK),
        *(["--trainer.strategy=" + name] for name in STRATEGIES),
        ["--trainer.precision=64-true"],
    ],
)
def test_what_works_resumes_exactly(fit: Command, arc: Command, options: list[str]) -> None:
    options = [*SHORT, *options]
    assert fit(*options, "--runs=whole").status == 0
    steps = count(1)
    handle = register_optimizer_step_post_hook(lambda *_: kill() if next(steps) == KILLED_AT else None)
    with pytest.raises(Killed):
        fit(*options, "--runs=parts")
    handle.remove()
    assert arc("resume", "--run", run_in("parts")).status == 0
    assert_same(run_in("whole"), run_in("parts"))
    assert arc("evaluate", "--run", run_in("parts")).status == 0


@pytest.mark.slow
@pytest.mark.parametrize("option", ["--trainer.profiler=PyTorchProfiler", "--trainer.callbacks+=DeviceStatsMonitor"])
def test_what_depends_on_more_runs_through_in_processes_of_its_own(option: str) -> None:
    pytest.importorskip("psutil")
    fit = ["fit", *fit_options("digits_mlp"), *SHORT, option]
    for command in (fit, ["resume", "--trainer.max_epochs=4"], ["evaluate"]):
        arguments = [sys.executable, "-m", "arc_light", *command]
        done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
    assert [path.name for path in Path().iterdir()] == ["runs"]
