"""What a run depends on besides its configuration: versions, commit and machine."""

import json
import platform
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

PACKAGES = (
    *("torch", "torchvision", "lightning", "torchmetrics", "jsonargparse", "numpy"),
    *("wandb", "tensorboard", "timm", "torchdata"),
)


def environment(source: Path) -> str:
    """Describe as JSON what a run depends on; `source` is a directory of the code that trains."""
    commit, changes = git_output(source, "rev-parse", "HEAD"), git_output(source, "status", "--porcelain")
    git = {"commit": commit, "changed": bool(changes)}
    machine = {"python": platform.python_version(), "platform": platform.platform(), "threads": torch.get_num_threads()}
    return json.dumps({"packages": installed_versions(), "git": git, **machine}, indent=2) + "\n"


def installed_versions() -> dict[str, str]:
    """Map those of the packages that are installed to their versions."""
    versions = {}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


def git_output(folder: Path, *command: str) -> str | None:
    """Run git in a directory; None if there is no git, or no repository."""
    try:
        done = subprocess.run(["git", *command], cwd=folder, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
