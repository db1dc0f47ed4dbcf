"""The search: it asks Optuna for options, runs the program with them, and tells Optuna what came of it."""

import json
import math
import platform
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import FileLock

from lamphouse.errors import InputError
from lamphouse.search.page import describe
from lamphouse.search.space import Space, optuna
from lamphouse.search.trials import Command, TrialProcess, best, run_trials, values_of

HEARTBEAT = 60  # seconds; with a database, a trial without any for twice as long is run again, on any machine
MOST_RETRIES = 3


@contextmanager
def explaining_storage() -> Iterator[None]:
    """Raise an `InputError` where a database cannot be used."""
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415  # comes with Optuna

    exceptions = optuna(".exceptions")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", exceptions.ExperimentalWarning)  # heartbeats
            warnings.filterwarnings("ignore", "Heartbeat of storage is supposed")  # which `Search` records
            yield
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is not installed, which this sampler or pruner needs: install it") from error
    except (exceptions.StorageInternalError, SQLAlchemyError) as error:
        text = " ".join(str(error.__cause__ or error).split()).partition(" (Background on")[0]
        raise InputError(f"--storage: the database cannot be used: {text}") from error


def _database(url: str, tries: int = 5) -> Any:
    from sqlalchemy import NullPool  # noqa: PLC0415  # comes with Optuna
    from sqlalchemy.exc import IntegrityError, ProgrammingError  # noqa: PLC0415

    storages = optuna(".storages")
    retry = storages.RetryHeartbeatStaleTrialCallback(max_retry=MOST_RETRIES)
    beats = {"heartbeat_interval": HEARTBEAT, "heartbeat_stale_trial_callback": retry}
    try:
        return storages.RDBStorage(url, {"poolclass": NullPool}, **beats)
    except ModuleNotFoundError as error:
        way_out = "install it, PostgreSQL's with `make extra EXTRA=search-postgresql`"
        raise InputError(f"--storage: the database's driver {error.name} is not installed: {way_out}") from error
    except (IntegrityError, ProgrammingError):  # another search makes the tables at this moment
        if tries == 1:
            raise
        time.sleep(1)
        return _database(url, tries - 1)


def open_study(directory: Path, name: str, mode: str, same: Mapping[str, Any], url: str | None = None) -> Any:
    """Open a study, which is made if it is new, in the directory's journal or in a database.

    Raises:
        InputError: the study was begun with other values of `same`, or the database cannot be used.
    """
    module, storages = optuna(), optuna(".storages")
    module.logging.set_verbosity(module.logging.ERROR)
    if url is None:
        directory.mkdir(parents=True, exist_ok=True)
        lock = FileLock(directory / ".journal.lock")  # which ends with its process; Optuna's own outlives a killed one
        backend = optuna(".storages.journal").JournalFileBackend(str(directory / "journal.log"), lock_obj=lock)
        storage = storages.JournalStorage(backend)
    else:
        storage = _database(url)
    direction = "minimize" if mode == "min" else "maximize"
    study = module.create_study(storage=storage, study_name=name, direction=direction, load_if_exists=True)
    now = json.loads(json.dumps(dict(same)))
    before = study.user_attrs.get("same", now)
    if before != now:
        names = ", ".join(key for key in {**before, **now} if before.get(key) != now.get(key))
        way_out = f"give the file another name{'' if url else f', or remove {directory}'}"
        raise InputError(f"search {name}: it was begun with other values of {names}: {way_out}")
    study.set_user_attr("same", now)
    return study


def counted(study: Any) -> int:
    """Count the trials, those that were run again once."""
    states = optuna(".trial").TrialState
    trials = study.get_trials(deepcopy=False)
    return sum(trial.state != states.WAITING and "failed_trial" not in trial.system_attrs for trial in trials)


