"""Runs commands in processes of their own, for tests to kill."""

import gc
import io
import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

import lamphouse.checkpoints.files
from lamphouse.machine.start import prepare
from arc_light.__main__ import main

COMMANDS = ("fit", "resume")
LOADED = [f"lamphouse.cli.commands.{name}" for name in COMMANDS]


@contextmanager
def processes() -> Iterator[Any]:
    """Start processes quickly: a server has imported everything and forks."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LOADED)
    first = context.Process(target=abs, args=(0,))  # returns when the server is ready
    first.start()
    first.join()
    yield context
    multiprocessing.forkserver._forkserver._stop()  # type: ignore[attr-defined]  # or it outlives the test


def start(context: Any, *args: object, slow_disk: bool = False) -> BaseProcess:
    """Run a command in this directory; what it prints goes to the file `printed`."""
    process: BaseProcess = context.Process(
        target=command, args=([str(arg) for arg in args], str(Path.cwd()), slow_disk)
    )
    process.start()
    return process


def command(args: list[str], folder: str, slow_disk: bool) -> None:
    """Run a command in a process of its own."""
    gc.freeze()  # what the server has imported is no garbage
    prepare()
    os.chdir(folder)
    printed = os.open("printed", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(printed, stream)
    torch.set_num_threads(1)
    if slow_disk:
        lamphouse.checkpoints.files.save = save_slowly
    main(args)


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
