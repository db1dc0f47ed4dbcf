"""Search over the options of any program that writes metrics.csv: Optuna asks, whole processes answer."""

from lamphouse.search.page import write_page, write_trials
from lamphouse.search.space import Space, as_arguments, made, optuna
from lamphouse.search.study import Search, counted, explaining_storage, open_study
from lamphouse.search.trials import Command, TrialProcess, run_trials

__all__ = [
    "Command",
    "Search",
    "Space",
    "TrialProcess",
    "as_arguments",
    "counted",
    "explaining_storage",
    "made",
    "open_study",
    "optuna",
    "run_trials",
    "write_page",
    "write_trials",
]
