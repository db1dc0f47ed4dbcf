"""Weights & Biases: a run of the same name, and no network where there is no key or no server.

wandb takes half a second to import; this module does, which is therefore imported only for those who use it.
"""

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from inspect import signature
from itertools import starmap
from pathlib import Path
from typing import Any

import wandb
from lightning.pytorch.utilities import rank_zero_only
from pydantic import ValidationError  # which W&B raises
from wandb.sdk.lib.module import unset_globals

from lamphouse.errors import InputError, python_command, short_path
from lamphouse.loggers.guard import GuardedLogger
from lamphouse.loggers.wandb_run import (
    CACHE,
    WandbLogger,
    forget_places,
    is_complete,
    keep_within,
    read_identity,
    segments,
    sync_commands,
    update_identity,
)

MODES = ("online", "offline", "shared", "disabled")
PATIENCE = {"init_timeout": 20.0, "finish_timeout": 120.0}  # seconds to wait for the server, by default
RUN_DECIDES = {"dir", "directory", "experiment", "id", "save_dir", "version"}
LOGGER = WandbLogger
VARIABLES = {  # by the arguments that they stand for; W&B itself reads those of others, such as WANDB_TAGS
    "group": "WANDB_RUN_GROUP",
    "name": "WANDB_NAME",
    "project": "WANDB_PROJECT",
    "resume": "WANDB_RESUME",
    "save_dir": "WANDB_DIR",
    "version": "WANDB_RUN_ID",
}
TEXTS = ("entity", "group", "job_type", "name", "notes", "project")  # which YAML may have read as numbers


def further_options() -> set[str]:
    """Name the options that WandbLogger passes on."""
    return set(signature(wandb.init).parameters)


def arguments(run_dir: Path, options: Mapping[str, Any], defaults: Mapping[str, str]) -> dict[str, Any]:
    """Choose W&B's project, run, names and directory: an option beats a variable, which beats a default.

    A resumed run continues W&B's run, whatever its own directory is called by now.
    """
    if re.search(r"api_key'?[=:] ?'[^']", str(options)):
        way_out = "set WANDB_API_KEY, or use `wandb login`"
        raise InputError(f"--logger_options.settings.api_key: would be written into the run's directory: {way_out}")
    keep_within(run_dir)
    identity = {name: value for name, value in read_identity(run_dir).items() if name != "steps"}
    if identity and identity.get("version") != os.environ.get("WANDB_RUN_ID"):
        os.environ.pop("WANDB_SWEEP_ID", None)  # with which W&B takes the id of the sweep's agent instead of this one
    mode = default_mode()  # also of a resumed run, as it is now
    own = {"version": re.sub(r"[/\\#?%:]", "-", run_dir.name), "name": run_dir.name, "save_dir": str(run_dir)}
    by_variables = {name: os.environ[variable] for name, variable in VARIABLES.items() if os.environ.get(variable)}
    chosen = {**defaults, **own, **by_variables, **identity, **_as_text(options), "directory": str(run_dir)}
    if mode is None and not options.get("mode") and segments(run_dir):  # or the summary of these would be the last one
        mode, way_out = "offline", "upload what it has recorded offline first, or set WANDB_MODE=online"
        rank_zero_only(print)(f"note: W&B: {short_path(run_dir)} goes on offline: {way_out}", file=sys.stderr)
    return {**chosen, "mode": options.get("mode") or mode}


def _as_text(options: Mapping[str, Any]) -> dict[str, Any]:
    texts = {name: str(options[name]) for name in TEXTS if options.get(name) is not None}
    tags = options.get("tags") or ()
    tags = str(tags).split(",") if isinstance(tags, str | int | float) else tags  # as in WANDB_TAGS
    return {**options, **texts, **({"tags": [str(tag).strip() for tag in tags]} if tags else {})}


def default_mode() -> str | None:
    """Return `WANDB_MODE`; where it is not set, None, which is online, with a key and "offline" without one."""
    chosen = os.environ.get("WANDB_MODE") or None
    if chosen and chosen not in MODES:
        raise InputError(f"WANDB_MODE={chosen}: no such mode; there are {', '.join(MODES)}")
    if wandb.env.core_debug(default="false"):
        raise InputError("WANDB_DEBUG: W&B would write its API key into the run's directory: unset it")
    try:
        set_up()
        return chosen or (None if wandb.login(prompt=False, verify=False) else "offline")  # without the network yet
    except (wandb.errors.AuthenticationError, wandb.errors.UsageError) as error:
        raise InputError(f"W&B: {error}: correct the key, or set WANDB_MODE=offline") from error
    except Exception:  # it will fail again when the run begins, and be reported then
        return "offline"


def set_up() -> None:
    """Keep W&B quiet, and limit how long it waits for its server, unless the user has."""
    with suppress(AttributeError, ImportError):  # of other versions
        from wandb.analytics.opentelemetry import opentelemetry_proxy  # noqa: PLC0415

        # its reports on itself are refused with the key, and never end where its service cannot be started
        opentelemetry_proxy.disable()
    ours = {"silent": True, "console": "off"}
    quiet: Any = {name: value for name, value in ours.items() if f"WANDB_{name.upper()}" not in os.environ}
    given = wandb.setup(wandb.Settings(**quiet)).settings.model_fields_set
    limits: Any = {name: seconds for name, seconds in PATIENCE.items() if name not in given}
    wandb.setup(wandb.Settings(finish_timeout_raises=True, **limits))


