"""The command line: the only room that knows LightningCLI and its experiment."""

from lamphouse.cli.main import main, train

__all__ = ["main", "train"]
