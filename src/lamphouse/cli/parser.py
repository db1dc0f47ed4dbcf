"""The parsers of options, whose errors are one line."""

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, reduce, wraps
from importlib.util import find_spec
from operator import or_
from pathlib import Path
from typing import Any, NoReturn, get_args

import yaml
from jsonargparse import Namespace, get_loader, set_loader, set_parsing_settings
from jsonargparse import Path as JsonargparsePath  # type: ignore[attr-defined]  # not in its __all__
from lightning.pytorch.cli import LightningArgumentParser
from torchmetrics import Metric

from lamphouse.cli.checks.messages import A_CLASS, SEE, explain_parsing, first_plain_message
from lamphouse.cli.checks.options import WAYS_OUT
from lamphouse.cli.checks.yaml_files import check_yaml
from lamphouse.cli.project import TOGETHER, Project, check_class
from lamphouse.cli.suggestions import suggestion
from lamphouse.errors import InputError
from lamphouse.files import expanded, user_path
from lamphouse.runs.directory import Run, find_run
from lamphouse.runs.options import SPEC_KEYS

FROM_DATA = ("num_classes", "task")  # arguments of a metric

INTERPOLATED = re.compile(r"\$\{(?:[^}]*[.:][^}]*|seed_everything)\}")  # an option's name is mostly dotted


class ExperimentParser(LightningArgumentParser):
    """The parser of an experiment's options: it raises instead of printing its usage."""

    def add_class_arguments(self, class_type: Any, *args: Any, **kwargs: Any) -> Any:
        """Add the arguments of a class; those of a metric that come from the data need not be given."""
        if isinstance(class_type, type) and issubclass(class_type, Metric):
            kwargs["linked_targets"] = {*(kwargs.get("linked_targets") or ()), *FROM_DATA}
        return super().add_class_arguments(class_type, *args, **kwargs)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if not self.exit_on_error:  # parsers of nested options hand it to the outer one
            super().error(message, ex)
        cause = first_plain_message(ex) if ex else ""
        text = explain_parsing(message, cause)
        if A_CLASS in text or text.startswith("Parser key"):  # jsonargparse drops what an import raised
            check_classes(message)
        way_out = WAYS_OUT.get(text.lstrip("-").partition(":")[0], SEE)
        raise InputError(f"{text}{suggestion(text, message, list(self.get_defaults().keys()))}; {way_out}") from ex


def check_classes(message: str) -> None:
    """Import the classes that a message of jsonargparse's is about, for the error that it raises."""
    if "is not allowed" not in message:
        dotted = r"[^\W\d]\w*(?:\.[^\W\d]\w*)+"
        for path in dict.fromkeys(re.findall(rf"(?:Given value: |class_path'?[:=] ?|val=)'?({dotted})'?\b", message)):
            if path.partition(".")[0] not in sys.stdlib_module_names:  # to import a module is to run it
                check_class(path)


@cache
def restrict_jsonargparse() -> None:
    """Have jsonargparse import nothing from Python's standard library, build no object for `Any`, and read strictly."""
    denied = sorted(sys.stdlib_module_names)  # naming a module runs its code, and none of these has a model or data
    set_parsing_settings(import_path_denylist=denied, instantiate_subclass_spec_in_any=False)
    load = get_loader("yaml")

    def load_strictly(text: str) -> Any:
        check_yaml(text)
        return load(text)

    # its files are read in the locale's encoding otherwise
    setattr(JsonargparsePath, "read_text", lambda path: Path(path.absolute).read_text("utf-8"))  # noqa: B010  # typed as a method

    set_loader("yaml", load_strictly, exceptions=(yaml.YAMLError, ValueError))


def integers_first(function: Callable[..., Any]) -> None:
    """Have arguments that may be integer or float parse 1 as an integer, as `limit_train_batches` means it."""
    # a union's first type that takes a value is used, and `typing.Union` caches `float | int` as equal to `int | float`
    for name, hint in function.__annotations__.items():
        types = get_args(hint)
        if {int, float} <= set(types):
            function.__annotations__[name] = reduce(or_, sorted(types, key=lambda type_: type_ is not int))


