"""Late imports and the quick exit: they lose nothing, and only a program that asks for them has them."""

import gc
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import ROOT, fit_options

from lamphouse.machine import start
from lamphouse.machine.late_imports import LateImports, is_stand_in
from lamphouse.machine.late_modules import COMPILER, SHAPES, VISION

PROGRAM = Path(__file__).with_name("check_late_imports.py")
WAYS = (
    "compile",
    "disabled",
    "module",
    "options",
    "name",
    "shapes",
    "newer",
    "moved",
    "fake",
    "parts",
    "derivative",
    "held",
    "vision",
)
SLOW_TO_IMPORT = {
    "IPython",
    "matplotlib",
    "onnx",
    "pandas",
    "scipy",
    "sklearn",
    "sympy",
    "tensorboard",
    "triton",
    "wandb",
}
FIT = """
import json, sys
from lamphouse.machine import run
from lamphouse.machine.late_imports import is_stand_in
from lamphouse.machine.late_modules import COMPILER, SHAPES, VISION

def main():
    from arc_light.__main__ import main
    main(sys.argv[1:])
    loaded = {name.partition(".")[0] for name in sys.modules}
    waiting = [name for name in (COMPILER, *SHAPES, *VISION) if is_stand_in(name)]
    from torch import ones, tensor
    from torch.utils.flop_counter import FlopCounterMode
    from torchmetrics import MeanMetric
    with FlopCounterMode(display=False) as flops:
        ones(2, 2) @ ones(2, 2)
    metric = MeanMetric()
    metric.update(tensor(2.0))
    figure, axes = metric.plot()
    print(json.dumps([sorted(loaded), waiting, type(figure).__module__, flops.get_total_flops()]))

run(main)
"""
LINES = """
from lamphouse.machine import run
run(lambda: print("line\\n" * int(NUMBER)))
"""
WORK = """
import atexit, logging, logging.handlers, sys, threading, time
from lamphouse.machine.start import run

class TellsWhenTornDown:
    def __del__(self): print("torn down")

def work():
    global kept
    text, data, both = open("text", "w"), open("data", "wb"), open("both", "w+b")
    kept = [TellsWhenTornDown(), text, data, both]
    text.write("written"), data.write(b"written"), both.write(b"written")
    atexit.register(text.write, ", at exit")
    threading.Thread(target=lambda: (time.sleep(0.1), data.write(b", by a thread"))).start()
    logging.getLogger().addHandler(logging.handlers.MemoryHandler(9, target=logging.FileHandler("log")))
    logging.error("logged")
    sys.stdout.write("printed ")
"""
WRITTEN = {"text": "written, at exit", "data": "written, by a thread", "both": "written", "log": "logged\n"}


def python(
    *code: str, args: Sequence[str] = (), plain: bool = False, **options: object
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "MPLBACKEND": "agg"}
    environment.pop("PYTHONUNBUFFERED", None)
    environment |= {start.SWITCH: "1"} if plain else {}
    command = [sys.executable, "-c", "\n".join(code), *args]
    return subprocess.run(command, env=environment, text=True, check=False, **{"capture_output": True, **options})


@pytest.mark.parametrize("plain", [False, True])
def test_everything_is_written(plain: bool) -> None:
    done = python(WORK, "run(work)", plain=plain)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == ("printed torn down\n" if plain else "printed ")
    assert {path.name: path.read_text() for path in Path().iterdir()} == WRITTEN


@pytest.mark.parametrize(("failure", "status"), [("sys.exit(2)", 2), ("1 / 0", 1)])
def test_a_failure_keeps_its_status(failure: str, status: int) -> None:
    assert python(WORK, f"run(lambda: (work(), {failure}))").returncode == status


