"""Loggers that keep to a run's own directory; one that needs more than that has a module of its own name here."""

from lamphouse.loggers.directory import close, log_config, place

__all__ = ["close", "log_config", "place"]
