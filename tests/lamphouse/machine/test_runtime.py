"""What makes this machine fast."""

import ctypes
import gc
import os
import subprocess
import sys
from contextlib import suppress
from types import SimpleNamespace

import pytest

from lamphouse.machine import memory, start


def test_the_user_has_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    start.prepare()
    assert os.environ["OMP_WAIT_POLICY"] == "active"
    assert "GOMP_SPINCOUNT" not in os.environ
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    monkeypatch.delenv("OMP_WAIT_POLICY")
    start.prepare()
    assert os.environ["GOMP_SPINCOUNT"] == "7"


def test_threads_sleep_soon_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    start.prepare()
    assert (os.environ["OMP_WAIT_POLICY"], os.environ["GOMP_SPINCOUNT"]) == ("passive", "3000")


@pytest.mark.parametrize("error", [AttributeError, OSError, TypeError])
def test_another_c_library_is_left_alone(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def absent(name: object) -> None:
        asked.append(name)
        raise error

    monkeypatch.setattr(ctypes, "CDLL", absent)
    memory.keep_memory()
    assert asked == [None]


@pytest.mark.parametrize("most", [2**30, 2**25])
def test_the_allocator_is_told_to_keep_as_much_as_it_can(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[int, int] = {}

    def mallopt(option: int, value: int) -> bool:
        taken = option != memory.M_MMAP_THRESHOLD or value <= most
        told.update({option: value} if taken else {})
        return taken

    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(mallopt=mallopt))
    memory.keep_memory()
    expected = {memory.M_MMAP_THRESHOLD: most, memory.M_TRIM_THRESHOLD: 2**31 - 1, memory.M_TOP_PAD: 2**26}
    assert told == expected


@pytest.mark.parametrize("enabled", [True, False])
def test_the_garbage_collector_rests_for_a_while(enabled: bool) -> None:
    before = gc.isenabled()
    try:
        gc.enable() if enabled else gc.disable()
        with suppress(ImportError), start.without_collector():
            assert not gc.isenabled()
            raise ImportError
        assert gc.isenabled() is enabled
    finally:
        gc.enable() if before else gc.disable()


def test_nothing_of_it_loads_torch() -> None:
    """What it sets must be set before."""
    work = "start.prepare(); sys.exit('torch' in sys.modules)"
    code = f"import sys; import lamphouse.cli.main; from lamphouse.machine import start; {work}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
