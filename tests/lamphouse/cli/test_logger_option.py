"""The logger is an option of the command line."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from conftest import Outcome

Command = Callable[..., Outcome]


def only_run() -> Path:
    (run,) = Path("runs", "digits_mlp").iterdir()
    return run


@pytest.mark.parametrize("options", [["--logger=csv"], ["--trainer.logger=false"], ["--logger=none"]])
def test_only_the_runs_own_table_is_written(fit: Command, options: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)  # an import would fail
    assert fit("--logger_options.project=x", *options).status == 0
    assert not [path for path in only_run().iterdir() if path.is_dir()]


def test_a_resumed_run_has_its_logger_unless_another_is_given(fit: Command, arc: Command) -> None:
    options = "--logger_options={log_graph: false}"
    assert fit("--logger=tensorboard", options).status == 0
    config = yaml.safe_load((only_run() / "config.yaml").read_text())
    assert (config["logger"], config["logger_options"]) == ("tensorboard", {"log_graph": False})
    before = list((only_run() / "tensorboard").iterdir())
    assert arc("resume", "--trainer.max_epochs=2", "--logger=none").status == 0
    assert list((only_run() / "tensorboard").iterdir()) == before
    config["logger"] = "tensorboard"
    assert arc("resume", "--trainer.max_epochs=3", "--logger=tensorboard").status == 0
    assert len(list((only_run() / "tensorboard").iterdir())) > len(before)
