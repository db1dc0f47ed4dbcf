"""Signals that ask a run to stop, answered where nothing is lost, and processes of a run that end before their time."""

import multiprocessing
import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from subprocess import Popen, TimeoutExpired
from time import monotonic, sleep
from types import FrameType
from typing import Any, NoReturn

from lightning.pytorch import Trainer
from torch import distributed

from lamphouse.errors import LostRankError, StoppedError

# of schedulers, users and terminals
NAMES = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGXCPU", "SIGHUP")
STOPPING = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
WORKER = "DataLoader worker"  # begins torch's message about one that has died
SIGNAL_OF_STATUS = {75: signal.SIGTERM, 130: signal.SIGINT}
LOST = re.compile(
    r"remote process exited|network error|[Cc]onnection .*(reset|closed|refused)|Broken pipe|[Tt]imed? ?out"
)
LONGEST_WAIT = 10  # seconds for a process that waits for one that has ended


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

    def stay(self) -> None:
        """Keep the handlers at the end of the `with` statement: what has launched this process will send signals."""
        self._before = {}

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
        again = (self.received or self.answered) is not None and number == signal.SIGINT
        if again and not multiprocessing.parent_process():
            raise StoppedError(signal.SIGINT)
        self.received = signal.Signals(number)
        if hasattr(signal, "SIGCHLD"):  # whose handler is torch's, which raises an error for each worker that ends
            signal.signal(signal.SIGCHLD, lambda *_: None)


class Ranks:
    """Ends this process soon after another one of the same run has ended before its time, in a `with` statement.

    An error of communication is raised as a StoppedError, if the other process or this one was asked to stop, or as a
    LostRankError. A process that has launched the others watches them in place of Lightning, which would kill it
    without a word. If it still waits `LONGEST_WAIT` seconds later, `give_up` is called, and the process exits.
    """

    def __init__(self, trainer: Trainer, signals: StopSignals, give_up: Callable[[Exception], None]) -> None:
        self.trainer, self.signals, self.give_up = trainer, signals, give_up
        self._launched: list[Popen[bytes]] = []
        self._ended = False

    def __enter__(self) -> "Ranks":
        if self.trainer.world_size > 1:
            threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._ended = True
        if self.trainer.world_size > 1 and error is not None:
            self.signals.stay()
        if is_of_communication(error):
            end = monotonic() + 1
            while self._launched and self._first_failed() is None and monotonic() < end:
                sleep(0.05)
            raise self._reason()

    def wait(self) -> None:
        """Wait for the processes that this one has launched, and kill those that do not end."""
        end = monotonic() + LONGEST_WAIT
        for process in self._launched:
            try:
                process.wait(max(end - monotonic(), 0))
            except TimeoutExpired:
                process.kill()

    def _watch(self) -> None:
        while not self._ended and self._first_failed() is None:
            sleep(0.2)
            processes = getattr(self.trainer.strategy.launcher, "procs", [])
            if all(isinstance(process, Popen) for process in processes):
                while processes:  # one by one, as others may be appended meanwhile
                    self._launched.append(processes.pop(0))  # or Lightning's own observer would kill them all
        reason, end = self._reason(), monotonic() + (LONGEST_WAIT if distributed.is_initialized() else 1)
        if isinstance(reason, StoppedError) and not self.signals.answered:
            self.signals.received = reason.signal
        while not self._ended and (self.signals.answered or monotonic() < end):
            sleep(0.1)
        if not self._ended:
            self.give_up(reason)
            os._exit(reason.status)

    def _first_failed(self) -> int | None:
        """Return which process has failed, rather than lost another one itself."""
        failed = [index for index, process in enumerate(self._launched) if process.poll()]
        return min(failed, key=lambda index: self._launched[index].returncode == LostRankError.status, default=None)

    def _reason(self) -> LostRankError | StoppedError:
        if received := self.signals.received or self.signals.answered:
            return StoppedError(received)
        index = self._first_failed()
        if index is None:
            return LostRankError("another process of this run has ended, or cannot be reached")
        status = self._launched[index].returncode
        if (number := SIGNAL_OF_STATUS.get(status, -status)) in STOPPING:
            return StoppedError(signal.Signals(number))
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        return LostRankError(f"the process of rank {self.trainer.global_rank + 1 + index} {how}")


def is_of_communication(error: BaseException | None) -> bool:
    """Return whether an error, or what it was raised from, means that another process cannot be reached."""
    while error is not None:
        of_torch = isinstance(error, distributed.DistError) or "gloo/transport" in str(error)  # which has no class
        if of_torch and LOST.search(str(error)):
            return True
        error = error.__cause__
    return False
