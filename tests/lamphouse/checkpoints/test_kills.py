"""A real process is killed again and again, at random moments and while it writes, and ends with the same bits."""

import random
import shutil
import time
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
from conftest import fit_options
from killed import start
from same_runs import assert_same, run_in

OPTIONS = [
    "--trainer.max_epochs=2",
    "--trainer.limit_train_batches=5",
    "--data.augment=[RandomFlip]",
    "--model.dropout=0.2",
    "--model.lr_scheduler=OneCycle",
    "--last_checkpoint.every_n_steps=1",
]
COMPLETE = "has trained 2 epochs already"  # what resume says of a run that was killed when all was done


def wait_for_writing(process: BaseProcess) -> None:
    """Wait until the process writes a checkpoint, not only has one left over that another was writing, or ends."""
    begin = time.time_ns()
    while process.is_alive():
        with suppress(FileNotFoundError):  # it is whole by now
            if any(path.stat().st_mtime_ns > begin for path in Path("parts").rglob(".*.ckpt.*")):
                return
        time.sleep(0.002)


def kill_often(context: Any, options: list[str], kills: int, seed: int, slow_disk: bool) -> int:
    """Kill runs until there have been so many kills, and return in how many of them a checkpoint was being written."""
    started = time.perf_counter()
    start(context, "fit", *options, "--runs=whole", slow_disk=slow_disk).join()
    longest = time.perf_counter() - started
    moments, done, writing = random.Random(seed), 0, 0  # noqa: S311  # the same in every run
    while done < kills:
        shutil.rmtree("parts", ignore_errors=True)
        Path("printed").write_text("")
        process = start(context, "fit", *options, "--runs=parts", slow_disk=slow_disk)
        while True:
            if slow_disk and done % 4 == 0:
                wait_for_writing(process)
            else:
                process.join(moments.uniform(0, longest))
            process.kill()
            process.join()
            if process.exitcode == 0 or COMPLETE in Path("printed").read_text():
                break
            assert process.exitcode == -9, Path("printed").read_text()[-2000:]
            done += 1
            writing += any(Path("parts").rglob(".*.ckpt.*"))
            begun = any(Path("parts").rglob("config.yaml"))
            again = ["resume", "--run=parts"] if begun else ["fit", *options, "--runs=parts"]
            process = start(context, *again, slow_disk=slow_disk)
        (table,) = Path("parts").rglob("metrics.csv")  # runs that were killed at their very beginning have none
        assert_same(run_in("whole"), table.parent)
    return writing


@pytest.mark.slow
@pytest.mark.parametrize(("loop", "slow_disk"), [("automatic", True), ("manual", False), ("handwritten", True)])
def test_a_hundred_kills(context: Any, loop: str, slow_disk: bool) -> None:
    """Kill 34 times in each of three ways."""
    writing = kill_often(context, [*fit_options("digits_mlp"), *OPTIONS, f"--loop={loop}"], 34, 2, slow_disk)
    assert writing > 0 or not slow_disk  # a fast one is hardly ever caught at it
