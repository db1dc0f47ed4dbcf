"""A checkpoint that is not what a run wrote is refused in one line, and none is run as code."""

import ast
import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ROOT, Outcome
from fake_data import write_image
from hypothesis import strategies as st
from tries import TOUCH, assert_clear, assert_refused, damaged, replaced, tries

from lamphouse.checkpoints.files import load_checkpoint
from lamphouse.errors import InputError

pytestmark = pytest.mark.slow

Command = Callable[[bytes], Outcome]
COMMANDS = ["evaluate", "predict", "resume"]


class Code:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.system, (TOUCH,)


@pytest.fixture
def read(request: pytest.FixtureRequest, arc: Callable[..., Outcome], trained: Path) -> Command:
    """Let a command read a checkpoint of this content."""
    image = write_image(Path("image.png"))
    more = {"predict": [f"--input={image}"], "resume": ["--trainer.max_epochs=3"]}.get(request.param, [])
    path = trained / ("last.ckpt" if request.param == "resume" else "best.ckpt")
    (trained / "previous.ckpt").unlink()  # which a damaged one would be passed over for

    def run(content: bytes) -> Outcome:
        path.write_bytes(content)
        return arc(request.param, "--run", trained, *more)

    return run


def rewritten(content: bytes, name: str, change: Callable[[bytes], bytes], **options: int) -> bytes:
    """Change a part of the archive, whose checksums are right afterwards."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w", **options) as new:
        for entry in old.namelist():
            new.writestr(entry, change(old.read(entry)) if entry.endswith(name) else old.read(entry))
    return file.getvalue()


def saved(value: Any) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def test_a_damaged_file(trained: Path) -> None:
    """A flipped bit in no one's content, such as padding, changes nothing; any other is noticed."""
    path, expected = trained / "last.ckpt", load_checkpoint(trained / "last.ckpt")

    def check(content: bytes) -> None:
        path.write_bytes(content)
        try:
            found = load_checkpoint(path)
        except InputError:
            return
        assert found["epoch"] == expected["epoch"]
        assert list(found["state_dict"]) == list(expected["state_dict"])
        assert all(torch.equal(found["state_dict"][k], v) for k, v in expected["state_dict"].items())

    tries(1000, check, content=damaged(path.read_bytes()))


@pytest.mark.parametrize("read", ["predict"], indirect=True)
def test_a_damaged_pickle_with_a_right_checksum(read: Command, trained: Path) -> None:
    content = (trained / "best.ckpt").read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        size = archive.getinfo(next(name for name in archive.namelist() if name.endswith("data.pkl"))).file_size

    def check(changes: list[tuple[int, int]]) -> None:
        assert_clear(read(rewritten(content, "data.pkl", lambda pickled: replaced(pickled, changes))), "best.ckpt")

    places = st.tuples(st.integers(0, size - 1), st.integers(0, 255))
    tries(75, check, changes=st.lists(places, min_size=1, max_size=4))


PARTS = ["epoch", "global_step", "state_dict", "hyper_parameters", "callbacks", "loops", "optimizer_states"]
PARTS += ["lr_schedulers", "pytorch-lightning_version", "datamodule_hyper_parameters"]
JUNK = [None, -1, 2**70, float("nan"), "text", [], [1], {}, {"a": 1}, {"a": torch.zeros(2)}, torch.zeros(2), (1, 2)]


@pytest.mark.parametrize("read", COMMANDS, indirect=True)
def test_parts_that_are_something_else(read: Command, trained: Path) -> None:
    whole = torch.load(trained / "last.ckpt", weights_only=True)

    def check(part: str, junk: object) -> None:
        assert_clear(
            read(saved({**whole, part: junk})), ".ckpt", "the run is complete", "the run has trained"
        )  # which one before has done

    tries(12, check, part=st.sampled_from(PARTS), junk=st.sampled_from(JUNK))


