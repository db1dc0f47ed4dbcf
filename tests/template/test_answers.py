"""Bad answers end in one line that names them, with nothing created and nothing overwritten."""

import json
import unicodedata
from pathlib import Path

import pytest
from calls import Home, ours
from projects import ROOT, planned, text_of, tree

from arc_light_scaffold.answers import LONGEST, BadAnswerError, check_answers

NOT_IDENTIFIERS = ["", "1st", "leaf-counter", "leaf counter", "Leaf", "leaf.counter", "läuse", "_leaf", "a" * 31]
PATHS = ["../leaf", "a/b", "a\\b", "..", ".", "/leaf", "leaf/", "~", "-leaf", "leaf-"]
BAD = [
    *(("package_name", value) for value in [*NOT_IDENTIFIERS, *PATHS]),
    *(("package_name", value) for value in ["class", "import", "lambda"]),
    *(("package_name", value) for value in ["json", "types", "test", "string"]),
    *(
        ("package_name", value)
        for value in ["torch", "lightning", "lamphouse", "yaml", "wandb", "numpy", "jinja2", "typing_extensions"]
    ),
    *(("package_name", value) for value in ["tests", "configs", "src", "data", "tiny_data", "nul", "com1"]),
    *(
        ("project_slug", value)
        for value in [*PATHS, "", "Leaf", "leaf counter", "löwe", "a" * 51, "torch", "PyYAML", "con"]
    ),
    *(("project_slug", value) for value in ["typing-extensions", "typing_extensions", "nul.txt"]),
    *(("project_name", value) for value in ["", " ", "a" * 51, "a/b", "a\nb", "-x", " leaf", "leaf ", "#leaf", "a: b"]),
    *(("project_name", value) for value in ["🌲", "a\0b", "a\u202eb", "{leaf}", "$(leaf)", "`leaf`", "a|b", "a*b"]),
    *(
        ("description", value)
        for value in ["", "a\nb", 'say "hi"', "a\\b", "<!-- a", "a" * 201, "a\tb", "$HOME", "`ls`"]
    ),
    *(("author", value) for value in ["", "a\nb", '"a"', "a\\", "{a}", "a\r", "a" * 101]),
    *(
        ("email", value)
        for value in ["a", "a@", "@b.c", "a b@c.d", "a@b", 'a"@b.c', "a@b.c\n", "a@" + "b" * 100 + ".c"]
    ),
    *(("year", value) for value in ["", "26", "20266", "year", "0026", "2026\n", "２０２６"]),  # noqa: RUF001  # wide digits are what is tested
]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def assert_refused(status: int, output: str, *mentioned: str) -> None:
    assert status == 1
    (line,) = output.splitlines()
    for text in mentioned:
        assert text in line
    assert not Path("projects").exists()


@pytest.mark.parametrize(("name", "value"), BAD, ids=repr)
def test_bad_answer(name: str, value: str) -> None:
    with pytest.raises(BadAnswerError) as info:
        check_answers(ours(**{name: value}), "projects")
    assert_refused(1, str(info.value), name)


A_FEW = [(name, value) for name, value in BAD if value in {"../leaf", "a\nb", "class", "🌲", "a@b", "26", "torch"}]


@pytest.mark.parametrize(("name", "value"), A_FEW, ids=repr)
def test_bad_answer_to_cookiecutter(name: str, value: str, home: Home) -> None:
    status, output = home.generate(ROOT, "--no-input", "-o", "projects", **ours(**{name: value}))
    assert_refused(status, output, name)


MARKED = ["{{ 7 * 7 }}", "{% raw %}", "{# a #}", "{{ cookiecutter.author }}", "{{", "{%- endif %}"]


@pytest.mark.parametrize(
    ("name", "value"), [*(("author", value) for value in MARKED), *((name, MARKED[0]) for name in sorted(LONGEST))]
)
def test_marks_of_templates(name: str, value: str, home: Home) -> None:
    status, output = home.generate(ROOT, "--no-input", "-o", "projects", **ours(**{name: value}))
    assert_refused(status, output, value, "marks of templates")


