"""The package of the project that the command line works for: its models, its data sets and its training loops."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from traceback import extract_tb
from types import ModuleType

from lamphouse.errors import InputError

PARTS = ("lamphouse.data", "lamphouse.optim")  # whose classes options name, too
LOOPS = "loops"


@dataclass(frozen=True)
class Project:
    """A project, known by its package.

    Args:
        package: its name; `package.models` and `package.data` hold a module for each model and data set.
    """

    package: str

    @property
    def program(self) -> str:
        """The command that starts it."""
        return f"python -m {self.package}"

    @property
    def directory(self) -> Path:
        """Where its source is."""
        return Path(import_module(self.package).__path__[0])

    @cached_property
    def loops(self) -> Sequence[str]:
        """The names of its own training loops, one module each in `package.loops`."""
        return self._modules(LOOPS)

    def loop(self, name: str) -> ModuleType:
        """Import one of its own training loops."""
        return import_module(f"{self.package}.{LOOPS}.{name}")

    def import_parts(self) -> None:
        """Import all models and data sets, so that options can name their classes without the module.

        Raises:
            InputError: a module cannot be imported.
        """
        for room in ("models", "data"):
            for name in self._modules(room):
                import_checked(f"{self.package}.{room}.{name}")
        for name in PARTS:
            import_module(name)

    def _modules(self, room: str) -> Sequence[str]:
        spec = find_spec(f"{self.package}.{room}")
        return [module.name for module in iter_modules(spec.submodule_search_locations)] if spec else []


def import_checked(name: str) -> None:
    """Import a module that a user may have just written.

    Raises:
        InputError: there is an error in it, or in what it imports.
    """
    try:
        import_module(name)
    except Exception as error:  # user code may raise anything
        raise InputError(f"{name}: {place_of(error)}{type(error).__name__}: {error}: correct the file") from error


def place_of(error: Exception) -> str:
    """Name the file and the line of an error while a module was imported."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{relative(error.filename)}:{error.lineno}: "
    frames = [frame for frame in extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    return f"{relative(frames[-1].filename)}:{frames[-1].lineno}: "


def relative(file: str) -> str:
    """Shorten a path to one below the working directory, if it is there."""
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file
