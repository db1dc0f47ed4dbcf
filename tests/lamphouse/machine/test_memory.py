"""How the allocator keeps memory."""

import ctypes
from types import SimpleNamespace

import pytest

from lamphouse.machine import memory


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
