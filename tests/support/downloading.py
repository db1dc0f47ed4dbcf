"""Processes that download a data set at the same time, from a mirror on this machine."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from multiprocessing.context import SpawnProcess
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from fake_data import expect_cifar10, expect_mnist
from torchvision import datasets

from lamphouse.data import ImageDataModule
from arc_light.data.cifar10 import CIFAR10DataModule
from arc_light.data.mnist import MNISTDataModule

Packed = list[tuple[str, str]]  # names and MD5 sums of what the mirror serves
Sums = dict[str, str]  # names and MD5 sums of the files in it
MODULES: dict[str, Callable[[], ImageDataModule]] = {"mnist": MNISTDataModule, "cifar10": CIFAR10DataModule}


class Mirror(ThreadingHTTPServer):
    """Serves a folder, counts what is asked for, and waits in the middle of each file while `paused`."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.asked: list[str] = []
        self.half_way, self.go_on = Event(), Event()
        self.go_on.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"

    def handle_error(self, *args: object) -> None:
        """Say nothing of clients that hang up."""


class Handler(SimpleHTTPRequestHandler):
    server: Mirror

    def copyfile(self, source: Any, outputfile: Any) -> None:
        self.server.asked.append(self.path)
        content = source.read()
        outputfile.write(content[: len(content) // 2])
        outputfile.flush()
        self.server.half_way.set()
        self.server.go_on.wait(60)
        outputfile.write(content[len(content) // 2 :])

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextmanager
def mirroring(folder: Path) -> Iterator[Mirror]:
    with Mirror(folder) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.go_on.set()
        server.shutdown()
        thread.join()


def expect_mnist_at(monkeypatch: pytest.MonkeyPatch, url: str, packed: Packed, sums: Sums) -> None:
    expect_mnist(monkeypatch, sums)
    monkeypatch.setattr(datasets.MNIST, "mirrors", [url])
    monkeypatch.setattr(datasets.MNIST, "resources", packed)


def expect_cifar10_at(monkeypatch: pytest.MonkeyPatch, url: str, packed: Packed, sums: Sums) -> None:
    ((archive, digest),) = packed
    expect_cifar10(monkeypatch, sums)
    monkeypatch.setattr(datasets.CIFAR10, "url", url + archive)
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", digest)


EXPECT: dict[str, Callable[..., None]] = {"mnist": expect_mnist_at, "cifar10": expect_cifar10_at}


def begin(name: str, *expected: Any) -> SpawnProcess:
    """Start a process that prepares the data; it makes a file when it is about to."""
    process = get_context("spawn").Process(target=prepare, args=(name, *expected))
    process.start()
    return process


def prepare(name: str, *expected: Any) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        EXPECT[name](monkeypatch, *expected)
        Path(f"{os.getpid()}.ready").touch()
        data = MODULES[name]()
        data.prepare_data()
        assert len(data.load(train=True)) == 100