FORMS = {
    "a bare pickle": lambda good: pickle.dumps(Code()),
    "an old file of torch's": lambda good: pickle.dumps({"state_dict": {}, "hyper_parameters": {}, "epoch": Code()}),
    "instead of the pickle": lambda good: rewritten(good, "data.pkl", lambda _: pickle.dumps(Code(), 2)),
    "of a later protocol": lambda good: rewritten(good, "data.pkl", lambda _: pickle.dumps(Code(), 5)),
    "before the pickle": lambda good: rewritten(
        good, "data.pkl", lambda old: pickle.dumps(Code(), 2)[:-1] + b"0" + old
    ),
    "as a weight": lambda good: saved({"state_dict": {"w": Code()}, "hyper_parameters": {}, "epoch": 1}),
    "as an option": lambda good: saved({"state_dict": {}, "hyper_parameters": {"a": Code()}, "epoch": 1}),
}


@pytest.mark.parametrize("read", COMMANDS, indirect=True)
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_code_is_not_run(read: Command, trained: Path, form: Callable[[bytes], bytes]) -> None:
    assert_refused(read(form((trained / "last.ckpt").read_bytes())), ".ckpt: ")


def test_the_code_would_have_run(trained: Path) -> None:
    """The tests above would see it."""
    pickle.loads(pickle.dumps(Code()))  # noqa: S301  # made in this line
    assert Path(TOUCH.split()[1]).exists()


@pytest.mark.parametrize("name", ["os.system", "lightning.pytorch.cli.instantiate_module"])
def test_a_checkpoint_builds_only_models(arc: Callable[..., Outcome], trained: Path, name: str) -> None:
    whole = torch.load(trained / "best.ckpt", weights_only=True)
    spec = {"command": TOUCH, "args": TOUCH.split(), "_class_path": "subprocess.Popen", "_instantiator": name}
    for part in ("hyper_parameters", "datamodule_hyper_parameters"):
        torch.save({**whole, part: spec}, "other.ckpt")
        image = write_image(Path("image.png"))
        assert_clear(arc("predict", "--run", trained, "--input", image, "--checkpoint=other.ckpt"), "other.ckpt")


def test_a_bomb_is_not_unpacked(trained: Path) -> None:
    """Parts of torch's files are not compressed, so that none is larger than the file."""
    good = (trained / "last.ckpt").read_bytes()
    path = trained / "bomb.ckpt"
    path.write_bytes(rewritten(good, "data.pkl", lambda _: bytes(10**8), compression=zipfile.ZIP_DEFLATED))
    assert path.stat().st_size < 2 * 10**6
    with pytest.raises(InputError, match="not a readable checkpoint"):
        load_checkpoint(path)


def calls() -> list[tuple[str, ast.Call]]:
    """List every call in the source that a checkpoint could be read by."""
    trees = [(path, ast.parse(path.read_text())) for path in (ROOT / "src").rglob("*.py")]
    found = [
        (f"{path.name}:{node.lineno}", node)
        for path, tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    ]
    readers = {"torch.load"}
    return [
        (place, call)
        for place, call in found
        if ast.unparse(call.func) in readers
        or ast.unparse(call.func).endswith("load_from_checkpoint")
        or any(keyword.arg == "ckpt_path" for keyword in call.keywords)
    ]


def test_every_reader_takes_weights_only() -> None:
    assert len(calls()) >= 3
    for place, call in calls():
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        assert given.get("weights_only") == "True", place


@pytest.mark.parametrize("name", ["pickle.load", "pickle.loads", "yaml.load(", "yaml.unsafe_load", "eval(", "exec("])
def test_nothing_else_reads_code(name: str) -> None:
    for path in (ROOT / "src").rglob("*.py"):
        text = (
            path.read_text().replace(" eval()", "").replace(".eval()", "").replace("yaml.load(text, LOADER)", "")
        )  # a safe loader
        assert name not in text, path