class Search:
    """Trials of a study, so many in all, and so many side by side.

    A search that was killed is continued by another one in the same directory: its trials go on where they are.

    Args:
        study: of Optuna.
        directory: of the search; each trial gets one below it.
        space: the options.
        metric: a column of the program's metrics.csv, which has a row for each `epoch`.
        command: makes the command of a trial.
        sampler: makes the sampler of a trial from its number, so that a search that was interrupted draws the same.
        shared: the study is in a database, which searches in other directories and on other machines use, too.
    """

    def __init__(
        self,
        study: Any,
        directory: Path,
        space: Space,
        metric: str,
        command: Command,
        sampler: Callable[[int], Any],
        shared: bool = False,
    ) -> None:
        self.study, self.directory, self.space, self.metric, self.command = study, directory, space, metric, command
        self.sampler, self.shared = sampler, shared
        self.mode = "min" if study.direction.name == "MINIMIZE" else "max"
        self.place = f"{platform.node()}:{directory.resolve()}" if shared else ""
        self.active: list[TrialProcess] = []
        self.beat = -math.inf
        self.exhausted = False

    def run(self, trials: int, workers: int = 1) -> None:
        """Run trials until there are so many.

        Raises:
            StoppedError: a signal stopped the search; its trials were stopped, too, and can go on.
        """
        run_trials(self.active, lambda: self._fill(trials, workers), self._tell, self._look)

    def _look(self) -> None:
        for running in self.active:
            self._report(running)
        self._heartbeat()

    def _fill(self, trials: int, workers: int) -> bool:
        """Take up trials that another search left, and begin new ones; return whether any was begun."""
        if len(self.active) >= workers:
            return False
        before = len(self.active)
        with FileLock(self.directory / ".lock"):
            self._take_up(workers)
            while len(self.active) < workers and not self.exhausted and self._are_more(trials):
                number = len(self.study.get_trials(deepcopy=False))
                self.study.sampler = self.sampler(number)
                trial = self.study.ask(self.space.searched)
                self._begin(trial, f"{trial.number:04d}-{uuid4().hex[:6]}")
        return len(self.active) > before

    def _are_more(self, trials: int) -> bool:
        states = optuna(".trial").TrialState
        waiting = self.study.get_trials(deepcopy=False, states=[states.WAITING])
        return bool(waiting) or counted(self.study) < trials

    def _take_up(self, workers: int) -> None:
        states, mine = optuna(".trial").TrialState, {running.trial.number for running in self.active}
        for left in self.study.get_trials(deepcopy=False, states=[states.RUNNING]):
            if len(self.active) >= workers:
                return
            if left.number in mine or left.user_attrs.get("place", "") != self.place:
                continue
            if not left.params.keys() >= self.space.searched.keys() or "directory" not in left.user_attrs:
                if not self.shared:  # it was killed while it asked
                    self.study.tell(left.number, state=states.FAIL)
                continue
            trial = optuna().Trial(self.study, left._trial_id)
            self._begin(trial, left.user_attrs["directory"])

    def _begin(self, trial: Any, name: str) -> None:
        directory, values = self.directory / name, self.space.values(trial.params)
        running = TrialProcess(directory, lambda: self.command(directory, values))
        if not running.owned or self._frozen(trial.number).state.is_finished():  # by another search
            running.close()
            return
        for key, value in {"directory": name, "place": self.place, "error": None}.items():
            trial.set_user_attr(key, value)
        running.trial, running.reported = trial, set(self._frozen(trial.number).intermediate_values)
        self.active.append(running)
        self.beat = -math.inf

    def _report(self, running: TrialProcess) -> None:
        for epoch, value in running.new_values(self.metric).items():
            if self.shared and self._frozen(running.trial.number).state.is_finished():
                running.stop()  # another machine took this one for gone, and runs the trial again
                return
            running.trial.report(value, epoch)
            running.reported.add(epoch)
            if running.status is None and not running.pruned and running.trial.should_prune():
                running.pruned = True
                running.stop()

    def _tell(self, running: TrialProcess) -> None:
        states, number = optuna(".trial").TrialState, running.trial.number
        found = best(values_of(running.directory, self.metric), self.mode)
        if self._frozen(number).state.is_finished():
            pass  # another machine runs it again
        elif running.status == 0 and found:
            running.trial.set_user_attr("epoch", found[0])
            self._told(number, found[1])
        elif running.pruned:
            self._told(number, state=states.PRUNED)
        else:
            running.trial.set_user_attr("error", running.error() if running.status else running.lack(self.metric))
            self._told(number, state=states.FAIL)
        print(describe(self._frozen(number), self.metric), flush=True)

    def _told(self, number: int, value: float | None = None, state: Any = None) -> None:
        try:
            self.study.tell(number, value, state=state, skip_if_finished=True)
        except RuntimeError as error:  # samplers of grids end a search so, after the trial is told
            if "Study.stop" not in str(error):
                raise
            self.exhausted = True

    def _frozen(self, number: int) -> Any:
        return self.study.get_trials(deepcopy=False)[number]

    def _heartbeat(self) -> None:
        if self.shared and time.monotonic() - self.beat > HEARTBEAT / 2:
            self.beat = time.monotonic()
            for running in self.active:
                running.trial.storage.record_heartbeat(running.trial._trial_id)
            optuna(".storages").fail_stale_trials(self.study)  # of any machine
