"""A logger that cannot end a run: its first failure is printed in one line, and from then on it does nothing."""

import sys
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

from lightning.pytorch.loggers.logger import DummyLogger, Logger

from lamphouse.errors import InputError


def _guarded(method: str) -> Callable[..., None]:
    def call(logger: "GuardedLogger", *args: Any, **kwargs: Any) -> None:
        logger.attempt(lambda: getattr(logger.wrapped, method)(*args, **kwargs))

    return call


class GuardedLogger(Logger):
    """Wraps a logger and catches its failures; everything that it does not have itself is the wrapped logger's.

    `isinstance(trainer.logger, WandbLogger)` does not hold for it; `trainer.logger.wrapped` is that logger, which
    `arguments`, if given, can make anew.
    """

    name: Any = property(attrgetter("wrapped.name"))
    version: Any = property(attrgetter("wrapped.version"))
    save_dir: Any = property(attrgetter("wrapped.save_dir"))
    root_dir: Any = property(attrgetter("wrapped.root_dir"))
    log_dir: Any = property(attrgetter("wrapped.log_dir"))
    group_separator: Any = property(attrgetter("wrapped.group_separator"))
    after_save_checkpoint = _guarded("after_save_checkpoint")
    finalize = _guarded("finalize")
    log_graph = _guarded("log_graph")
    log_hyperparams = _guarded("log_hyperparams")
    log_metrics = _guarded("log_metrics")
    save = _guarded("save")

    def __init__(self, wrapped: Logger, arguments: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.wrapped, self.arguments = wrapped, arguments or {}
        self.failed = False

    def __getattr__(self, name: str) -> Any:
        if name == "wrapped" or name.startswith("__"):  # as while it is unpickled
            raise AttributeError(name)
        return getattr(self.wrapped, name)

    @property
    def experiment(self) -> Any:
        found = self.attempt(lambda: getattr(self.wrapped, "experiment", None))
        return DummyLogger().experiment if found is None else found

    def attempt(self, action: Callable[[], Any]) -> Any:
        """Call a function, unless the logger has failed; whatever its error is, training does not depend on it.

        Raises:
            InputError: the user made a mistake.
        """
        if not self.failed:
            try:
                return action()
            except InputError:
                raise
            except Exception as error:
                self.fail(error)
        return None

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