def test_a_detached_file_is_skipped() -> None:
    done = python(WORK, "kept = open('text', 'w'); kept.detach()", "run(lambda: print('printed'))")
    assert (done.returncode, done.stdout, done.stderr) == (0, "printed\n", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_output_that_cannot_be_written_is_a_failure() -> None:
    with Path("/dev/full").open("w") as full:
        done = python(WORK, "run(lambda: print('lost'))", capture_output=False, stdout=full)
    assert done.returncode == 120  # Python's own


@pytest.mark.slow
def test_a_fit_imports_nothing_that_it_does_not_use() -> None:
    done = python(FIT, args=["fit", *fit_options("digits_mlp")])
    assert done.returncode == 0, done.stderr
    loaded, waiting, figure, operations = json.loads(done.stdout.splitlines()[-1])
    assert {"torch", "lightning", "torchmetrics"} <= set(loaded)
    assert not SLOW_TO_IMPORT & set(loaded)
    assert set(waiting) == {COMPILER, *SHAPES, *VISION}
    assert (figure, operations) == ("matplotlib.figure", 16)


FINDERS = "print(sum(type(finder).__module__ == 'lamphouse.machine.late_modules' for finder in sys.meta_path))"


def test_a_program_of_someone_else_is_left_alone() -> None:
    """This one has imported everything, and nothing was switched on."""
    assert not any(isinstance(finder, LateImports) for finder in sys.meta_path)
    assert not is_stand_in(COMPILER)


@pytest.mark.parametrize("plain", [False, True])
def test_one_variable_switches_it_off(plain: bool) -> None:
    done = python("import sys; from lamphouse.machine import run", f"run(lambda: {FINDERS})", plain=plain)
    assert (done.stdout, done.stderr) == (f"{0 if plain else 3}\n", "")


@pytest.mark.slow
def test_late_imports_work_with_the_installed_torch() -> None:
    assert_late_imports_work(sys.executable)


@pytest.mark.slow
def test_late_imports_work_with_the_oldest_torch() -> None:
    assert_late_imports_work(oldest_environment())


def assert_late_imports_work(interpreter: str | Path) -> None:
    """Use modules in every way that loads them, and train."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    programs = [[str(PROGRAM), way] for way in WAYS]
    programs.append(["-m", "arc_light", "fit", *fit_options("digits_mlp")])
    for program in programs:
        command = [interpreter, *program]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (program, done.stderr)


def oldest_environment() -> Path:
    """Install the oldest versions that pyproject.toml admits: 3 GB, which are downloaded once."""
    uv = shutil.which("uv") or ROOT / ".cache" / "tools" / "bin" / "uv"
    folder = ROOT / ".cache" / "oldest"
    python = folder / "bin" / "python"
    commands = (
        ["venv", "--allow-existing", "--python", sys.executable, folder],
        ["pip", "install", "--resolution", "lowest-direct", "--python", python, "-r", ROOT / "pyproject.toml"],
    )
    try:
        for command in commands:
            subprocess.run([uv, "--quiet", *command], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"the oldest versions cannot be installed: {error}")
    return python


def test_variables_of_the_user_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    start.prepare()
    assert os.environ["OMP_WAIT_POLICY"] == "active"
    assert "GOMP_SPINCOUNT" not in os.environ
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    monkeypatch.delenv("OMP_WAIT_POLICY")
    start.prepare()
    assert (os.environ["OMP_WAIT_POLICY"], os.environ["GOMP_SPINCOUNT"]) == ("passive", "7")


def test_threads_sleep_soon_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    start.prepare()
    assert (os.environ["OMP_WAIT_POLICY"], os.environ["GOMP_SPINCOUNT"]) == ("passive", "3000")


@pytest.mark.parametrize("enabled", [True, False])
def test_the_garbage_collector_is_as_before_afterwards(enabled: bool) -> None:
    before = gc.isenabled()
    try:
        gc.enable() if enabled else gc.disable()
        with suppress(ImportError), start.without_collector():
            assert not gc.isenabled()
            raise ImportError
        assert gc.isenabled() is enabled
    finally:
        gc.enable() if before else gc.disable()


def test_what_has_to_be_set_before_torch_is_set_without_it() -> None:
    code = "import lamphouse.cli.main, sys; from lamphouse.machine import start; start.prepare()"
    assert python(code, "sys.exit('torch' in sys.modules)").returncode == 0


@pytest.mark.parametrize("lines", [1, 100_000])  # which are written at the end, or before
def test_a_reader_that_ends_first_brings_no_traceback(lines: int) -> None:
    program = [sys.executable, "-c", LINES.replace("NUMBER", str(lines))]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(program, env=env, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")
