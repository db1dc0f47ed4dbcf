"""docs/notebook.md runs as it stands, in a real Jupyter kernel and beside other code of one process."""

import os
import random
import re
import shutil
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import CONFIGS, FEW_BATCHES, ROOT, Outcome

from lamphouse.errors import InputError
from arc_light import train

FILES = (CONFIGS / "trainer.yaml", CONFIGS / "digits_mlp.yaml")
QUICK = {"logger": "none", "trainer.max_epochs": 1, "trainer.accelerator": "cpu"}
QUICK |= {name.partition("=")[0].removeprefix("--"): 2 for name in FEW_BATCHES}


def state() -> list[object]:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)]
    settings = (torch.get_num_threads(), torch.get_float32_matmul_precision(), torch.get_rng_state().sum().item())
    return [dict(os.environ), random.getstate(), *handlers, *settings]


@pytest.mark.slow
def test_a_run_has_the_same_result_as_the_command_and_leaves_the_process_alone(fit: Callable[..., Outcome]) -> None:
    assert fit("--model.hidden_sizes=[8]").status == 0
    (run,) = Path("runs/digits_mlp").iterdir()
    torch.manual_seed(3)
    before = state()
    results = [train(*FILES, **QUICK, model={"hidden_sizes": [8]}) for _ in range(2)]
    assert state() == before
    weights = [
        torch.load(Path(path, "best.ckpt"), weights_only=True)["state_dict"] for path in (run, results[1]["run"])
    ]
    assert all(value.equal(weights[1][name]) for name, value in weights[0].items())
    assert results[0]["test/acc"] == results[1]["test/acc"]
    assert Path(results[0]["run"]) != Path(results[1]["run"])


def test_an_error_is_raised_and_not_printed(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match=r"--trainer\.max_epoch.*did you mean"):
        train(*FILES, trainer={"max_epoch": 3})
    assert tuple(capfd.readouterr()) == ("", "")
    assert not Path("runs").exists()


@pytest.mark.slow
def test_a_kernel_runs_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reason = "needs nbclient and ipykernel, of the group test"
    nbclient = pytest.importorskip("nbclient", reason=reason)
    pytest.importorskip("ipykernel", reason=reason)
    nbformat: Any = pytest.importorskip("nbformat", reason=reason)
    shutil.copytree(CONFIGS, "configs")
    for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    cells = re.findall(r"```python\n(.*?)```", (ROOT / "docs/notebook.md").read_text(), re.DOTALL)
    assert len(cells) == 5
    check = "import signal; print(signal.getsignal(signal.SIGTERM))"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in (check, *cells, check)])
    with warnings.catch_warnings(action="ignore"):  # of Jupyter's own
        nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    first, *_, refused, last = ["".join(out.get("text", "") for out in cell.outputs) for cell in notebook.cells]
    assert first == last
    assert "--trainer.max_epoch" in refused
    assert len(list(Path("runs/digits_mlp").iterdir())) == 3
