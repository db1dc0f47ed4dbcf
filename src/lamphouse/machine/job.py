"""The processes that train together: what the first of them decides holds for all."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import cached_property
from ipaddress import ip_address
from socket import create_connection, gethostname
from time import monotonic, sleep
from typing import Any

from lamphouse.errors import InputError

SHARED = "LAMPHOUSE_SHARED"  # begins the names of variables for the processes that a Trainer launches
RESTARTS = "TORCHELASTIC_RESTART_COUNT"
AGENT = "TORCHELASTIC_USE_AGENT_STORE"
NODES = {"torchrun": ("GROUP_WORLD_SIZE",), "SLURM": ("SLURM_STEP_NUM_NODES", "SLURM_NNODES")}
SOON, LATE = 10.0, 300.0  # seconds


class Job:
    """This process among those that a cluster's environment, or a Trainer, starts to train together.

    Raises:
        InputError: the environment does not say which process this is.
    """

    def __init__(self) -> None:
        name, self.environment = _environment()
        self.launcher = {"TorchElastic": "torchrun"}.get(name, name)  # and SLURM, LSF, MPI
        self.is_external = name != "Lightning"
        self.size = self.environment.world_size() if self.is_external else 1
        nodes = [os.environ[name] for name in NODES.get(self.launcher, ()) if name in os.environ]
        self.nodes = int(nodes[0]) if nodes else None
        self.by_hand = not self.is_external and {"MASTER_ADDR", "MASTER_PORT", "NODE_RANK"} <= os.environ.keys()
        ranks = ("global_rank",) if self.is_external else ("node_rank", "local_rank")
        self.rank: int = sum(getattr(self.environment, name)() for name in ranks)
        shared = any(name.startswith(SHARED) for name in os.environ)
        self.launched = shared and not self.is_external and self.environment.local_rank() > 0
        self.store: Any = None  # as `served`, for these processes alone
        self.ready = False
        self.is_told = False  # by another process, what ends this one
        from lightning.pytorch.utilities import rank_zero_only  # noqa: PLC0415  # imports torch

        rank_zero_only.rank = self.rank  # type: ignore[attr-defined]  # as Lightning does, but later

    @cached_property
    def served(self) -> Any:
        """Where processes that were started apart find each other before they train; None if this one is alone."""
        if self.launched or (self.size == 1 and not self.by_hand):
            return None
        from torch.distributed import DistError  # noqa: PLC0415  # imports torch

        address, port = self.environment.main_address, self.environment.main_port
        try:
            return _tcp_store(address, port, serves=self.rank == 0 and os.environ.get(AGENT) != "True")
        except DistError as error:
            way_out = "start all processes of the job, with an address and a port that all of them reach"
            raise InputError(f"MASTER_ADDR {address}, MASTER_PORT {port}: no connection: {way_out}") from error

    def join(self) -> None:
        """Meet the other processes, in whose name the first one reports what goes wrong."""
        if self.served is None:
            return
        from torch.distributed import PrefixStore  # type: ignore[attr-defined]  # noqa: PLC0415  # imports torch

        # torchrun's store is that of before a restart, which its nodes do not count alike: keys begin with a new word
        generation = os.urandom(8).hex()
        if self.is_external and self.rank == 0:
            self.store = PrefixStore(generation, self.served)
            self._answer_all(generation)
        elif self.is_external:
            self.store = self.served
            self.store.set(f"hello/{self.rank}", generation)
            if not self._wait(f"answer/{generation}"):
                raise SystemExit(2)  # the first has said why
            self.store = PrefixStore(self.store.get(f"answer/{generation}").decode(), self.served)
            self.store.set(f"there/{self.rank}", "")
        else:
            self.store = self.served
        if serves := self.share("serves", lambda: self._serve_anew() if self.begun else ""):
            os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = serves.split()
            os.environ[AGENT] = "False"

    def _answer_all(self, generation: str) -> None:
        """Tell each process, as soon as it has said hello, with which word the keys of all begin."""
        began, noted, left = monotonic(), False, set(range(1, self.size))
        while left := {rank for rank in left if not self.store.check([f"there/{rank}"])}:
            for hello in (f"hello/{rank}" for rank in left):
                if self.served.check([hello]):
                    self.served.set(f"answer/{self.served.get(hello).decode()}", generation)
            started = f"{self.launcher} says {self.size} processes, of which {self.size - len(left)} have been started"
            if not noted and monotonic() - began > SOON:
                print(f"note: {started}: waiting for the others", file=sys.stderr)
                noted = True
            if monotonic() - began > LATE:
                raise InputError(f"{started}: start all, such as with srun, or unset what says so")
            sleep(0.02)

    @property
    def begun(self) -> str:
        """The run that these processes have begun before torchrun started them again; empty if there is none."""
        known = self.served is not None and self.served.check(["begun"])
        return self.served.get("begun").decode() if known else ""

    def begin(self, run: str) -> str:
        """Have a run be that of the processes which torchrun may start again; return it."""
        if self.served is not None:
            self.served.set("begun", run)
        return run

    def _serve_anew(self) -> str:
        """Open a store for the process group: torchrun's still has the addresses of processes that have ended."""
        with create_connection((self.environment.main_address, self.environment.main_port)) as connection:
            address = connection.getsockname()[0]  # by which the others reach this machine
        if ip_address(address).is_loopback:  # by which only this machine reaches itself
            address = self.environment.main_address
        self.group_store = _tcp_store(address, 0, serves=True)
        return f"{address} {self.group_store.port}"

    def share(self, name: str, value: Callable[[], str]) -> str:
        """Return in every process what the first has found, and end a process if the first has failed."""
        variable = f"{SHARED}_{name}".upper()
        if self.launched:
            return os.environ[variable]
        if self.store is None or self.rank == 0:
            found = value()
            if self.store is not None:
                self.store.set(name, found)
        elif self._wait(name):
            found = self.store.get(name).decode()
        else:
            self._fail()
            raise SystemExit(2)  # the first has said why, unless it was killed
        os.environ[variable] = found
        return found

    def wait_for_first(self) -> None:
        """Go on when the first process does."""
        self.share("ready", str)
        self.ready = True

    def reports(self) -> bool:
        """Return whether this process, which has failed, is to say why, and no other says the same."""
        if self.store is None:
            return self.rank == 0 or (self.launched and not self.is_told)
        self._fail()
        if self.rank == 0:
            if not self.ready:  # the others learn from the store, which ends with this process
                self._wait(*(f"failed/{rank}" for rank in range(self.size)), seconds=SOON)
            return True
        return not self._wait("failed/0", seconds=3)

    def _fail(self) -> None:
        """Tell the other processes that this one ends."""
        from torch.distributed import DistError  # noqa: PLC0415  # imports torch

        with suppress(DistError):  # the first process has ended, and the store with it
            self.store.set(f"failed/{self.rank}", "")

    @property
    def identity(self) -> dict[str, str]:
        """What this job keeps when its processes are started again, by what starts them."""
        names = {"SkyPilot": "SKYPILOT_TASK_ID", "SLURM": "SLURM_JOB_ID", "torchrun": "TORCHELASTIC_RUN_ID"}
        known = {launcher: os.environ.get(name, "") for launcher, name in names.items()}
        if known["torchrun"] == "none":  # as torchrun has it by default
            known["torchrun"] = f"{gethostname()} {os.getppid()}"
        return {launcher: text for launcher, text in known.items() if text}

    @property
    def again(self) -> dict[str, str]:
        """The part of the job's identity by which it is known that its processes have been started before."""
        # SkyPilot has an id for each task, which it keeps when it recovers it
        counts = {"SkyPilot": "SKYPILOT_TASK_ID", "SLURM": "SLURM_RESTART_COUNT", "torchrun": RESTARTS}
        by = (launcher for launcher, count in counts.items() if os.environ.get(count, "0") != "0")
        return {launcher: self.identity[launcher] for launcher in by if launcher in self.identity}

    def _wait(self, *names: str, seconds: float = float("inf")) -> bool:
        """Wait for the store to have these names; return whether it has, and not that the first process has failed."""
        from torch.distributed import DistError  # noqa: PLC0415  # imports torch

        end = monotonic() + seconds
        try:
            while not self.store.check(list(names)):  # its own `wait` prints a trace of C++ if it takes too long
                if monotonic() > end or (self.rank and self.store.check(["failed/0"])):
                    return False
                sleep(0.05)
        except DistError:  # the first process has ended
            return names == ("failed/0",)
        return True


def _tcp_store(address: str, port: int, serves: bool) -> Any:
    from torch.distributed import TCPStore  # type: ignore[attr-defined]  # noqa: PLC0415  # imports torch

    timeout = timedelta(seconds=LATE)
    return TCPStore(address, port, is_master=serves, timeout=timeout, wait_for_workers=False, multi_tenant=True)


def _environment() -> tuple[str, Any]:
    """Choose the environment as Lightning does."""
    from lightning.pytorch.plugins import environments  # noqa: PLC0415  # imports torch

    names = ("TorchElastic", "SLURM", "LSF", "MPI", "Lightning")
    kinds: dict[str, Any] = {name: getattr(environments, f"{name}Environment") for name in names}
    name = next(name for name, kind in kinds.items() if kind.detect())
    try:
        return name, kinds[name]()
    except (KeyError, RuntimeError, ValueError) as error:
        raise InputError(f"{name}: {' '.join(str(error).split())}") from error
