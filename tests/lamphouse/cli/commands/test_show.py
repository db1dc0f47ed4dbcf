"""`show`: every option of an experiment, and where its value comes from."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from conftest import CONFIGS, Outcome, fit_options

Command = Callable[..., Outcome]


def sources(outcome: Outcome) -> dict[str, str]:
    """Map the last key of each option, unless a later one has the same, to where it came from."""
    lines = (re.fullmatch(r" *(\w+): .*?  +# (.+)", line) for line in outcome.out.splitlines())
    return {found[1]: found[2] for found in lines if found}


def test_each_option_has_its_source(arc: Command) -> None:
    options = ["--model.optimizer", "SGD", "--model.optimizer.lr=0.1", '--data={"batch_size": 3}']
    outcome = arc("show", *fit_options("digits_mlp"), *options)
    assert (outcome.status, outcome.err) == (0, "")
    found = sources(outcome)
    assert found["lr"] == found["batch_size"] == found["max_epochs"] == "command line"
    assert found["hidden_sizes"].endswith("configs/digits_mlp.yaml")
    assert found["minutes"].endswith("configs/trainer.yaml")
    assert (found["num_classes"], found["channels_last"]) == ("the data", "this machine")
    assert (found["seed"], found["dropout"]) == ("seed_everything", "default")


def test_what_it_shows_is_a_config_of_the_same_run(arc: Command) -> None:
    shown = arc("show", *fit_options("digits_mlp"), "--data.batch_size=7").out
    Path("mine.yaml").write_text(shown)
    again = arc("show", "-c", "mine.yaml")
    assert yaml.safe_load(again.out) == yaml.safe_load(shown)
    assert not Path("runs").exists()


INTERPOLATED = """
early_stopping: {patience: "${trainer.max_epochs}"}
model: {init_args: {label_smoothing: "${model.init_args.dropout}"}}
data: {init_args: {seed: "${seed_everything}"}}
runs: ${oc.env:PLACE}/${experiment}
"""


def test_options_follow_others_also_from_the_command_line(arc: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACE", "here")
    Path("more.yaml").write_text(INTERPOLATED)
    files = ["-c", CONFIGS / "trainer.yaml", "-c", CONFIGS / "digits_mlp.yaml", "-c", "more.yaml", "--logger=none"]
    with monkeypatch.context() as patched:
        patched.setattr("lamphouse.cli.parser.find_spec", lambda name: None)
        outcome = arc("show", *files)
    assert (outcome.status, outcome.err.count("\n")) == (2, 1)
    assert "needs OmegaConf: install it with `make extra EXTRA=interpolation`" in outcome.err
    pytest.importorskip("omegaconf", reason="needs omegaconf: make extra EXTRA=interpolation")
    changed = ["--trainer.max_epochs=7", "--model.dropout=0.25", "--seed_everything=5", "--experiment=mine"]
    shown = yaml.safe_load(arc("show", *files, *changed).out)
    assert shown["early_stopping"]["patience"] == 7
    assert shown["model"]["init_args"]["label_smoothing"] == 0.25
    assert (shown["data"]["init_args"]["seed"], shown["runs"]) == (5, "here/mine")
    wrong = arc("show", *files, "--early_stopping.patience=${trainer.max_epoch}")
    assert (wrong.status, wrong.err.count("\n")) == (2, 1)
    assert "'trainer.max_epoch' not found" in wrong.err
