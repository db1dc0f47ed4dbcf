"""A WandbLogger for a run that is one run in W&B however often it is resumed."""

import json
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import wandb
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch import loggers
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_only

from lamphouse.errors import short_path
from lamphouse.files import write_whole
from lamphouse.loggers.table import is_epochs

IDENTITY = Path("wandb", "identity.json")  # of W&B's run, in the directory of our own
EXIT = b"\x92\x01"  # the field `exit` in wandb_internal.proto: the last record of a complete file has it
PLACES = {"WANDB_DATA_DIR": "", "WANDB_ARTIFACT_DIR": "artifacts"}  # below ~ by default
CACHE = Path(".cache")  # in the working directory, and not in that of a run that may never begin
WATCHED = ("gradients", "parameters", "all")


class WandbLogger(loggers.WandbLogger):
    """Logs a run to W&B, which shows epochs where a metric has one, and the best value of what a checkpoint monitors.

    Args:
        directory: of the run, in which the id of W&B's is kept.
        watch: log histograms of "gradients", "parameters" or "all" every `log_every_n_steps` steps.
        log_model: log the best checkpoint as an artifact, `model-<id of the run>`, when training has ended; "all" logs
            each, as Lightning does.
        checkpoint_name: another name of the artifact.
        **options: Lightning's own, and those of `wandb.init`.

    Raises:
        ValueError: there is nothing of that name to watch or to log.
    """

    def __init__(
        self,
        directory: str | Path,
        watch: str | None = None,
        log_model: bool | str = False,
        checkpoint_name: str | None = None,
        **options: Any,
    ) -> None:
        if watch not in (None, *WATCHED):
            raise ValueError(f"watch {watch}: there are {', '.join(WATCHED)}")
        if log_model not in (True, False, "all"):
            raise ValueError(f"log_model {log_model}: there are true, false, all")
        if log_model and checkpoint_name:
            wandb.Artifact(checkpoint_name, "model")  # raises if it cannot be a name
        chosen: Any = log_model
        super().__init__(log_model=chosen, checkpoint_name=checkpoint_name, **options)
        self.directory, self.watched, self.log_model, self.artifact = Path(directory), watch, log_model, checkpoint_name
        self.trainer: Any = None
        self.begun = False
        self.defined = {"epoch"}  # metrics whose axis has been chosen

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        run = super().experiment
        if not self.begun and not run.disabled:
            self.begun = True
            steps = read_identity(self.directory).get("steps")
            if steps and run.offline:  # W&B itself knows the steps of a run of its server only
                run.log({}, step=steps, commit=False)
            named = {"version": run.id, "entity": run.entity, "project": run.project, "name": run.name}
            update_identity(self.directory, **named, group=run.group)
        return run

    @rank_zero_only
    def log_graph(self, model: Any, *args: Any, **kwargs: Any) -> None:
        self.trainer = model.trainer
        if self.watched and self.trainer.state.fn == TrainerFn.FITTING:
            self.watch(model, log=self.watched, log_freq=max(self.trainer.log_every_n_steps, 1), log_graph=False)

    @rank_zero_only
    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        run, monitors = self.experiment, {one.monitor: one for one in self.monitors}
        for name in metrics.keys() - self.defined:
            self.defined.add(name)
            axis = {"step_metric": "epoch"} if self.trainer and is_epochs(metrics, self.trainer) else {}
            best = {"summary": monitors[name].mode} if name in monitors and not run.sweep_id else {}
            if axis or best:  # a sweep is told of a number
                run.define_metric(name, **axis, **best)
        super().log_metrics(metrics, step)
        for name in metrics.keys() & monitors.keys():
            if (former := monitors[name].best_model_score) is not None and not run.sweep_id:
                self.summarize(name, monitors[name].mode, [float(former), metrics[name]])

    def summarize(self, name: str, mode: str, values: Any) -> None:
        """Put the best of values into the summary, in which W&B has the best since the run was resumed."""
        self.experiment.summary.update({name: {mode: max(values) if mode == "max" else min(values)}})

    @property
    def monitors(self) -> list[Any]:
        """The Trainer's checkpoint callbacks that monitor a metric."""
        return [one for one in getattr(self.trainer, "checkpoint_callbacks", ()) if getattr(one, "monitor", None)]

    @rank_zero_only
    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        if self.log_model == "all":
            super().after_save_checkpoint(checkpoint_callback)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        super().finalize(status)
        if self.trainer is None or self.trainer.state.fn != TrainerFn.FITTING:
            return
        if self.watched:
            self.experiment.unwatch(self.trainer.lightning_module)
        best = next((one for one in self.monitors if one.best_model_path), None)
        if status == "success" and self.log_model is True and best is not None:
            self._log_artifact(best)

    def _log_artifact(self, best: Any) -> None:
        score = {"score": float(best.best_model_score), "monitor": best.monitor, "mode": best.mode}
        name = self.artifact or re.sub(r"[^\w.-]", "-", f"model-{self.experiment.id}")
        artifact = wandb.Artifact(name, "model", metadata=score)
        add = artifact.add_dir if Path(best.best_model_path).is_dir() else artifact.add_file
        add(best.best_model_path, name="model.ckpt")
        if (config := self.directory / "config.yaml").is_file():
            artifact.add_file(str(config))
        self.experiment.log_artifact(artifact, aliases=["latest", "best"])