@pytest.mark.parametrize(("name", "value"), [*A_FEW, *(("author", value) for value in MARKED)], ids=repr)
def test_tampered_replay(name: str, value: str, home: Home) -> None:
    replay = Path("answers.json")
    replay.write_text(json.dumps({"cookiecutter": {**ours(**{name: value}), **extensions()}}))
    status, output = home.generate(ROOT, "--replay-file", replay, "-o", "projects")
    assert_refused(status, output, name)


@pytest.mark.parametrize("value", [None, 3, ["a"], {"a": "b"}, True])
def test_tampered_replay_with_other_than_text(value: object, home: Home) -> None:
    replay = Path("answers.json")
    replay.write_text(json.dumps({"cookiecutter": {**ours(), "author": value, **extensions()}}))
    status, output = home.generate(ROOT, "--replay-file", replay, "-o", "projects")
    assert_refused(status, output, "author", repr(value))


@pytest.mark.parametrize("name", ["licence", "git"])
def test_tampered_replay_with_an_unknown_choice(name: str, home: Home) -> None:
    replay = Path("answers.json")
    replay.write_text(json.dumps({"cookiecutter": {**ours(**{name: "other"}), **extensions()}}))
    status, output = home.generate(ROOT, "--replay-file", replay, "-o", "projects")
    assert_refused(status, output, f"{name} 'other': choose one of")


def extensions() -> dict[str, object]:
    """Name what a replay file has beside answers."""
    return {
        name: value for name, value in json.loads((ROOT / "cookiecutter.json").read_text()).items() if name[0] == "_"
    }


def test_bad_answer_leaves_the_last_answers_alone(home: Home) -> None:
    home.generate(ROOT, "--no-input", "-o", "good", **ours())
    before = home.replay.read_bytes()
    home.generate(ROOT, "--no-input", "-o", "projects", **ours(author="a\nb"))
    assert home.replay.read_bytes() == before


def test_name_that_has_no_letters_of_ours(home: Home) -> None:
    status, output = home.generate(ROOT, "--no-input", "-o", "projects", project_name="🌲", author="A")
    assert_refused(status, output, "project_name '🌲'")
    status, output = home.generate(ROOT, "--no-input", "-o", "projects", project_name="ໆ")
    assert_refused(status, output, "project_slug ''")


@pytest.mark.parametrize("options", [[], ["-f"], ["-f", "-s"]])
def test_target_that_is_not_empty(options: list[str], home: Home) -> None:
    target = Path("projects/leaf-counter")
    (target / "src").mkdir(parents=True)
    (target / "README.md").write_text("mine")
    status, output = home.generate(ROOT, "--no-input", "-o", "projects", *options, **ours())
    assert status == 1
    assert output == f"{target}: is not empty: choose another project_slug or output folder, or empty it\n"
    assert tree(target) == {"README.md": (b"mine", False)}


def test_target_that_is_a_file(home: Home) -> None:
    Path("projects").mkdir()
    Path("projects/leaf-counter").write_text("mine")
    status, output = home.generate(ROOT, "--no-input", "-o", "projects", **ours())
    assert status == 1
    assert len(output.splitlines()) == 1
    assert Path("projects/leaf-counter").read_text() == "mine"


def test_git_that_is_not_installed(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    status, output = home.generate(ROOT, "--no-input", "-o", "projects", **ours(git="yes"))
    assert_refused(status, output, "git 'yes': git is not installed: answer no")


UNUSUAL = ["Löwen & Läuse", "3D Net", "C++ Vision (old)", "O'Leary's", "Ελιά", "東京 Trees", "a"]


@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_but_good_names(name: str) -> None:
    plan = planned(project_name=unicodedata.normalize("NFC", name), author="Zoë O'Brien-Łuk, Jr.")
    assert text_of(plan, "README.md").startswith(f"# {name}\n")
    assert "Zoë O'Brien-Łuk, Jr." in text_of(plan, "LICENSE")


def test_names_follow_from_one_another(home: Home) -> None:
    status, _ = home.generate(ROOT, "--no-input", "-o", "good", project_name="Grüne Bäume 2", git="no")
    assert status == 0
    assert (Path("good") / "grune-baume-2" / "src" / "grune_baume_2" / "classification.py").is_file()
