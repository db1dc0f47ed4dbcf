"""Whatever is in a YAML file is taken or refused, in one line, and never run."""

import os
import re
from pathlib import Path

import pytest
import yaml
from conftest import CONFIGS
from hypothesis import strategies as st
from tries import NESTED, SPECIAL, TOUCH, assert_clear, assert_refused, damaged, taken, tries

from lamphouse.cli.checks.yaml_files import MOST_BYTES, check_yaml
from tests.lamphouse.fuzz.conftest import Parsed

pytestmark = pytest.mark.slow


MINE = Path("mine.yaml")
SHIPPED = "\n".join((CONFIGS / name).read_text() for name in ("trainer.yaml", "digits_mlp.yaml"))
TEXT = re.sub(r"\nlogger: .*\n", "\n", SHIPPED)


def assert_taken_or_refused(parsed: Parsed, content: bytes, *names: str) -> None:
    MINE.write_bytes(content)
    outcome, config = parsed("-c", MINE)
    assert_clear(outcome, str(MINE), "--", *names)
    if outcome.status == 0:
        given = yaml.safe_load(content)
        for option in ("accelerator", "max_epochs", "precision"):  # set on the command line, or chosen where it is null
            (given.get("trainer") or {}).pop(option, None)
        assert taken(given, config), given


def test_a_damaged_file(parsed: Parsed) -> None:
    tries(75, lambda content: assert_taken_or_refused(parsed, content), content=damaged(TEXT.encode()))


def test_any_value_at_any_place(parsed: Parsed) -> None:
    lines = TEXT.splitlines()

    def check(line: int, value: object) -> None:
        key = lines[line].partition(":")[0]
        text = value if isinstance(value, str) else yaml.safe_dump(value, default_flow_style=True, width=10**6)
        changed = [*lines[:line], f"{key}: {str(text).removesuffix(chr(10)).removesuffix('...')}", *lines[line + 1 :]]
        assert_taken_or_refused(parsed, "\n".join(changed).encode(), key.strip())

    places = [number for number, line in enumerate(lines) if ":" in line and not line.startswith("#")]
    values = st.sampled_from([text for text in SPECIAL if text != "\ud800"]) | NESTED
    tries(75, check, line=st.sampled_from(places), value=values)


BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
REFUSED = {
    "code by a tag": f"trainer: {{max_epochs: !!python/object/apply:os.system ['{TOUCH}']}}",
    "code by another tag": f"model: !!python/object/new:subprocess.Popen [['{TOUCH}']]",
    "a name by a tag": "model: !!python/name:os.system",
    "a key twice": "trainer: {precision: 32-true, precision: bf16-mixed}",
    "a part twice": "trainer: {precision: 32-true}\ntrainer: {precision: bf16-mixed}",
    "a list that holds itself": "trainer: {callbacks: &a [*a]}",
    "a mapping that holds itself": "trainer: &a {callbacks: *a}",
    "a billion laughs": BOMB,
    "a billion laughs in place": f"data:\n  init_args:\n    augment: [&a0 [1], {BOMB.replace(chr(10), ', ')[:90]}]",
    "too deep": f"trainer: {'[' * 5000}{']' * 5000}",
    "so deep that a parser in C would crash": "[" * 200_000,
    "two documents": "trainer: {}\n---\ntrainer: {}",
    "a number as a key": "trainer: {1: 2}",
    "nothing as a key": "~: 2",
    "a list as a key": "[1, 2]: 3",
    "a key of the parser's own": "__path__: x",
    "a file in a file": "config: [mine.yaml]",
    "a command of the parser's own": "print_shtab: bash",
    "no number": "trainer: {gradient_clip_val: .nan}",
    "no end": "early_stopping: {min_delta: .inf}",
    "more digits than Python reads": f"trainer: {{max_epochs: {'9' * 5000}}}",
    "no date": "experiment: 2001-99-99",
    "a NUL byte": 'runs: "a\\0b"',
    "nothing": "",
    "a comment": "# nothing",
    "half a surrogate": 'experiment: "\\ud800"',
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused(parsed: Parsed, text: str) -> None:
    MINE.write_text(text)
    assert_refused(parsed("-c", MINE)[0], str(MINE), "--")


@pytest.mark.parametrize("text", ["trainer: {<<: {precision: bf16-mixed}}", "trainer: {precision: &p bf16-mixed}"])
def test_anchors_and_merges_are_followed(parsed: Parsed, text: str) -> None:
    MINE.write_text(text)
    config = parsed("-c", MINE)[1]
    assert config is not None
    assert config["trainer"]["precision"] == "bf16-mixed"


@pytest.mark.parametrize("kind", ["a directory", "a loop", "a pipe", "endless", "too large"])
def test_what_is_no_file(parsed: Parsed, kind: str) -> None:
    make = {
        "a directory": MINE.mkdir,
        "a loop": lambda: MINE.symlink_to(MINE),
        "a pipe": lambda: os.mkfifo(MINE),
        "endless": lambda: MINE.symlink_to("/dev/zero"),
        "too large": lambda: MINE.write_text("#" * (MOST_BYTES + 1)),
    }
    make[kind]()
    assert_refused(parsed("-c", MINE)[0], str(MINE))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission(parsed: Parsed) -> None:
    MINE.write_text("trainer: {}")
    MINE.chmod(0)
    assert_refused(parsed("-c", MINE)[0], str(MINE))


@pytest.mark.parametrize("name", ["trainer.logger", "trainer", "model"])
def test_a_file_named_in_an_option_is_read_as_strictly(parsed: Parsed, name: str) -> None:
    for text in (
        "{class_path: x, class_path: y}",
        "[" * 200_000,
        "&a [*a]",
        f"!!python/object/apply:os.system ['{TOUCH}']",
    ):
        MINE.write_text(text)
        assert_refused(parsed(f"--{name}={MINE}")[0], f"--{name}")


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_files_are_fine(path: Path) -> None:
    check_yaml(path.read_text())
