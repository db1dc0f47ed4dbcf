"""Models in PyTorch Lightning."""

from typing import Any

from lamphouse.cli import train as train_project


def train(*files: str, **options: Any) -> dict[str, Any]:
    """Train in this process with YAML files and options, as `fit` does; return the run's directory and its metrics."""
    return train_project("arc_light", *files, **options)
