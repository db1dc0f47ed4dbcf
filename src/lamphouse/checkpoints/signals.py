"""Signals that ask a run to stop, answered where nothing is lost."""

import signal
import threading
from types import FrameType
from typing import Any, NoReturn

from lamphouse.errors import StoppedError

ASKING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]


class StopSignals:
    """Notes a signal, for the run to stop when its step is done; at a second Ctrl-C it stops at once.

    To be used in a `with` statement, after which signals do what they did before.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopSignals":
        """Begin to listen, where signals can be heard."""
        if threading.current_thread() is threading.main_thread():
            self._before = {asking: signal.getsignal(asking) for asking in ASKING}
        self.listen()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the signals as they were."""
        for asking, handler in self._before.items():
            signal.signal(asking, handler)
        self._before = {}

    def listen(self) -> None:
        """Answer the signals, also where someone else came in between, as Lightning does in `fit` and `test`."""
        for asking in self._before:
            signal.signal(asking, self._note)

    def check(self) -> None:
        """Stop here, if that was asked for.

        Raises:
            StoppedError: a signal came.
        """
        if self.received is not None:
            self.stop()

    def stop(self) -> NoReturn:
        """Stop here, if not by a signal of this process then by one of another.

        Raises:
            StoppedError: always.
        """
        raise StoppedError(self.received or signal.SIGTERM)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None and number == signal.SIGINT:
            raise StoppedError(signal.SIGINT)
        self.received = signal.Signals(number)
