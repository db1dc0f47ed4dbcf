"""Whatever is given on the command line is taken or refused, in one line, and never run."""

import sys
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import pytest
import yaml
from conftest import Outcome
from hypothesis import strategies as st
from tries import SPECIAL, TOUCH, VALUES, assert_clear, assert_refused, at, forget_runs, taken, tries

from tests.lamphouse.fuzz.conftest import Parsed

pytestmark = pytest.mark.slow


WRITES = {"runs", "experiment", "trainer.logger"}  # name places or become another option: tried on their own
SEEN = ["fit", "resume", "-c", "--config", "--help", "-h", "--print_config", "--model", "--data", "--trainer"]


def options_of(config: dict[str, Any], name: str = "") -> Iterator[tuple[str, str]]:
    """List every option: its name on the command line, and where the configuration has it."""
    for key, value in config.items():
        path = f"{name}.{key}".lstrip(".")
        yield path.replace(".init_args", ""), path
        if isinstance(value, dict):
            yield from options_of(value, path)


@pytest.fixture
def options(parsed: Parsed) -> list[tuple[str, str]]:
    config = parsed()[1]
    assert config is not None
    found = [(name, path) for name, path in options_of(config) if name not in WRITES and not name.endswith("init_args")]
    assert len(set(found)) > 100
    return sorted(set(found))


def test_a_value_is_taken_or_refused(parsed: Parsed, options: list[tuple[str, str]]) -> None:
    def check(option: tuple[str, str], value: str) -> None:
        name, path = option
        outcome, config = parsed(f"--{name}={value}")
        assert_clear(outcome)
        if outcome.status == 0 and outcome.out and not value.startswith("{"):
            assert config is not None
            given = yaml.safe_load(value) if value.strip() and value.isprintable() else value
            assert taken(value, at(config, path)) or taken(given, at(config, path)), (option, value, at(config, path))

    tries(125, check, option=st.sampled_from(options), value=VALUES)


def test_a_misspelt_option_is_refused(parsed: Parsed, options: list[tuple[str, str]]) -> None:
    names = {name for name, _ in options}

    def check(name: str, place: int, letter: str) -> None:
        place %= len(name)
        for misspelt in (name[:place] + name[place + 1 :], name[:place] + letter + name[place:], name + letter):
            if misspelt not in names and not misspelt.endswith("help") and not misspelt.startswith("config"):
                assert_refused(parsed(f"--{misspelt}=1")[0])

    letters = st.sampled_from("abz_.-0é ")
    tries(20, check, name=st.sampled_from(sorted(names)), place=st.integers(0, 40), letter=letters)


def test_any_command_line_is_understood_or_refused(
    arc: Callable[..., Outcome], without_training: None, options: list[tuple[str, str]]
) -> None:
    flags = st.sampled_from([f"--{name}" for name, _ in options])
    words = st.one_of(st.sampled_from(SEEN), flags, st.sampled_from(SPECIAL), st.text(max_size=8))

    def check(command: str, rest: list[str]) -> None:
        assert_clear(arc(command, *rest))
        forget_runs()

    commands = st.sampled_from(["fit", "resume", "evaluate", "predict"]) | st.text(max_size=8)
    tries(100, check, command=commands, rest=st.lists(words, max_size=6))


def test_a_name_of_an_experiment_is_that_of_its_directory(
    fit: Callable[..., Outcome], without_training: None, tmp_path: Any
) -> None:
    def check(name: str) -> None:
        forget_runs()
        outcome = fit(f"--experiment={name}")
        assert_clear(outcome)
        if outcome.status == 0:
            expected = "digits_mlp" if name in {"", "~", "null"} else name
            assert [path.name for path in (tmp_path / "runs").iterdir()] == [expected]
        forget_runs()
        assert [path.name for path in tmp_path.iterdir() if path.name != "hypothesis"] == []

    tries(25, check, name=VALUES | st.text("ab/.\\ ", max_size=5))


CLASS_OPTIONS = (
    *("model", "data", "model.optimizer", "model.lr_scheduler", "data.augment+", "trainer.callbacks+"),
    *("trainer.callbacks", "trainer.logger", "trainer.plugins", "trainer.profiler", "trainer.strategy"),
    *("trainer.accelerator", "data.augment", "model.class_path", "data.class_path"),
)
NO_CLASSES = (
    *(
        "os.system",
        "os",
        "subprocess.Popen",
        "builtins.eval",
        "builtins.exec",
        "antigravity.geohash",
        "webbrowser.open",
    ),
    *("torch.load", "torch.nn.Linear", "torch.optim", "torch.hub.load", "functools.partial"),
    "lamphouse.cli.main.main",
    *("lightning.pytorch.Trainer", "no.such.Thing", "torch.NoSuch", "jsonargparse.set_parsing_settings"),
)


def test_a_class_path_names_a_class_of_the_expected_kind(parsed: Parsed) -> None:
    def check(option: str, name: str, form: str) -> None:
        spec = f'{{"class_path": "{name}", "init_args": {{"command": "{TOUCH}", "args": ["{TOUCH}"]}}}}'
        assert_refused(parsed(f"--{option}={form.format(name=name, spec=spec)}")[0])

    forms = st.sampled_from(["{name}", "{spec}", "[{spec}]"])
    tries(75, check, option=st.sampled_from(CLASS_OPTIONS), name=st.sampled_from(NO_CLASSES), form=forms)


def test_what_comes_with_python_is_not_even_imported(parsed: Parsed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its top level runs when it is imported: `antigravity` opens a browser."""
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    spec = '{"class_path": "antigravity.geohash", "init_args": {"a": 1}}'
    monkeypatch.delitem(sys.modules, "antigravity", raising=False)
    for option, value in product(CLASS_OPTIONS, ("antigravity.geohash", spec, f"[{spec}]")):
        assert_refused(parsed(f"--{option}={value}")[0])
    assert opened == []
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize("function", ["torch.load", "builtins.print", "lamphouse.machine.start.prepare"])
def test_a_function_is_not_taken_where_a_class_would_call_it(parsed: Parsed, function: str) -> None:
    schedule = ["--model.lr_scheduler=CyclicLR", "--model.lr_scheduler.base_lr=0.1", "--model.lr_scheduler.max_lr=0.2"]
    assert_refused(parsed(*schedule, f"--model.lr_scheduler.scale_fn={function}")[0], "scale_fn")
    assert_refused(parsed("--trainer.callbacks+=LambdaCallback", f"--trainer.callbacks.setup={function}")[0], "setup")


@pytest.mark.parametrize(
    "option",
    ["--data.num_workers=100000", "--trainer.devices=100000"],
)
def test_processes_that_would_exhaust_the_machine(parsed: Parsed, option: str) -> None:
    assert_refused(parsed(option)[0], option.replace("=", " "))


@pytest.mark.parametrize(
    "option",
    [
        "--trainer.default_root_dir=elsewhere",
        "--trainer.logger=true",
        "--best_checkpoint.dirpath=elsewhere",
        "--last_checkpoint.dirpath=elsewhere",
        "--best_checkpoint.filename=elsewhere",
    ],
)
def test_what_a_run_sees_to_itself_is_not_ignored(parsed: Parsed, option: str) -> None:
    assert_refused(parsed(option)[0], option.partition("=")[0])
