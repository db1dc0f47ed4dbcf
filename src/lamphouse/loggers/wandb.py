"""What Weights & Biases needs: a run of the same name, and no network where there is no key or no server."""

import csv
import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import Namespace
from lightning.pytorch.loggers import WandbLogger

from lamphouse.errors import InputError
from lamphouse.loggers.guard import fail, warn
from lamphouse.loggers.wandb_file import is_whole
from lamphouse.runs.directory import Run

MODES = ("online", "offline", "shared", "disabled")
PATIENCE = {"init_timeout": 20.0, "finish_timeout": 120.0}  # seconds that a run waits for the server, by default


def place(logger: Namespace, run: Run, experiment: str) -> None:
    """Name W&B's run after our own, so that it is the same one when it is resumed, in a group of the experiment's.

    Raises:
        InputError: W&B's settings are wrong, or would have the API key written into the run's directory.
    """
    if re.search(r"api_key'?[=:] ?'[^']", str(logger)):
        way_out = "set WANDB_API_KEY, or use `wandb login`"
        raise InputError(f"--trainer.logger.settings.api_key: would be written into the run's directory: {way_out}")
    logger.init_args.update(Namespace(name=run.name, version=run.name))
    mode = wandb_mode()  # now, also where a run is resumed
    options = {"group": experiment, **(logger.get("dict_kwargs") or {})}
    logger.dict_kwargs = {**options, "mode": logger.init_args.get("mode") or mode}


def wandb_mode() -> str | None:
    """Say what `WANDB_MODE` says; without it None, which is online, with a key, and "offline" without one.

    Raises:
        InputError: there is no such mode, or the key is none.
    """
    import wandb  # noqa: PLC0415  # half a second, for those who use it

    chosen = os.environ.get("WANDB_MODE") or None
    if chosen is not None and chosen not in MODES:
        raise InputError(f"WANDB_MODE={chosen}: no such mode; there are {', '.join(MODES)}")
    if wandb.env.core_debug(default="false"):
        raise InputError("WANDB_DEBUG: W&B would write its API key into the run's directory: unset it")
    try:
        set_up()
        return chosen or (None if wandb.login(prompt=False, verify=False) else "offline")  # the network comes later
    except (wandb.errors.AuthenticationError, wandb.errors.UsageError) as error:
        raise InputError(f"W&B: {error}: correct the key, or set WANDB_MODE=offline") from error
    except Exception:  # it will fail again when the run begins, and be told then
        return "offline"


def set_up() -> None:
    """Keep W&B quiet, and have it wait for its server only so long, unless its user says how long."""
    import wandb  # noqa: PLC0415  # as above

    with suppress(AttributeError, ImportError):  # of other versions
        from wandb.analytics.opentelemetry import opentelemetry_proxy  # noqa: PLC0415  # with W&B, which is slow to import

        # its reports on itself are refused with the key, and never end where its service cannot be started
        opentelemetry_proxy.disable()
    given = wandb.setup(wandb.Settings(silent=True, console="off")).settings.model_fields_set
    limits: Any = {name: seconds for name, seconds in PATIENCE.items() if name not in given}
    wandb.setup(wandb.Settings(finish_timeout_raises=True, **limits))


def log_config(logger: WandbLogger, config: dict[str, Any]) -> None:
    """Begin the W&B run, with the whole configuration: offline, and with a warning, where it cannot be online.

    Raises:
        InputError: W&B refuses an option of the logger.
    """
    import wandb  # noqa: PLC0415  # as above

    try:
        logger.log_hyperparams(config)
    except wandb.errors.UsageError as error:
        raise InputError(f"--trainer.logger: {' '.join(str(error).split())}") from error
    except Exception as error:
        if logger._wandb_init["mode"] == "offline":
            raise
        leave()
        set_up()
        logger._wandb_init["mode"] = "offline"
        logger.log_hyperparams(config)
        warn(logger, error, "it records offline")


def leave() -> BaseException | None:
    """Leave W&B's run and its service, which has written everything when it has ended; return what went wrong."""
    import wandb  # noqa: PLC0415  # as above
    from wandb.sdk.lib.module import unset_globals  # noqa: PLC0415  # as above

    failure: BaseException | None = None
    for step in (wandb.finish, wandb.teardown, unset_globals):  # the third as the first may fail to
        try:
            step()
        except (Exception, SystemExit) as error:  # the second is how W&B tells that its service ended badly
            failure = failure or error
    return failure


def close(logger: Any) -> None:
    """Close the W&B run, if there is one, and say how to upload it where that is left to do."""
    wandb: Any = sys.modules.get("wandb")
    run = wandb.run if wandb else None
    if run is None:
        return
    gave_up, offline, record = logger.failed, run.offline, Path(run.settings.sync_file)
    failure = leave()
    if run.disabled:
        return
    if offline and not is_whole(record):
        failure = failure or OSError(f"{os.path.relpath(record)} is cut off, as by a full disk")
    if failure:
        fail(logger, failure)
    if not (offline or logger.failed):
        print(f"W&B: {run.url}")
    elif gave_up or not is_whole(record):
        record_again(logger)
    else:
        print_way(record, "" if offline else "--include-online ")


def print_way(record: Path, options: str = "") -> None:
    """Say how to upload what was recorded."""
    print(f"W&B recorded offline; to upload it: wandb sync {options}{os.path.relpath(record.parent)}")


def record_again(logger: Any) -> None:
    """Record the run anew from its own files, offline, if anything can be written."""
    set_up()
    run, folder = Run(Path(logger.save_dir)), Path(logger.save_dir, "wandb-again")
    with suppress(Exception):
        folder.mkdir(exist_ok=True)
        replacing = {"dir": str(folder), "mode": "offline", "resume": None}  # what has been uploaded of the run
        again = WandbLogger(**{**logger._wandb_init, **replacing})
        again.log_hyperparams(yaml.safe_load(run.config.read_text()))
        for row in csv.DictReader(run.metrics.read_text().splitlines()):
            step = int(row.pop("step"))
            again.log_metrics({name: float(value) for name, value in row.items() if value}, step)
        record = Path(again.experiment.settings.sync_file)
        if leave() is None and is_whole(record):
            print_way(record)
