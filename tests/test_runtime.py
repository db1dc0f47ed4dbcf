"""What makes this machine fast."""

import ctypes
import os
import subprocess
import sys

import pytest

from arc_light import runtime


def test_the_user_has_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    runtime.prepare()
    assert os.environ["OMP_WAIT_POLICY"] == "active"


@pytest.mark.parametrize("error", [AttributeError, OSError, TypeError])
def test_another_c_library_is_left_alone(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: object) -> None:
        raise error

    monkeypatch.setattr(ctypes, "CDLL", absent)
    runtime.keep_memory()


def test_nothing_of_it_loads_torch() -> None:
    """What it sets must be set before."""
    work = "runtime.prepare(); sys.exit('torch' in sys.modules)"
    code = f"import sys; from arc_light import runtime, cli; {work}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
