"""Checkpoints that are directories of shards: whole or not at all, every byte checked, read without running code."""

import pickle
import shutil
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed.checkpoint import save

from lamphouse.checkpoints import load_checkpoint
from lamphouse.checkpoints.files import make_room, place_directory, read_newest, write_checkpoint
from lamphouse.checkpoints.shards import INDEX, INDEX_SUM, REST, sum_of_index
from lamphouse.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore:torch.distributed is disabled")  # a single process saves
REPLACE = Path.replace


class Killed(BaseException):
    """Ends a writer as a kill does."""


def write_shards(path: Path, step: int) -> dict[str, Any]:
    """Write a directory as a strategy does, but for `path` itself; return what it holds."""
    weights = {"a.weight": torch.full((3, 2), float(step)), "b.bias": torch.arange(4.0)}
    groups = [{"lr": 0.1, "betas": (0.9, 0.99), "params": [name]} for name in ("b.bias", "a.weight")]
    states = {name: {"exp_avg": 2 * value, "step": torch.tensor(float(step))} for name, value in weights.items()}
    parts = {"state_dict": weights, "optimizer_0": {"state": states, "param_groups": groups}}
    save(parts, checkpoint_id=path, no_dist=True)
    index = pickle.loads((path / INDEX).read_bytes())  # noqa: S301  # our own
    index.storage_data = dict(reversed(index.storage_data.items()))  # in any order, as processes share entries out
    (path / INDEX).write_bytes(pickle.dumps(index))
    rest = {"epoch": 1, "global_step": step, "loops": {}}
    torch.save(rest, path / REST)
    (path / INDEX_SUM).write_text(sum_of_index(path))
    state = {0: states["b.bias"], 1: states["a.weight"]}
    numbered = [{**group, "params": [number]} for number, group in enumerate(groups)]  # in the order of the groups
    optimizer = {"state": state, "param_groups": numbered}
    return {**rest, "state_dict": weights, "optimizer_states": [optimizer]}


def test_shards_are_read_like_a_file(tmp_path: Path) -> None:
    expected = write_shards(tmp_path / "last.ckpt", 7)
    read = load_checkpoint(tmp_path / "last.ckpt")
    torch.testing.assert_close(read, expected, rtol=0, atol=0)
    write_checkpoint(read, tmp_path / "one.ckpt")
    torch.testing.assert_close(load_checkpoint(tmp_path / "one.ckpt"), expected, rtol=0, atol=0)
    light = load_checkpoint(tmp_path / "last.ckpt", weights=False)
    assert light["global_step"] == 7
    assert {name: value.shape for name, value in light["state_dict"].items()} == {"a.weight": (3, 2), "b.bias": (4,)}
    assert all(value.untyped_storage().nbytes() == 4 for value in light["state_dict"].values())


def test_every_byte_is_checked(tmp_path: Path) -> None:
    path, copy = tmp_path / "last.ckpt", tmp_path / "copy.ckpt"
    write_shards(path, 7)
    weight = torch.full((6,), 7.0).numpy().tobytes()
    for name, known in ((REST, b"global_step"), (INDEX, b"a.weight"), ("__0_0.distcp", weight)):
        content = (path / name).read_bytes()
        assert known in content
        for damaged in (content[: len(content) // 2], content.replace(known, b"\1" + known[1:]), None):
            shutil.copytree(path, copy)
            (copy / name).unlink() if damaged is None else (copy / name).write_bytes(damaged)
            with pytest.raises(InputError, match=r"^\S+copy\.ckpt: (damaged|not a)"):
                load_checkpoint(copy)
            shutil.rmtree(copy)


def test_an_index_runs_no_code(tmp_path: Path) -> None:
    write_shards(tmp_path / "last.ckpt", 7)

    class Harmful:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "marker",)

    (tmp_path / "last.ckpt" / INDEX).write_bytes(pickle.dumps(Harmful()))
    (tmp_path / "last.ckpt" / INDEX_SUM).unlink()
    with pytest.raises(InputError, match="not a readable checkpoint"):
        load_checkpoint(tmp_path / "last.ckpt")
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("is_file", [False, True], ids=["directories", "a file after directories"])
def test_a_kill_at_any_rename_leaves_one_that_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_file: bool
) -> None:
    """Write three times, killed at the first rename of the third, then at the second, and so on."""
    path = tmp_path / "last.ckpt"

    def put(step: int, as_file: bool = False) -> None:
        make_room(path)
        content = write_shards(tmp_path / f".last.ckpt.{step:016x}", step)
        write_checkpoint(content, path) if as_file else place_directory(tmp_path / f".last.ckpt.{step:016x}", path)

    for last in count():
        for step in (1, 2):
            put(step)
        renames = count()

        def replace(self: Path, target: Path, renames: Any = renames, last: int = last) -> Path:
            if ".last.ckpt" not in f"{self}{target}" or next(renames) != last:
                return REPLACE(self, target)
            raise Killed

        monkeypatch.setattr(Path, "replace", replace)
        try:
            put(3, is_file)
        except Killed:
            newest = read_newest(tmp_path)
            assert newest is not None
            assert newest.content["global_step"] == 2
        else:
            assert last > 0
            assert {one.name for one in tmp_path.iterdir()} >= {"last.ckpt", "previous.ckpt"}
            return
        finally:
            monkeypatch.setattr(Path, "replace", REPLACE)
        put(4)
        assert load_checkpoint(path)["global_step"] == 4
        assert {one.name for one in tmp_path.iterdir()} == {"last.ckpt", "previous.ckpt"}  # nothing is left over
