"""All ways of calling cookiecutter give the same project."""

import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from calls import Home, commit, copy_template, git, ours, template_repository
from projects import ROOT, planned, tree

from arc_light_scaffold.generate import address

EXPECTED = "leaf-counter"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return template_repository(tmp_path_factory.mktemp("templates") / "arc light.git")  # "git" tells cookiecutter


def expected_tree(template: object = ROOT) -> dict[str, tuple[bytes, bool]]:
    plan = planned(git="no", _template=str(template))
    return {path: (file.content, file.executable) for path, file in plan.items()}


def assert_generates(home: Home, template: object, *options: object, folder: str = "projects") -> None:
    """Check the whole project; its README names the address of the template, a path as an absolute one."""
    status, output = home.generate(template, *options, "--no-input", "-o", folder, **ours())
    assert (status, output) == (0, "")
    named = template if re.search(r":|\.zip$", str(template)) else Path(str(template)).resolve()
    assert tree(Path(folder, EXPECTED)) == expected_tree(named)


def test_path(home: Home, capfd: pytest.CaptureFixture[str]) -> None:
    assert_generates(home, ROOT, folder="my projects")
    made, following = capfd.readouterr().out.splitlines()
    folder = Path("my projects", EXPECTED).absolute()
    assert f"files in {folder}, with starting_point everything, logger wandb, loops yes, licence MIT, git no" in made
    assert following == f"next: cd {shlex.quote(str(folder))} && make train"
    assert (folder / "README.md").read_text().count(str(ROOT)) == 1


def test_the_address_of_the_template_is_named_without_a_password() -> None:
    assert address(ROOT, "https://me:secret@example.org/x.git") == "https://example.org/x.git"
    assert address(ROOT, "git@example.org:x.git") == "git@example.org:x.git"
    assert address(ROOT, "../x") == address(ROOT, "") == str(ROOT)


