"""Weights & Biases: a run of the same name, and no network where there is no key or no server.

wandb takes half a second to import; this module does, which is therefore imported only for those who use it.
"""

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from inspect import signature
from pathlib import Path
from typing import Any

import wandb
from lightning.pytorch.loggers import WandbLogger
from wandb.sdk.lib.module import unset_globals

from lamphouse.errors import InputError, python_command, short_path
from lamphouse.files import write_whole
from lamphouse.loggers.guard import GuardedLogger

MODES = ("online", "offline", "shared", "disabled")
PATIENCE = {"init_timeout": 20.0, "finish_timeout": 120.0}  # seconds to wait for the server, by default
RUN_DECIDES = {"dir", "experiment", "id", "save_dir", "version"}
VARIABLES = {  # by the arguments that they stand for; W&B itself reads those of others, such as WANDB_TAGS
    "group": "WANDB_RUN_GROUP",
    "name": "WANDB_NAME",
    "project": "WANDB_PROJECT",
    "resume": "WANDB_RESUME",
    "save_dir": "WANDB_DIR",
    "version": "WANDB_RUN_ID",
}
IDENTITY = Path("wandb", "identity.json")  # of W&B's run, in the directory of our own
EXIT = b"\x92\x01"  # the field `exit` in wandb_internal.proto: the last record of a complete file has it


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
    mode = default_mode()  # also of a resumed run, as it is now
    own = {"version": re.sub(r"[/\\#?%:]", "-", run_dir.name), "name": run_dir.name, "save_dir": str(run_dir)}
    by_variables = {name: os.environ[variable] for name, variable in VARIABLES.items() if os.environ.get(variable)}
    chosen = {**defaults, **own, **by_variables, **_continued(run_dir), **options}
    return {**chosen, "mode": options.get("mode") or mode}


def _continued(run_dir: Path) -> dict[str, str]:
    with suppress(OSError, ValueError):
        return dict(json.loads((run_dir / IDENTITY).read_text("utf-8")))
    return {}


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


def begin(logger: GuardedLogger, config: dict[str, Any]) -> None:
    """Begin the W&B run, with the whole configuration: offline, and with a warning, if it cannot be online."""
    _begin(logger, config)
    run = wandb.run
    if logger.directory is not None and run is not None and not run.disabled:
        (logger.directory / IDENTITY).parent.mkdir(exist_ok=True)
        identity = {"version": run.id, "project": run.project, "name": run.name, "group": run.group}
        write_whole(logger.directory / IDENTITY, json.dumps(identity) + "\n")


def log_best(logger: GuardedLogger, config: dict[str, Any], best: Mapping[str, float]) -> None:  # noqa: ARG001  # as TensorBoard's
    """Put the metrics of the best epoch into the summary, in which W&B itself has the last ones."""
    logger.experiment.summary.update(best)


def _begin(logger: GuardedLogger, config: dict[str, Any]) -> None:
    try:
        logger.wrapped.log_hyperparams(config)
    except wandb.errors.UsageError as error:
        raise InputError(f"--logger_options: {' '.join(str(error).split())}") from error
    except Exception as error:
        if logger.arguments.get("mode") == "offline" or not logger.arguments:
            raise
        _leave()
        set_up()
        logger.wrapped = WandbLogger(**{**logger.arguments, "mode": "offline"})
        logger.wrapped.log_hyperparams(config)
        logger.warn(error, "it records offline")


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
    failure = _leave()
    if run is None or run.disabled:
        return
    record = Path(run.settings.sync_file)
    is_complete = record.is_file() and EXIT in record.read_bytes()[-100:]
    if run.offline and not is_complete:
        failure = failure or OSError(f"{short_path(record)} is cut off, as by a full disk")
    if failure:
        logger.fail(failure)
    if not (run.offline or logger.failed):
        print(f"W&B: {run.url}")
    elif is_complete and not gave_up:
        options = [] if run.offline else ["--include-online"]
        command = python_command("-m", "wandb", "sync", *options, short_path(record.parent))
        print(f"W&B recorded offline; to upload it: {command}")
