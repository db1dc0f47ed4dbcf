"""Signals that ask a run to stop, answered where nothing is lost."""

import signal
import threading
from types import FrameType
from typing import Any, NoReturn

from lamphouse.errors import StoppedError

STOPPING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]


class StopSignals:
    """Remembers that a signal asked the run to stop, for it to do so after its step; a second Ctrl-C stops it at once.

    `ExactResume` listens while a Trainer trains or evaluates. A `with` statement listens from its beginning, and
    restores the handlers at its end.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopSignals":
        self._before = self.listen()
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def listen(self) -> dict[signal.Signals, Any]:
        """Install the handlers, as only the main thread can, and return those that were there before."""
        if threading.current_thread() is not threading.main_thread():
            return {}
        return {number: signal.signal(number, self._remember) for number in STOPPING}

    def check(self) -> None:
        """Stop here, if a signal was received."""
        if self.received is not None:
            self.stop()

    def stop(self) -> NoReturn:
        """Raise StoppedError, because of a signal that this process or another one received."""
        received, self.received = self.received or signal.SIGTERM, None
        raise StoppedError(received)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None and number == signal.SIGINT:
            raise StoppedError(signal.SIGINT)
        self.received = signal.Signals(number)