def read_identity(directory: Path) -> dict[str, Any]:
    """Read what identifies W&B's run, and how many steps it has recorded, from the directory of our own."""
    with suppress(OSError, ValueError):
        return dict(json.loads((directory / IDENTITY).read_text("utf-8")))
    return {}


def update_identity(directory: Path, **known: Any) -> None:
    """Keep what identifies W&B's run in the directory of our own."""
    known = {**read_identity(directory), **{name: value for name, value in known.items() if value}}
    (directory / IDENTITY).parent.mkdir(parents=True, exist_ok=True)
    write_whole(directory / IDENTITY, json.dumps(known) + "\n")


def segments(directory: Path) -> list[Path]:
    """Find what was recorded offline and not uploaded yet, the oldest first: a folder for each time the run went on."""
    roots = dict.fromkeys((directory, Path(os.environ.get("WANDB_DIR") or directory)))
    version = read_identity(directory).get("version", "*")
    # W&B adds -1 and so on to the names of those that begin in the same second
    patterns = [f"wandb/offline-run-*-{version}{end}" for end in ("", "-[0-9]")]
    found = {folder for root in roots for pattern in patterns for folder in root.glob(pattern)}
    return sorted((folder for folder in found if not _is_uploaded(folder)), key=lambda folder: folder.name)


def _is_uploaded(folder: Path) -> bool:
    done = ".wandb.synced" if is_complete(folder) else ".wandb.syncstate"  # W&B marks no file as done that is cut off
    return any(folder.glob(f"*{done}")) or not any(folder.glob("*.wandb"))


def is_complete(folder: Path) -> bool:
    """Return whether the record in a folder has its end, and was not cut off as by a full disk or by SIGKILL."""
    for path in folder.glob("*.wandb"):
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - 100, 0))
            return EXIT in file.read()
    return False


def sync_commands(folders: list[Path], *options: str) -> list[list[str]]:
    """Return arguments of this Python that upload folders, in their order; after what is cut off, W&B stops."""
    groups: list[list[Path]] = [[]]
    for folder in folders:
        groups[-1].append(folder)
        if not is_complete(folder):
            groups.append([])
    return [["-m", "wandb", "sync", *options, *map(short_path, group)] for group in groups if group]


def keep_within(run_dir: Path) -> None:
    """Keep what W&B caches and stages in the project and the run's directory, unless its variables say otherwise."""
    os.environ.setdefault("WANDB_CACHE_DIR", str(CACHE.absolute()))
    for variable, place in PLACES.items():
        os.environ.setdefault(variable, str(run_dir.absolute() / "wandb" / place))


def forget_places(run_dir: Path) -> None:
    """Let the next run of this process have places of its own."""
    for variable, place in PLACES.items():
        if os.environ.get(variable) == str(run_dir.absolute() / "wandb" / place):
            del os.environ[variable]
