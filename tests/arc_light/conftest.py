"""Every test works in an empty directory of its own, on tiny data and without a network."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from arc_light.__main__ import main

CONFIGS = Path(__file__).parents[2] / "configs"
QUICK = ["--trainer.accelerator=cpu", "--trainer.devices=1", "--trainer.logger=false", "--trainer.max_epochs=1"]
QUICK += [f"--trainer.limit_{part}_batches=1" for part in ("train", "val", "test")]


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: pytest.skip("no network: add a tiny copy to tiny_data"))


@pytest.fixture
def tiny_data(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make every tiny data set in `data`, where the experiments look for it."""
    for path in sorted(Path(__file__).with_name("tiny_data").glob("[!_]*.py")):
        import_module(f"tiny_data.{path.stem}").make(Path("data"), monkeypatch)
    return Path("data")


@pytest.fixture
def run(tiny_data: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command in this process, and return its exit status, its output and its errors."""

    def run(*args: object) -> tuple[int, str, str]:
        try:
            main([str(arg) for arg in args])
        except SystemExit as error:
            return int(error.code or 0), *capfd.readouterr()
        return 0, *capfd.readouterr()

    return run


@pytest.fixture
def options() -> Callable[[str], list[object]]:
    """Return the options of one step of an experiment."""
    return lambda experiment: ["-c", CONFIGS / "trainer.yaml", "-c", CONFIGS / f"{experiment}.yaml", *QUICK]
