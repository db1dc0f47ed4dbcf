"""What Weights & Biases needs: a run of the same name, and no network where there is no key."""

import os
import sys
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.loggers.logger import Logger

from arc_light.errors import InputError
from arc_light.runs import Run

MODES = ("online", "offline", "shared", "disabled")


def place(logger: Namespace, run: Run, experiment: str) -> None:
    """Name W&B's run after our own, so that it is the same one when it is resumed, in a group of the experiment's."""
    logger.init_args.update(Namespace(name=run.name, version=run.name))
    options = {"group": experiment, "mode": wandb_mode()}
    logger.dict_kwargs = {**options, **(logger.get("dict_kwargs") or {})}


def wandb_mode() -> str | None:
    """Say what `WANDB_MODE` says; without it None, which is online, with a key, and "offline" without one.

    Raises:
        InputError: there is no such mode, or the key is none.
    """
    import wandb  # noqa: PLC0415  # half a second, for those who use it

    chosen = os.environ.get("WANDB_MODE") or None
    if chosen is not None and chosen not in MODES:
        raise InputError(f"WANDB_MODE={chosen}: no such mode; there are {', '.join(MODES)}")
    try:
        wandb.setup(wandb.Settings(silent=True, console="off"))
        return chosen or (None if wandb.login(prompt=False, verify=False) else "offline")  # the network comes later
    except wandb.Error as error:
        raise InputError(f"W&B: {error}: correct the key, or set WANDB_MODE=offline") from error


def log_config(logger: Logger, config: dict[str, Any]) -> None:
    """Begin the W&B run, with the whole configuration.

    Raises:
        InputError: W&B cannot be reached, or refuses the key.
    """
    import wandb  # noqa: PLC0415

    try:
        logger.log_hyperparams(config)
    except wandb.Error as error:
        raise InputError(f"W&B: {' '.join(str(error).split())}: set WANDB_MODE=offline to upload later") from error


def close() -> None:
    """Close the W&B run, if there is one, and say how to upload it where it was recorded offline."""
    wandb: Any = sys.modules.get("wandb")
    run = wandb.run if wandb else None
    if run is None:
        return
    offline = run.settings.mode == "offline"
    wandb.finish()
    if offline:
        print(f"W&B recorded offline; to upload it: wandb sync {os.path.relpath(Path(run.dir).parent)}")
    else:
        print(f"W&B: {run.url}")
