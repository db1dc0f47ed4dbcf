"""Search over options: train with many of them, and write the best as an experiment."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from lamphouse.checkpoints import BestCheckpoint
from lamphouse.cli.checks.yaml_files import read_file, read_yaml
from lamphouse.cli.commands.repeat import command_of
from lamphouse.cli.commands.search_file import SearchFile, read_search
from lamphouse.cli.experiment import LINKED, Experiment
from lamphouse.cli.parser import CommandParser
from lamphouse.cli.project import Project
from lamphouse.errors import InputError, StoppedError, python_command, short_path
from lamphouse.files import expanded, user_path, write_whole
from lamphouse.search import (
    Search,
    Space,
    as_arguments,
    counted,
    explaining_storage,
    made,
    open_study,
    optuna,
    write_page,
    write_trials,
)


def main(project: Project, args: Sequence[str]) -> dict[str, float]:
    """Run trials until there are so many, write what came of them, and return the best value."""
    given, rest = _parser(project).parse_known_args(args)
    optuna()
    search = read_search(given, rest)
    space, name, pruner = Space(search.options), search.path.stem, made("pruner", search.pruner)
    search.sampler_of(0)
    mode = _check(project, search, space, rest)
    directory, url = given.runs / "search" / name, search.storage and expanded(search.storage)
    same = {"mode": mode, "options on the command line": rest, **search.unchangeable()}

    def command(trial: Path, values: Mapping[str, Any]) -> list[str] | None:
        own = as_arguments(search.own(trial))
        return command_of(project, trial, [*search.base(), *as_arguments(values), *rest, *own])

    with explaining_storage():
        study = open_study(directory, f"{project.package}/{name}" if url else name, mode, same, url)
        study.pruner = pruner
        running = Search(study, directory, space, search.metric, command, search.sampler_of, bool(url))
        so_far = f"{counted(study)} of {search.trials} trials so far"
        print(f"search {name}: {so_far}, in {short_path(directory)}", flush=True)
        try:
            running.run(search.trials, search.workers)
        except StoppedError as stop:
            stop.__notes__ = [f"to continue: {python_command('-m', project.package, 'search', *args)}"]
            raise
        finally:
            write_trials(directory / "trials.csv", study, search.metric)
        return _finish(project, search, space, study, directory, rest)


def _parser(project: Project) -> CommandParser:
    text = "Search over options, and write the best as an experiment; further options are those of fit."
    parser = CommandParser(project, "search", text, run=False)
    parser.add_argument("--search", type=user_path, required=True, help="YAML file of the search")
    parser.add_argument("--trials", type=int, help="number of trials in all, also of an earlier start")
    parser.add_argument("--workers", type=int, help="trials side by side")
    parser.add_argument("--storage", help="URL of a database, for searches on several machines")
    parser.add_argument("--runs", type=user_path, default=Path("runs"), help="directory of all runs (default: runs)")
    return parser


def _check(project: Project, search: SearchFile, space: Space, rest: Sequence[str]) -> str:
    """Try the ends of ranges and all choices; return whether the lowest or the highest value is the best."""
    mode = ""
    for values in space.corners():
        arguments = [*search.base(), *as_arguments(values), *rest, *as_arguments(search.own())]
        try:
            experiment = Experiment(project, "fit", arguments)
            experiment.check()
        except InputError as error:
            text = str(error).replace("--best_checkpoint.monitor", "metric").replace("--best_checkpoint.mode", "mode")
            raise InputError(f"--search {search.path}: {text}") from error
        callbacks = experiment.trainer.callbacks  # type: ignore[attr-defined]  # set by a connector
        mode = next(callback.mode for callback in callbacks if isinstance(callback, BestCheckpoint))
    return mode


def _finish(
    project: Project, search: SearchFile, space: Space, study: Any, directory: Path, rest: Sequence[str]
) -> dict[str, float]:
    trials = study.get_trials(deepcopy=False)
    counts = [
        (state, sum(trial.state.name == state for trial in trials))
        for state in ("COMPLETE", "PRUNED", "FAIL", "RUNNING")
    ]
    names = {"FAIL": "failed", "RUNNING": "running in another process"}
    summary = ", ".join(f"{count} {names.get(state, state.lower())}" for state, count in counts if count)
    if not any(trial.state.name == "COMPLETE" for trial in trials):
        failed = [
            f"trial {trial.number}: {trial.user_attrs['error']}" for trial in trials if trial.user_attrs.get("error")
        ]
        raise InputError(f"no trial is complete ({summary}); {failed[-1] if failed else 'start the search again'}")
    best = study.best_trial
    values = space.values(best.params)
    options = shlex.join(as_arguments({name: values[name] for name in best.params}))
    path = directory / f"{search.path.stem}_best.yaml"
    text, shared = _experiment_of(project, search, [*as_arguments(values), *rest])
    write_whole(path, text)
    reproduce = python_command("-m", project.package, "fit", *shared, "-c", short_path(path))
    result = f"{search.metric} {best.value:.4f} of trial {best.number}, epoch {best.user_attrs['epoch']}; {summary}"
    page = directory / "search.html"
    write_page(page, study, search.metric, f"Search {search.path.stem}", result, f"{options}\n\n{reproduce}")
    print(f"\nbest        {result}\noptions     {options}")
    run = directory / best.user_attrs["directory"]
    where = short_path(run) if run.exists() else f"{best.user_attrs['place']}/{run.name}"  # another machine's
    print(f"run         {where}\npage        {short_path(page)}")
    print(f"experiment  {short_path(path)}\ntrain it    {reproduce}")
    return {search.metric: best.value}


def _experiment_of(project: Project, search: SearchFile, options: Sequence[str]) -> tuple[str, list[str]]:
    """Return an experiment's YAML that holds what differs from the files without a model, and these as arguments."""
    experiment = Experiment(project, "fit", [*search.base(), *options, *as_arguments(search.own())])
    shared = [arg for path in search.experiment if "model" not in read_file(Path(path)) for arg in ("-c", path)]
    classes = [f"--{part}={experiment.config[part].class_path}" for part in ("model", "data")]
    whole, usual = (read_yaml(e.resolved()) for e in (experiment, Experiment(project, "fit", [*shared, *classes])))
    different = _difference(whole, usual)
    for part in ("model", "data"):
        different[part] = {"class_path": whole[part]["class_path"], **different.get(part, {})}
    for name in LINKED:
        different["model"].get("init_args", {}).pop(name, None)
    different.pop("experiment", None)
    head = f"# The best options of {search.path.as_posix()}.\n"
    return head + yaml.safe_dump(different, sort_keys=False, allow_unicode=True), shared


def _difference(new: Mapping[str, Any], old: Mapping[str, Any]) -> dict[str, Any]:
    if new.get("class_path") != old.get("class_path"):
        return dict(new)
    found = {}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            if inner := _difference(value, before):
                found[key] = inner
        elif key not in old or value != before:
            found[key] = value
    return {"class_path": new["class_path"], **found} if found and "class_path" in new else found
