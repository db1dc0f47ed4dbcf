"""Loggers that cannot end a run, and the run's own table of metrics."""

from lamphouse.loggers.guard import GuardedLogger
from lamphouse.loggers.make import LoggerName, close, log_best, log_config, log_pictures, make_logger, wandb_support
from lamphouse.loggers.table import MetricsTable

__all__ = [
    "GuardedLogger", "LoggerName", "MetricsTable", "close", "log_best", "log_config", "log_pictures", "make_logger",
    "wandb_support",
]  # fmt: skip