def interpolate_if_asked(parser: LightningArgumentParser, texts: Sequence[str]) -> None:
    """Have OmegaConf replace each `${option}` by that option's value, if there is one among texts of options."""
    if any(INTERPOLATED.search(text) for text in texts):
        if find_spec("omegaconf") is None:
            raise InputError("${option} needs OmegaConf: install it with `make extra EXTRA=interpolation`")
        parser.parser_mode = "omegaconf+"  # which interpolates what the command line has overridden


def expand(value: Any, option: str = "") -> Any:
    """Return a value of options with `~` and `${NAME}` expanded in every text and path that it holds.

    Numbers of jsonargparse's restricted types become Python's, which any class takes that is chosen instead.
    """
    if isinstance(value, Namespace):
        for key, part in vars(value).items():
            setattr(value, key, expand(part, option if key in SPEC_KEYS else f"{option}.{key}"))
    elif isinstance(value, Mapping):
        return {key: expand(part, f"{option}.{key}") for key, part in value.items()}
    elif isinstance(value, list | tuple):
        return type(value)(expand(part, option) for part in value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        return value.real
    elif isinstance(value, str | Path):
        try:
            text = expanded(str(value))
        except InputError as error:
            raise InputError(f"--{option.lstrip('.')} {error}") from error
        return value if text == str(value) else type(value)(text)
    return value


def print_unused(files: Mapping[Path, Mapping[str, Any]], config: Namespace) -> None:
    """Print which options of a YAML file are not used because another class was chosen, which does not have them."""
    for path, given in files.items():
        names = [name for part in ("model", "data") for name in _unused(given.get(part), config[part], part)]
        if names:
            text = "not an option of the class that was chosen, and left out"
            print(f"note: {path}: {text}: {', '.join(names)}", file=sys.stderr)


def _unused(given: Any, kept: Any, option: str) -> Iterator[str]:
    if not isinstance(given, Mapping) or not isinstance(kept, Namespace):
        return
    for key, value in given.items():
        if key in kept:
            yield from _unused(value, kept[key], option if key == "init_args" else f"{option}.{key}")
        else:
            yield f"{option}.{key}"


ARTIFACT = re.compile(r"[^/:]+(/[^/:]+){1,2}:[^/:]+")  # of W&B: entity/project/name:alias


class CommandParser(argparse.ArgumentParser):
    """The parser of a command's own options, of a run's unless `run` is false: it raises instead of printing usage."""

    def __init__(
        self, project: Project, command: str, description: str | None, checkpoint: bool = False, run: bool = True
    ) -> None:
        super().__init__(f"{project.program} {command}", description=description, allow_abbrev=False)
        self.share = project.job.share if command in TOGETHER else lambda _, value: value()
        if run:
            which = "directory of a run, or of several, of which the newest is used (default: runs)"
            which += "; or an artifact of W&B, entity/project/name:alias" if checkpoint else ""
            self.add_argument("--run", type=user_path, default=Path("runs"), help=which)
        if checkpoint:
            which = "best, last, a file, or the name of one in checkpoints/ (default: best)"
            self.add_argument("--checkpoint", default="best", help=which)

    def add_argument(self, *names: Any, **options: Any) -> argparse.Action:
        if "type" in options:
            options["type"] = _naming(names[0], options["type"])
        return super().add_argument(*names, **options)

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message.removeprefix('argument ')}; see --help for every option")

    def parse_run(self, args: Sequence[str]) -> tuple[argparse.Namespace, Run, list[str]]:
        """Parse the command's own options, find its run, and return both and the remaining options."""
        options, rest = self.parse_known_args(args)
        if "checkpoint" in options and ARTIFACT.fullmatch(str(options.run)) and not options.run.exists():
            from lamphouse.loggers import wandb_support  # noqa: PLC0415  # for those who use it

            options.run = wandb_support().fetch(str(options.run))
        run = Run(Path(self.share("run", lambda: str(find_run(options.run).path))))
        if "checkpoint" in options:
            options.checkpoint = run.checkpoint(options.checkpoint)
        return options, run, rest


def _naming(option: str, convert: Callable[[str], Any]) -> Callable[[str], Any]:
    """Have a converter's `InputError` name its option."""

    @wraps(convert)
    def named(text: str) -> Any:
        try:
            return convert(text)
        except InputError as error:
            raise InputError(f"{option} {error}") from error

    return named
