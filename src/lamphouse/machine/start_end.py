"""The end of a process that has done its work."""

import atexit
import gc
import io
import logging
import os
from contextlib import suppress

BUFFERS = (io.BufferedRandom, io.BufferedWriter, io.TextIOWrapper)


class QuickEnd:
    """Ends a process that succeeded without taking the interpreter apart, which takes a second after importing torch.

    It is the last of what is called at exit, when threads and child processes have ended and loggers are closed. What
    files of any module still hold is written first. Any other end, by an error, say, is Python's own.
    """

    def __init__(self) -> None:
        self.succeeded = False
        atexit.register(self)

    def __call__(self) -> None:
        """End the process, if it succeeded."""
        if self.succeeded:
            logging.shutdown()
            flush_files()
            os._exit(0)


def flush_files() -> None:
    """Write what open files have buffered.

    Raises:
        OSError: one of them cannot be written.
    """
    for file in [obj for obj in gc.get_objects() if issubclass(type(obj), BUFFERS)]:
        with suppress(ValueError):  # it is closed, or detached
            file.flush()
