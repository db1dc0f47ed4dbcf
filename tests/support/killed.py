"""Runs commands and scripts in processes of their own, for tests to kill."""

import gc
import io
import itertools
import multiprocessing
import os
import runpy
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

import lamphouse.checkpoints.files
from lamphouse.machine.start import prepare
from arc_light.__main__ import main

LOADED = ["lamphouse.cli.commands.fit", "lamphouse.cli.commands.resume", "lamphouse.callbacks"]


@contextmanager
def processes() -> Iterator[Any]:
    """Start processes quickly: a server has imported everything and forks."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LOADED)
    first = context.Process(target=abs, args=(0,))  # returns when the server is ready
    first.start()
    first.join()
    yield context
    server: Any = multiprocessing.forkserver._forkserver  # type: ignore[attr-defined]  # or it outlives the test
    if server._forkserver_pid:
        os.kill(server._forkserver_pid, signal.SIGKILL)  # it waits for all who have its pipe, loaders' workers too
    server._stop()


def start(context: Any, *args: object, slow_disk: bool = False) -> BaseProcess:
    """Run a command in this directory; what it prints goes to the file `printed`."""
    process: BaseProcess = context.Process(
        target=command, args=([str(arg) for arg in args], str(Path.cwd()), slow_disk)
    )
    process.start()
    return process


def run_script(context: Any, path: Path, step: int = 0, number: int = signal.SIGKILL) -> int:
    """Run a script in this directory, and send it a signal after its optimizer step `step`, counted from 1; 0 is never.

    Returns:
        its exit status; minus the number of the signal that ended it.
    """
    process = context.Process(target=script, args=(str(path), str(Path.cwd()), step, number))
    process.start()
    process.join()
    assert process.exitcode is not None
    return int(process.exitcode)


def command(args: list[str], folder: str, slow_disk: bool) -> None:
    """Run a command in a process of its own."""
    begin_process(folder)
    if slow_disk:
        lamphouse.checkpoints.files.save = save_slowly
    main(args)


def script(path: str, folder: str, step: int, number: int) -> None:
    """Run a script in a process of its own, which knows nothing of the signal that it will get."""
    begin_process(folder)
    multiprocessing.set_start_method("fork", force=True)  # as in a process that was not forked by a server
    steps = itertools.count(1)
    register_optimizer_step_post_hook(lambda *_: os.kill(os.getpid(), number) if next(steps) == step else None)
    runpy.run_path(path, run_name="__main__")


def begin_process(folder: str) -> None:
    """Do what the first lines of a process do, and have it print to the file `printed`."""
    gc.freeze()  # what the server has imported is no garbage
    prepare()
    os.chdir(folder)
    printed = os.open("printed", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(printed, stream)
    torch.set_num_threads(1)


def save_slowly(checkpoint: Any, file: Any) -> None:
    """Stand for a disk that takes some hundredths of a second to write a checkpoint."""
    content = io.BytesIO()
    torch.save(dict(checkpoint), content)
    part = len(content.getvalue()) // 20 + 1
    content.seek(0)
    while data := content.read(part):
        file.write(data)
        file.flush()
        time.sleep(0.001)
