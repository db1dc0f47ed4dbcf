"""The command line: the only room that knows LightningCLI and its experiment."""

from lamphouse.cli.main import main

__all__ = ["main"]
