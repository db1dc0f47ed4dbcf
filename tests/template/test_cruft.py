"""Updates: a project follows two tagged versions of the template."""

import json
from pathlib import Path

import pytest
from calls import commit, cruft, git, ours, template_repository
from projects import answers, planned, text_of, tree

pytestmark = pytest.mark.slow  # every call clones the template
CHANGES = {
    "Makefile": ("rm -rf .venv", "rm -rf -- .venv"),
    "src/lamphouse/errors.py": ('"""', '"""Version 2: '),
    "src/arc_light/classification.py": ('"""', '"""Version 2 of arc_light: '),
    "src/arc_light/data/mnist.py": ('"""', '"""Version 2 of arc_light: '),
    "src/arc_light/data/digits.py": ('"""', '"""Version 2: '),
}
OURS = '"""Version 2 of leaf_counter: '
NEW = "src/arc_light/models/linear.py"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tag two versions: in the second, files have changed and one is new."""
    template = template_repository(tmp_path_factory.mktemp("template") / "arc-light.git")
    texts = {path: (template / path).read_text() for path in CHANGES}
    changed = {path: texts[path].replace(*CHANGES[path], 1) for path in CHANGES}
    assert all(changed[path] != texts[path] for path in CHANGES)
    commit(template, "v2", {**changed, NEW: '"""Linear networks of Arc Light."""\n'})
    return template


@pytest.fixture
def project(template: Path) -> Path:
    """Create a project from the first version, and commit it."""
    return created(template)


def created(template: Path, **others: str) -> Path:
    context = json.dumps(ours(**others))
    here = Path.cwd()
    cruft(here, "create", template, "--checkout", "v1", "--no-input", "--extra-context", context)
    project = here / "leaf-counter"
    if not (project / ".git").exists():
        git(project, "init", "--quiet")
    commit(project, "begin")
    return project


def update(project: Path, *options: object) -> str:
    """Update and commit what comes of it."""
    output = cruft(project, "update", "--skip-apply-ask", "--checkout", "v2", *options)
    git(project, "add", "--all")
    return output


def test_created_project_is_the_generated_one(project: Path, template: Path) -> None:
    own = tree(project)
    state = json.loads(own.pop(".cruft.json")[0])
    assert own == {path: (file.content, file.executable) for path, file in planned(_template=str(template)).items()}
    assert state["checkout"] == "v1"
    assert answers().items() <= {**state["context"]["cookiecutter"], "git": "no"}.items()


def test_created_with_a_repository_of_its_own(template: Path) -> None:
    project = created(template, starting_point="mnist_mlp", git="yes")
    assert git(project, "log", "--format=%s").splitlines() == ["begin", "Begin"]
    update(project)  # which would compare the repositories, too, if scratch folders had one
    assert (project / "src/leaf_counter/data/mnist.py").read_text().startswith(OURS)


def test_check_and_diff(project: Path) -> None:
    cruft(project, "check", "--checkout", "v1")
    assert cruft(project, "diff", "--exit-code") == ""
    assert "out of date" in cruft(project, "check", status=1)
    (project / "Makefile").write_text("all:\n")
    assert "-all:" in cruft(project, "diff", "--exit-code", status=1)


def test_update_brings_the_new_version_in_the_user_s_words(project: Path) -> None:
    update(project)
    assert "rm -rf -- .venv" in (project / "Makefile").read_text()
    assert (project / "src/lamphouse/errors.py").read_text().startswith('"""Version 2: ')
    assert (project / "src/leaf_counter/data/mnist.py").read_text().startswith(OURS)
    assert (project / "src/leaf_counter/models/linear.py").read_text() == '"""Linear networks of Leaf Counter."""\n'
    cruft(project, "check", "--checkout", "v2")
    assert cruft(project, "diff", "--exit-code") == ""


def test_update_keeps_to_what_was_asked_for(template: Path) -> None:
    project = created(template, starting_point="cifar10_resnet")
    update(project)
    assert (project / "src/leaf_counter/data/digits.py").read_text().startswith('"""Version 2: ')
    assert not (project / "src/leaf_counter/data/mnist.py").exists()


def test_update_leaves_edits_of_the_user_s_own(project: Path) -> None:
    readme, edited = project / "README.md", project / "src/leaf_counter/classification.py"
    readme.write_text("# Mine\n")
    edited.write_text(edited.read_text() + "\n\nclass OwnError(Exception):\n    pass\n")
    (project / "src/leaf_counter/own.py").write_text("OWN = 1\n")
    commit(project, "edits")
    update(project)
    assert readme.read_text() == "# Mine\n"
    assert edited.read_text().startswith(OURS)
    assert "class OwnError" in edited.read_text()
    assert (project / "src/leaf_counter/own.py").read_text() == "OWN = 1\n"


def test_update_does_not_bring_back_what_was_deleted(project: Path) -> None:
    (project / "src/leaf_counter/data/mnist.py").unlink()
    (project / "LICENSE").unlink()
    commit(project, "deletions")
    update(project)
    assert not (project / "src/leaf_counter/data/mnist.py").exists()
    assert not (project / "LICENSE").exists()
    assert "rm -rf -- .venv" in (project / "Makefile").read_text()


def test_conflict_shows_both_sides(project: Path) -> None:
    path = project / "src/leaf_counter/classification.py"
    path.write_text(path.read_text().replace('"""', '"""Mine: ', 1))
    commit(project, "edit-of-the-same-line")
    output = update(project)
    rejected = [*project.rglob("*.rej")]
    text = path.read_text()
    assert rejected or {"<<<<<<<", ">>>>>>>"} <= set(text.split()), output
    assert '"""Mine: ' in text
    sides = text + "".join(rejection.read_text() for rejection in rejected)
    assert OURS in sides
    assert "rm -rf -- .venv" in (project / "Makefile").read_text()


def test_update_with_another_answer(project: Path) -> None:
    wanted = {"logger": "csv", "starting_point": "mnist_mlp", "loops": "no", "author": "New Author"}
    cruft(project, "update", "--skip-apply-ask", "--checkout", "v1", "--variables-to-update", json.dumps(wanted))
    own = tree(project)
    del own[".cruft.json"]
    expected = planned(**wanted)
    assert set(own) == set(expected)
    assert own["Makefile"][0].decode() == text_of(expected, "Makefile")
    assert own["LICENSE"][0].decode() == text_of(expected, "LICENSE")


def test_bad_answer_is_one_line_here_too(template: Path) -> None:
    context = json.dumps(ours(package_name="class"))
    words = ("create", template, "--no-input", "--extra-context", context)
    assert cruft(Path.cwd(), *words, status=1) == "package_name 'class': is a keyword of Python: choose another\n"
    assert not Path("leaf-counter").exists()


def test_updates_end_with_the_file_that_asks_for_them(project: Path) -> None:
    (project / ".cruft.json").unlink()
    assert "cruft.json" in cruft(project, "update", status=1)
