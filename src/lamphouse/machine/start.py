"""Late imports, few garbage collections and a quick exit, for the program that calls `run` and for no other.

The environment variable `LAMPHOUSE_PLAIN_START` switches late imports and the quick exit off.
"""

import atexit
import gc
import io
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from signal import SIGPIPE
from threading import Thread
from time import sleep

from lamphouse.machine.late_modules import late_modules

SWITCH = "LAMPHOUSE_PLAIN_START"
LAUNCHER = "LAMPHOUSE_LAUNCHER"  # the process id
LAST_WORDS = 9  # seconds in which a process says that the one that launched it has ended
BUFFERS = (io.BufferedRandom, io.BufferedWriter, io.TextIOWrapper)


def run(main: Callable[[], object]) -> None:
    """Run a program's main function with late imports and a quick exit."""
    prepare()
    end_with_launcher()
    if os.environ.get(SWITCH):
        with quiet_pipe():
            main()
        return
    statuses: list[int] = []
    # registered first, it is called last, when threads and child processes have ended and loggers are closed
    atexit.register(lambda: exit_quickly(*statuses) if statuses else None)
    sys.meta_path[:0] = late_modules()
    try:
        with quiet_pipe():
            main()
    except SystemExit as end:
        statuses += [end.code] if isinstance(end.code, int) else []
        raise
    statuses.append(0)


@contextmanager
def quiet_pipe() -> Iterator[None]:
    """End without a traceback where what reads the output has ended, as in `... | head`."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python flushes at its end
        sys.exit(128 + SIGPIPE)  # as shells report it of other programs


def prepare() -> None:
    """Set what has to be set before torch is imported; variables that the user has set keep their values."""
    if "OMP_WAIT_POLICY" not in os.environ:
        # idle threads sleep and leave the cores to other processes, after spinning for some microseconds: small
        # operations take twice as long if threads have to be woken up for each of them
        os.environ["OMP_WAIT_POLICY"] = "passive"
        os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    gc.set_threshold(100_000, 20, 100)  # options and hooks make many objects and little garbage


def end_with_launcher() -> None:
    """Have a process that a Trainer launched end soon after the one that did, which may be killed."""
    launcher = os.environ.get(LAUNCHER)
    if launcher is None or not int(os.environ.get("LOCAL_RANK") or 0) or "TORCHELASTIC_RUN_ID" in os.environ:
        os.environ[LAUNCHER] = str(os.getpid())
    else:
        Thread(target=_end_with_launcher, daemon=True).start()


def has_launcher() -> bool:
    """Whether a Trainer has launched this process from another one, which still runs."""
    return os.environ.get(LAUNCHER) == str(os.getppid())


def _end_with_launcher() -> None:
    while has_launcher():
        sleep(1)
    sleep(LAST_WORDS)
    os._exit(1)


@contextmanager
def without_collector() -> Iterator[None]:
    """Disable the garbage collector during imports, which leave no garbage."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def exit_quickly(status: int) -> None:
    """End a process without tearing down the interpreter, which takes a second after importing torch."""
    logging.shutdown()
    for file in [obj for obj in gc.get_objects() if issubclass(type(obj), BUFFERS)]:
        with suppress(ValueError):  # it is closed, or detached
            file.flush()
    os._exit(status)
