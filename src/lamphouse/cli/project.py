"""The project that the command line works for: its models, its data sets and its training loops."""

import os
from collections.abc import Sequence
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from sysconfig import get_paths
from traceback import extract_tb
from types import ModuleType

from lamphouse.errors import InputError, python_command, short_path
from lamphouse.machine.job import Job

TOGETHER = {"fit", "resume", "evaluate"}  # commands that several processes do
PARTS = ("lamphouse.data", "lamphouse.optim")  # whose classes options name, too


class Project:
    """A project by its package: `package.models` and `package.data` hold a module for each model and data set."""

    def __init__(self, package: str) -> None:
        self.package = package

    @property
    def program(self) -> str:
        return python_command("-m", self.package)

    @property
    def directory(self) -> Path:
        return Path(import_module(self.package).__path__[0])

    @cached_property
    def loops(self) -> Sequence[str]:
        """The names of its own training loops, one module each in `package.loops`."""
        return self._modules("loops")

    @cached_property
    def job(self) -> Job:
        return Job()

    def reports(self) -> bool:
        """Return whether this process is to print the error that ends it."""
        return "job" not in vars(self) or self.job.reports()

    def meet(self, command: str) -> None:
        """Meet the other processes that have been started; refuse to do with several what one does."""
        if command in TOGETHER:
            self.job.join()
        elif os.environ.keys() & {"TORCHELASTIC_RUN_ID", "SLURM_STEP_ID"} and self.job.size > 1:
            reason = f"one process does this, and {self.job.launcher} has started {self.job.size}"
            raise InputError(f"{reason}: start it by itself")

    def loop(self, name: str) -> ModuleType:
        return import_module(f"{self.package}.loops.{name}")

    def import_parts(self) -> None:
        """Import all models and data sets, so that options can name their classes without the module."""
        for name in PARTS:
            import_module(name)
        for room in ("models", "data"):
            for name in self._modules(room):
                import_user_module(f"{self.package}.{room}.{name}")

    def _modules(self, room: str) -> Sequence[str]:
        spec = find_spec(f"{self.package}.{room}")
        return [module.name for module in iter_modules(spec.submodule_search_locations)] if spec else []


def import_user_module(name: str) -> None:
    """Import a module; if that fails, raise an `InputError` that names the file and the line."""
    try:
        import_module(name)
    except Exception as error:  # a user's code may raise anything
        place, text = user_place(error), str(error)
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            raise InputError(f"{name}: there is no module {error.name}: correct the name, or install it") from error
        if isinstance(error, SyntaxError) and error.filename:
            place, text = f"{short_path(Path(error.filename))}:{error.lineno}: ", error.msg
        raise InputError(f"{name}: cannot be imported: {place}{type(error).__name__}: {text}") from error


def check_class(path: str) -> None:
    """Raise an `InputError` if a class, named by its module, cannot be imported."""
    module, _, name = path.rpartition(".")
    import_user_module(module)
    if not hasattr(import_module(module), name):
        raise InputError(f"{path}: {module} has no {name}: name one of its classes")


def plain_cause(error: BaseException) -> BaseException:
    """Return the first error of a chain that is not one of jsonargparse's trees."""
    while "\n" in str(error) and error.__cause__ is not None:
        error = error.__cause__
    return error


def user_place(error: BaseException) -> str:
    """Return the file and line, as "file:line: ", of the user's code where an error is from, if it is from there."""
    libraries = (get_paths()["purelib"], get_paths()["stdlib"], "<frozen", str(Path(__file__).parents[1]))
    frames = [frame for frame in extract_tb(error.__traceback__) if not frame.filename.startswith(libraries)]
    return f"{short_path(Path(frames[-1].filename))}:{frames[-1].lineno}: " if frames else ""
