"""The YAML file of a search."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from lamphouse.cli.checks.yaml_files import read_file
from lamphouse.errors import InputError, did_you_mean
from lamphouse.search import made

OWN = (
    "runs",
    "experiment",
    "best_checkpoint.monitor",
    "best_checkpoint.mode",
)  # which every trial gets from the search
SEED = 42  # of a sampler that is given none


@dataclass
class SearchFile:
    """The YAML file of a search."""

    path: Path = field(init=False)
    experiment: list[str]  # its YAML files
    metric: str
    options: dict[str, Any]
    trials: int = 20
    workers: int = 1
    mode: str | None = None
    storage: str | None = None
    sampler: Any = "TPESampler"
    pruner: Any = "NopPruner"

    def base(self) -> list[str]:
        """Return the arguments that every trial has first."""
        return [argument for path in self.experiment for argument in ("-c", path)]

    def unchangeable(self) -> dict[str, Any]:
        """Return what a search that is continued has to keep."""
        files = {path: read_file(Path(path)) for path in self.experiment}
        return {"metric": self.metric, "options": self.options, "experiment": files}

    def own(self, trial: Path | None = None) -> dict[str, str]:
        """Return the options that a trial gets from the search: the metric, and where its run is."""
        mode = {"best_checkpoint.mode": self.mode} if self.mode else {}
        runs = {"runs": str(trial)} if trial else {}
        return {"best_checkpoint.monitor": self.metric, **mode, **runs}

    def sampler_of(self, number: int) -> Any:
        """Make the sampler of a trial, whose random numbers follow from the seed and the trial's number."""
        spec = self.sampler if isinstance(self.sampler, Mapping) else {"class_path": self.sampler}
        own = dict(spec.get("init_args") or {}) if isinstance(spec.get("init_args"), Mapping | None) else {}
        seed = own.pop("seed", None)
        seed = SEED if seed is None else seed
        if not isinstance(seed, int):
            raise InputError(f"sampler.init_args.seed {seed}: expected an integer")
        return made("sampler", {**spec, "init_args": own}, seed=(seed * 1_000_003 + number) % 2**32)


def read_search(given: argparse.Namespace, rest: Sequence[str]) -> SearchFile:
    """Read a search's file, with what the command line overrides.

    Raises:
        InputError: the file is none of a search, or the command line has an option that it searches.
    """
    try:
        content = read_file(given.search)
    except InputError as error:
        raise InputError(str(error).replace("--config", "--search", 1)) from error
    known = [own.name for own in fields(SearchFile) if own.init]
    for key in content:
        if key not in known:
            raise InputError(f"--search {given.search}: {key}: no such key{did_you_mean(key, known)}")
    overridden = {
        key: getattr(given, key) for key in ("trials", "workers", "storage") if getattr(given, key) is not None
    }
    for own in fields(SearchFile):
        if own.init and own.default is MISSING and not content.get(own.name):
            raise InputError(f"--search {given.search}: {own.name}: is missing")
    files = content["experiment"]
    search = SearchFile(**{**content, **overridden, "experiment": files if isinstance(files, list) else [files]})
    search.path = given.search
    _check_types(search)
    names = [argument[2:].partition("=")[0] for argument in rest if argument.startswith("--")]
    searched = [option for option, spec in search.options.items() if isinstance(spec, Mapping)]
    for name in names:
        if any(f"{option}.".startswith(f"{name}.") for option in searched) or name in OWN:
            raise InputError(f"--{name}: the search gives every trial its own: leave it out, or change {search.path}")
    return search


def _check_types(search: SearchFile) -> None:
    numbers = {"trials": search.trials, "workers": search.workers}
    for key, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(f"--{key} {value}: expected a whole number from 1")
    rules = {
        "experiment": (all(isinstance(path, str) for path in search.experiment), "the names of YAML files"),
        "metric": (isinstance(search.metric, str), "the name of a metric"),
        "options": (isinstance(search.options, Mapping), "options, each with a range, choices or one value"),
        "mode": (search.mode in {None, "min", "max"}, "min or max"),
        "storage": (isinstance(search.storage, str | None), "the URL of a database"),
    }
    for key, (is_right, expected) in rules.items():
        if not is_right:
            raise InputError(f"--search {search.path}: {key} {getattr(search, key)}: expected {expected}")
    if (search.storage or "").startswith("sqlite"):
        way_out = "leave it out for a journal file on one machine, or give a PostgreSQL or MySQL server"
        raise InputError("--storage sqlite: several writers at once have damaged such files: " + way_out)
    for name in search.options:
        if name in OWN:
            raise InputError(f"--search {search.path}: options.{name}: the search itself gives it: leave it out")