@pytest.mark.slow
@pytest.mark.parametrize("version", ["2.1.1", "2.2.3", "2.3.1", "2.4.0", "2.5.0", "2.6.0", "2.7.1"])
def test_every_version_by_uvx(version: str, home: Home) -> None:
    """The package registry is needed, as for set-up."""
    uv = shutil.which("uv", path=os.pathsep.join([os.environ["PATH"], str(ROOT / ".cache" / "tools" / "bin")]))
    if uv is None:
        pytest.skip("there is no uv, which make setup installs")
    answered = [f"{name}={value}" for name, value in ours().items()]
    command = [uv, "tool", "run", "--from", f"cookiecutter=={version}", "cookiecutter", "--config-file", home.config]
    done = subprocess.run(
        [*command, str(ROOT), "--no-input", "-o", "projects", *answered], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert tree(Path("projects", EXPECTED)) == expected_tree()


@pytest.mark.slow
def test_relative_path_from_anywhere(home: Home, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = Path.cwd()
    monkeypatch.chdir(repository.parent)
    assert_generates(home, repository.name, folder=str(here / "a"))
    monkeypatch.chdir(repository / "src")
    assert_generates(home, "..", folder=str(here / "b"))
    monkeypatch.chdir(repository)
    assert_generates(home, ".", folder=str(here / "c"))


def test_url_of_a_repository(home: Home, repository: Path) -> None:
    assert_generates(home, repository.as_uri())


@pytest.mark.slow
def test_bare_repository(home: Home, repository: Path) -> None:
    git(Path.cwd(), "clone", "--quiet", "--bare", str(repository), "arc-light.git")
    assert_generates(home, Path("arc-light.git").absolute().as_uri())


@pytest.mark.slow
def test_checkout_of_a_tag(home: Home, repository: Path) -> None:
    later = Path(shutil.copytree(repository, "later.git"))
    commit(later, "v2", {"Makefile": "all:\n"})
    assert_generates(home, later.absolute().as_uri(), "--checkout", "v1")


def test_zip_that_has_lost_permissions(home: Home) -> None:
    copy_template(Path("arc-light-main"))
    with zipfile.ZipFile("arc-light.zip", "w") as archive:
        for path in [Path("arc-light-main"), *sorted(Path("arc-light-main").rglob("*"))]:
            archive.writestr(f"{path}/" if path.is_dir() else str(path), b"" if path.is_dir() else path.read_bytes())
    assert_generates(home, "arc-light.zip")


@pytest.mark.slow
def test_template_with_the_line_ends_of_windows(home: Home) -> None:
    template = copy_template(Path("windows"))
    for path in template.rglob("*"):
        if path.is_file() and b"\0" not in path.read_bytes():
            path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert_generates(home, "windows")


@pytest.mark.slow
def test_unusual_folders(home: Home) -> None:
    template = template_repository(Path("eine Vorlage für Bäume 'x'"))
    assert_generates(home, template, folder='Meine Projekte/東京 "a"')


@pytest.mark.slow
def test_template_that_cannot_be_written_to(home: Home) -> None:
    template = copy_template(Path("template"))
    folders = [template, *(path for path in template.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        assert_generates(home, template)
    finally:
        for folder in folders:
            folder.chmod(0o755)


@pytest.mark.slow
def test_files_that_git_does_not_track_are_not_generated(home: Home, repository: Path) -> None:
    template = Path(shutil.copytree(repository, "template"))
    for path in ("src/arc_light/scratch.py", "tests/test_scratch.py", "notes.txt"):
        (template / path).write_text("1 +")
    assert_generates(home, template)


@pytest.mark.slow
def test_replay(home: Home) -> None:
    assert_generates(home, ROOT)
    replayed = home.generate(ROOT, "--replay", "-o", "again")
    assert replayed == (0, "")
    assert tree(Path("again", EXPECTED)) == expected_tree()
    replayed = home.generate(ROOT, "--replay-file", home.replay, "-o", "once more")
    assert replayed == (0, "")
    assert tree(Path("once more", EXPECTED)) == expected_tree()


def test_replay_without_our_extension(home: Home) -> None:
    Path("answers.json").write_text(json.dumps({"cookiecutter": ours()}))
    status, _ = home.generate(ROOT, "--replay-file", "answers.json", "-o", "projects")
    assert status == 1
    assert not Path("projects").exists()


def test_hooks_that_are_not_allowed_say_so(home: Home) -> None:
    home.generate(ROOT, "--no-input", "--accept-hooks", "no", "-o", "projects", **ours())
    assert "--accept-hooks yes" in Path("projects", EXPECTED, "README.md").read_text()


@pytest.mark.slow
def test_answers_given_at_the_prompts(home: Home) -> None:
    lines = ["Leaf Counter", "", "", "Counts the leaves of a tree", "Zoë O'Brien", "zoe@example.org", "2031"]
    words = [sys.executable, "-m", "cookiecutter", str(ROOT), "--config-file", home.config, "-o", "projects"]
    text = "\n".join([*lines, "1", "1", "1", "1", "2", ""])
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert tree(Path("projects", EXPECTED)) == expected_tree()


def test_first_commit(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(home.path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_DIR", "/nowhere")  # of a Git that calls us
    assert home.generate(ROOT, "--no-input", "-o", "projects", **ours(git="yes")) == (0, "")
    monkeypatch.delenv("GIT_DIR")
    project = Path("projects", EXPECTED)
    assert git(project, "log", "--format=%an <%ae> %s %D") == "Zoë O'Brien <zoe@example.org> Begin HEAD -> main\n"
    assert git(project, "status", "--porcelain") == ""
    assert set(git(project, "-c", "core.quotePath=off", "ls-files").splitlines()) == set(expected_tree())


@pytest.mark.slow
def test_first_commit_is_by_the_person_that_git_knows(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.path.mkdir()
    (home.path / ".gitconfig").write_text("[user]\nname = Known\nemail = known@example.org\n[commit]\ngpgSign = true\n")
    monkeypatch.setenv("HOME", str(home.path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    assert home.generate(ROOT, "--no-input", "-o", "projects", **ours(git="yes", email="")) == (0, "")
    assert git(Path("projects", EXPECTED), "log", "--format=%an <%ae>") == "Known <known@example.org>\n"


@pytest.mark.parametrize(
    "failing", [*(pytest.param(name, marks=pytest.mark.slow) for name in ("write_bytes", "chmod")), "git"]
)
def test_failure_half_way_leaves_nothing_behind(failing: str, home: Home) -> None:
    template = template_repository(Path("template"))
    writing = template / "arc_light_scaffold" / "write.py"
    failure = {
        "write_bytes": ("target.write_bytes(file.content)", 'path == "pyproject.toml" and 1 / 0'),
        "chmod": ("target.chmod(0o755)", 'raise OSError(28, "No space left on device")'),
        "git": ('"add", "--all"', '"add", "nothing"'),
    }
    text = writing.read_text()
    assert failure[failing][0] in text
    writing.write_text(text.replace(*failure[failing]))
    status, _ = home.generate(template, "--no-input", "-o", "projects", **ours(git="yes"))
    assert status == 1
    assert list(Path("projects").iterdir()) == []


def test_manifest_that_does_not_fit_leaves_nothing_behind(home: Home, capfd: pytest.CaptureFixture[str]) -> None:
    template = template_repository(Path("template"))
    (template / "Makefile").write_text("all:\n\techo ArcLIGHT\n")
    status, _ = home.generate(template, "--no-input", "-o", "projects", **ours())
    assert status == 1
    assert "the template is at fault: Makefile: 'ArcLIGHT' is left" in capfd.readouterr().err
    assert list(Path("projects").iterdir()) == []


@pytest.mark.slow
def test_permissions_are_those_of_the_user(home: Home) -> None:
    assert_generates(home, ROOT)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in Path("projects", EXPECTED).rglob("*") if path.is_file()}
    assert modes <= {0o644, 0o755}
