"""Processes that were started apart, by torchrun or SLURM, agree on what the first of them chooses."""

import os
from collections.abc import Callable

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
    from lightning.fabric.plugins.environments.lightning import find_free_network_port  # noqa: PLC0415

    return find_free_network_port()


def test_all_have_what_the_first_has_chosen(start: Start) -> None:
    first, second = start(0), start(1)
    assert (first.rank, second.rank, first.size, first.nodes) == (0, 1, 2, 2)
    assert first.share("run", lambda: "runs/a") == "runs/a"
    assert second.share("run", lambda: "runs/b") == "runs/a"


def test_the_others_end_with_the_first_and_leave_it_to_report(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "SOON", 0.1)
    first, second = start(0), start(1)
    first.join()
    second.join()
    assert first.reports()
    with pytest.raises(SystemExit):
        second.share("run", lambda: "runs/b")
    assert not second.reports()


def test_a_process_that_was_not_started_is_not_waited_for(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "SOON", 0.1)
    monkeypatch.setattr(job, "LATE", 0.1)
    with pytest.raises(InputError, match="says 2 processes, of which 1 have been started"):
        start(0).wait_for_all()


def test_a_job_that_is_started_again_is_known_by_its_launcher(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    assert start(0).again == {}
    torchrun = "TORCHELASTIC_RUN_ID" in os.environ
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT" if torchrun else "SLURM_RESTART_COUNT", "1")
    assert start(0).again == ({"torchrun": "a"} if torchrun else {"SLURM": "7"})


def test_a_task_that_a_cloud_recovers_is_known_by_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKYPILOT_TASK_ID", "sky-1")
    assert Job().again == {"SkyPilot": "sky-1"}
