"""Processes that were started apart, by torchrun or SLURM, agree on what the first of them chooses."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from lamphouse.errors import InputError
from lamphouse.machine import job
from lamphouse.machine.job import Job

TORCHRUN = {"WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 1, "GROUP_WORLD_SIZE": 2, "TORCHELASTIC_RUN_ID": "a"}
SLURM = {"NTASKS": 2, "NTASKS_PER_NODE": 1, "NNODES": 2, "JOB_ID": 7, "NODELIST": "127.0.0.1"}

Start = Callable[[int], Job]


@pytest.fixture(params=["torchrun", "SLURM"])
def start(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, unused_port: int) -> Start:
    """Start one of two processes, each on a node of its own."""

    def one(rank: int) -> Job:
        ranks = {"RANK": rank, "LOCAL_RANK": 0, "GROUP_RANK": rank}
        slurm = {**SLURM, "PROCID": rank, "LOCALID": 0, "NODEID": rank}
        names = {**TORCHRUN, **ranks} if request.param == "torchrun" else {f"SLURM_{k}": v for k, v in slurm.items()}
        for name, value in {**names, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": unused_port}.items():
            monkeypatch.setenv(name, str(value))
        return Job()

    return one


@pytest.fixture
def unused_port() -> int:
    from lightning.fabric.plugins.environments.lightning import find_free_network_port  # noqa: PLC0415  # imports torch

    return find_free_network_port()


def started(start: Start) -> tuple[Job, Job]:
    """Start both processes, and have them meet."""
    both = start(0), start(1)
    with ThreadPoolExecutor() as threads:
        for joined in [threads.submit(one.join) for one in both]:
            joined.result(timeout=60)
    return both


def test_all_have_what_the_first_has_chosen(start: Start) -> None:
    first, second = started(start)
    assert (first.rank, second.rank, first.size, first.nodes) == (0, 1, 2, 2)
    assert first.share("run", lambda: first.begin("runs/a")) == "runs/a"
    assert second.share("run", lambda: "runs/b") == "runs/a"


def test_the_others_end_with_the_first_and_leave_it_to_report(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "SOON", 0.1)
    first, second = started(start)
    assert first.reports()
    with pytest.raises(SystemExit):
        second.share("run", lambda: "runs/b")
    assert not second.reports()


def test_processes_that_meet_again_know_their_run(start: Start) -> None:
    """The store outlives them, as that of torchrun's agent does."""
    before = started(start)
    before[0].begin("runs/a")
    again = started(start)
    assert [one.begun for one in again] == ["runs/a"] * 2
    assert int(os.environ["MASTER_PORT"]) != before[0].served.port  # of a store without their former addresses
    assert again[0].share("run", lambda: "runs/c") == "runs/c"
    assert again[1].share("run", str) == "runs/c"


def test_a_process_that_was_not_started_is_not_waited_for(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "SOON", 0.1)
    monkeypatch.setattr(job, "LATE", 0.2)
    with pytest.raises(InputError, match="says 2 processes, of which 1 have been started"):
        start(0).join()


def test_a_job_that_is_started_again_is_known_by_its_launcher(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    assert start(0).again == {}
    torchrun = "TORCHELASTIC_RUN_ID" in os.environ
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT" if torchrun else "SLURM_RESTART_COUNT", "1")
    assert start(0).again == ({"torchrun": "a"} if torchrun else {"SLURM": "7"})


def test_a_task_that_a_cloud_recovers_is_known_by_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKYPILOT_TASK_ID", "sky-1")
    assert Job().again == {"SkyPilot": "sky-1"}