def begin(logger: GuardedLogger, config: dict[str, Any], trainer: Any) -> None:
    """Begin the W&B run, with the whole configuration: offline, and with a warning, if it cannot be online."""
    try:
        logger.wrapped.log_hyperparams(config)
    except wandb.errors.UsageError as error:
        raise InputError(f"--logger_options: {' '.join(str(error).split())}") from error
    except ValidationError as error:  # of what is given to wandb.init
        wrong = error.errors()[0]
        name = str(wrong["loc"][0] if wrong["loc"] else "settings").removeprefix("run_")
        raise InputError(f"--logger_options.{name} {logger.arguments.get(name, '')}: {wrong['msg']}") from error
    except Exception as error:
        if logger.arguments.get("mode") == "offline" or not logger.arguments:
            raise
        _leave()
        set_up()
        logger.wrapped = WandbLogger(**{**logger.arguments, "mode": "offline"})
        logger.wrapped.log_hyperparams(config)
        logger.warn(error, "it records offline")
    if isinstance(logger.wrapped, WandbLogger):
        logger.wrapped.trainer = trainer


@rank_zero_only
def log_best(logger: GuardedLogger, config: Any, best: Mapping[str, float]) -> None:  # noqa: ARG001  # as TensorBoard's
    """Put the metrics of the best epoch into the summary, in which W&B itself has the last ones."""
    run: Any = logger.wrapped
    run.experiment.summary.update(best)
    for one in run.monitors:
        if run.experiment.sweep_id is None and f"best/{one.monitor}" in best:
            run.summarize(one.monitor, one.mode, [best[f"best/{one.monitor}"]])


def log_pictures(
    logger: GuardedLogger,
    images: Mapping[str, Any],
    tables: Mapping[str, Sequence[Mapping[str, Any]]],
    graph: Any,  # noqa: ARG001  # as TensorBoard's
    step: int,
) -> None:
    """Log images, and tables with theirs, each of which becomes a file."""
    logged: dict[str, Any] = {f"pictures/{title}": wandb.Image(image, caption=title) for title, image in images.items()}
    for title, rows in tables.items():
        shown = [{**row, "image": wandb.Image(row["image"])} if row.get("image") else row for row in rows]
        logged[f"tables/{title}"] = wandb.Table(list(rows[0]), [list(row.values()) for row in shown])
    logger.experiment.log({**logged, "trainer/global_step": step})


def _leave() -> BaseException | None:
    """Leave W&B's run and its service, which ends once everything is written; return what went wrong."""
    failure: BaseException | None = None
    for step in (wandb.finish, wandb.teardown, unset_globals):  # the third as the first may fail before it
        try:
            step()
        except (Exception, SystemExit) as error:  # the latter if the service ended badly
            failure = failure or error
    return failure


def close(logger: GuardedLogger) -> None:
    """Close the W&B run, if there is one, and say how to upload it where that is left to do."""
    run, gave_up = wandb.run, logger.failed
    directory: Any = getattr(logger.wrapped, "directory", Path())  # of another WandbLogger, the working directory
    steps = None if gave_up or run is None or run.disabled else logger.attempt(lambda: run.step)
    failure = _leave()
    forget_places(directory)
    if run is None or run.disabled:
        return
    record = Path(run.settings.sync_file)
    complete = is_complete(record.parent)
    if run.offline and not complete:
        failure = failure or OSError(f"{short_path(record)} is cut off, as by a full disk")
    if failure:
        logger.fail(failure)
    elif steps:
        update_identity(directory, steps=steps)
    if not (run.offline or logger.failed):
        print(f"W&B: {run.url}")
    elif not complete or gave_up:
        return
    broken = [] if run.offline or not logger.failed else [record.parent]
    if commands := sync_commands([*segments(directory), *broken], *["--include-online"] * len(broken)):
        print(f"W&B recorded offline; to upload it: {'; '.join(starmap(python_command, commands))}")


def sync(run_dir: Path) -> None:
    """Upload what was recorded of a run offline, in its order, by W&B's own command.

    Raises:
        InputError: there is no key, or not everything could be uploaded.
    """
    keep_within(run_dir)
    if not (left := segments(run_dir)):
        print(f"{short_path(run_dir)}: nothing that W&B has recorded offline is left to upload")
        return
    require_key()
    for command in sync_commands(left):
        environment = {"WANDB_DIR": str(run_dir), **os.environ}  # for logs
        subprocess.run([sys.executable, *command], env=environment, check=False)
    if left := segments(run_dir):
        raise InputError(f"{short_path(left[0])}: not uploaded, see above: try again, what has been uploaded is kept")


def fetch(reference: str) -> Path:
    """Fetch the checkpoint and the configuration of a run that logged them as an artifact; return their directory.

    Raises:
        InputError: W&B has no such artifact, or cannot be asked.
    """
    os.environ.setdefault("WANDB_CACHE_DIR", str(CACHE.absolute()))
    require_key()
    try:
        artifact = wandb.Api(timeout=20).artifact(reference)
        directory = CACHE.joinpath("models", artifact.entity, artifact.project, artifact.name.replace(":", "-"))
        artifact.download(root=str(directory))
        (directory / "model.ckpt").replace(directory / "best.ckpt")
    except (wandb.errors.Error, OSError, ValueError) as error:
        message = " ".join(str(error).split())
        raise InputError(f"--run {reference}: {message}: give an artifact of --logger_options.log_model") from error
    return directory


def require_key() -> None:
    """Raise an `InputError` unless there is an API key that the server takes."""
    try:
        set_up()
        found = wandb.login(prompt=False, verify=True)  # waits 10 s for the server (WANDB_HTTP_TIMEOUT)
    except (wandb.errors.AuthenticationError, wandb.errors.UsageError) as error:
        raise InputError(f"W&B: {error}: check the key and the network") from error
    if not found:
        raise InputError("W&B: no API key: set WANDB_API_KEY, or use `wandb login`")
