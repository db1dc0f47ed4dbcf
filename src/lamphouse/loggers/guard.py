"""A logger that cannot end a run: its first failure is printed in one line, and from then on it does nothing."""

import sys
from collections.abc import Mapping
from typing import Any

from lightning.pytorch.loggers.logger import DummyLogger, Logger


class GuardedLogger(Logger):
    """Wraps a logger and catches its failures; everything that it does not have itself is the wrapped logger's.

    `isinstance(trainer.logger, WandbLogger)` does not hold for it; `trainer.logger.wrapped` is that logger.

    Args:
        wrapped: the logger.
        arguments: what it was made from, to make it anew.
    """

    def __init__(self, wrapped: Logger, arguments: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.wrapped, self.arguments = wrapped, arguments or {}
        self.failed = False

    def __getattr__(self, name: str) -> Any:
        """Look up what only the wrapped logger has, such as `watch` or `log_image`.

        Raises:
            AttributeError: it does not have it either.
        """
        if name == "wrapped" or name.startswith("__"):  # as while it is unpickled
            raise AttributeError(name)
        return getattr(self.wrapped, name)

    @property
    def experiment(self) -> Any:
        """Return the wrapped logger's experiment, or one that ignores all calls after a failure."""
        wrapped: Any = self.wrapped
        if hasattr(type(wrapped), "experiment") and not self.failed:
            try:
                return wrapped.experiment
            except Exception as error:  # whatever it is, training does not depend on it
                self.fail(error)
        return DummyLogger().experiment

    @property
    def name(self) -> str | None:
        """Return the wrapped logger's name."""
        return self.wrapped.name

    @property
    def version(self) -> int | str | None:
        """Return the wrapped logger's version."""
        return self.wrapped.version

    @property
    def save_dir(self) -> str | None:
        """Return the directory in which the wrapped logger saves."""
        return self.wrapped.save_dir

    @property
    def root_dir(self) -> str | None:
        """Return the directory of all versions."""
        return self.wrapped.root_dir

    @property
    def log_dir(self) -> str | None:
        """Return the directory of this version."""
        return self.wrapped.log_dir

    @property
    def group_separator(self) -> str:
        """Return what separates groups in the names of metrics."""
        return self.wrapped.group_separator

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Log metrics."""
        self._call("log_metrics", metrics, step)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Log hyperparameters."""
        self._call("log_hyperparams", params, *args, **kwargs)

    def log_graph(self, model: Any, input_array: Any = None) -> None:
        """Log the model's graph."""
        self._call("log_graph", model, input_array)

    def save(self) -> None:
        """Save what was logged."""
        self._call("save")

    def finalize(self, status: str) -> None:
        """Finish logging."""
        self._call("finalize", status)

    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        """Log a checkpoint, if the logger was asked to."""
        self._call("after_save_checkpoint", checkpoint_callback)

    def _call(self, method: str, *args: Any, **kwargs: Any) -> None:
        if not self.failed:
            try:
                getattr(self.wrapped, method)(*args, **kwargs)
            except Exception as error:  # as above
                self.fail(error)

    def fail(self, error: BaseException) -> None:
        """Give the wrapped logger up and say so, once."""
        if not self.failed:
            self.failed = True
            self.warn(error, "the run goes on without it, and has all metrics in its metrics.csv")

    def warn(self, error: BaseException, consequence: str) -> None:
        """Print in one line what an error means for the run."""
        while error.__cause__ is not None:
            error = error.__cause__
        first, *_ = str(error).splitlines() or [type(error).__name__]
        print(f"warning: {type(self.wrapped).__name__}: {first}: {consequence}", file=sys.stderr, flush=True)
