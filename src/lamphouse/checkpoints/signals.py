"""Signals that ask a run to stop, answered where nothing is lost."""

import multiprocessing
import signal
import sys
import threading
from time import sleep
from types import FrameType
from typing import Any, NoReturn

from lamphouse.errors import StoppedError

# of schedulers, users and terminals
NAMES = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGXCPU", "SIGHUP")
STOPPING = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
WORKER = "DataLoader worker"  # begins torch's message about one that has died


class StopSignals:
    """Remembers that a signal asked the run to stop, for it to do so after its step; a second Ctrl-C stops it at once.

    `ExactResume` listens while a Trainer trains or evaluates. A `with` statement listens from its beginning, and
    restores the handlers at its end. Signals that are sent to all processes end the workers of loaders: the step then
    finishes without them, and an error of a loader whose workers are gone is a StoppedError at the end of the `with`.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self.answered: signal.Signals | None = None  # by a StoppedError, which an error of a loader may replace
        self._before: dict[signal.Signals, Any] = {}
        self._unraisable = sys.unraisablehook

    def __enter__(self) -> "StopSignals":
        self._before, self._unraisable = self.listen(), sys.unraisablehook
        sys.unraisablehook = self._pass_on
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        lost_workers = isinstance(error, ConnectionError | EOFError) or WORKER in str(error)
        if lost_workers:
            sleep(0.5)  # they may have received the signal first
        sys.unraisablehook = self._unraisable
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if lost_workers and (received := self.received or self.answered):
            raise StoppedError(received)

    def listen(self) -> dict[signal.Signals, Any]:
        """Install the handlers, as only the main thread can, and return those that were there before."""
        if threading.current_thread() is not threading.main_thread():
            return {}
        ignored = [
            number for number in STOPPING if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN
        ]
        return {number: signal.signal(number, self._remember) for number in STOPPING if number not in ignored}

    def _pass_on(self, unraisable: Any) -> None:
        """Print what cannot be raised, unless torch's handler of SIGCHLD was called while a worker was forked."""
        if WORKER not in str(unraisable.exc_value):  # it finds the worker missing again, where it can raise that
            self._unraisable(unraisable)

    def check(self) -> None:
        """Stop here, if a signal was received."""
        if self.received is not None:
            self.stop()

    def stop(self) -> NoReturn:
        """Raise StoppedError, because of a signal that this process or another one received."""
        self.answered, self.received = self.received or signal.SIGTERM, None
        raise StoppedError(self.answered)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None and number == signal.SIGINT and not multiprocessing.parent_process():
            raise StoppedError(signal.SIGINT)
        self.received = signal.Signals(number)
        if hasattr(signal, "SIGCHLD"):  # whose handler is torch's, which raises an error for each worker that ends
            signal.signal(signal.SIGCHLD, lambda *_: None)
