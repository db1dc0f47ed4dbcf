"""What libraries' error messages mean for a user: one line with the option, its value and what was expected."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from sysconfig import get_paths
from traceback import extract_tb

from lamphouse.cli.checks.options import LOGGER_WAY_OUT
from lamphouse.cli.checks.yaml_files import no_such_file
from lamphouse.cli.project import plain_cause
from lamphouse.errors import short_path

MISSING_FILE = r"Expected a path but (\S+\.ya?ml) either"
A_CLASS = "expected the name of a class"
REASONS = (  # jsonargparse's messages, and what they mean
    (r"does not conform to restriction v?(.+?)(?:\. Got value: .*)?$", "expected a value {}"),
    (r"Not of type \w+: (?:invalid literal for |could not convert string to )?(int|float)\b", "expected {}"),
    (r"Not of type \w+: \S+ not an (int)eger", "expected {}"),
    (r"Option '(class_path)' is not accepted", "options of a class belong under its init_args"),
    (r"Option '([^']+)' is not accepted", "no such option: {}"),
    (r"unrecognized arguments?: (.+)", "no such option: {}"),
    (r"the following arguments are required: (.+)", "missing: {}"),
    (r"Expected a ((?!path |dot import|<class 'NoneType'>).+?)(?:\. Got value: .*)?$", "expected {}"),
    (r"Importing '(\S+)' is not allowed", f"{A_CLASS}, and not of one in Python's standard library"),
    (r"(?:correspond to|to be) a subclass of (?:<class ')?(\w+)", f"{A_CLASS} of {{}}s"),
    (r"(Expected a dot import path string|Not a valid subclass of|expects a function or a callable class)", A_CLASS),
    (r"(No module named|has no attribute|keyword argument 'linked_targets')", A_CLASS),  # the last: a function
    (r"(Unable to load config)", "expected options, or a YAML file of them"),
)
VALUES = (  # where jsonargparse's messages have the value, the most telling first
    r"Given value: NestedArg\(key='[^']*', val=(.*)\)$",
    r"Given value: (?!NestedArg|Namespace|\{)(.*)$",
    r"Got value: (?!\[?Namespace)(.*)$",
    r"(?:with base 10|string to float): (.*)$",
    r"Not of type \w+: (\S+) not an integer",
    r"^--[\w.]+: Expected a dot import path string: (\S+)$",
    r": (\S+) does not conform to restriction",
)
LISTS = ("collections.abc.Sequence", "collections.abc.Iterable", "tuple")
TYPES = {**dict.fromkeys(LISTS, "list"), "dict": "mapping", "str": "text"}
SEE = "see --help for every option"
IN_TRAINING = {  # parts of messages that only a run brings about, and the options to blame
    "does not allow for gradient clipping": "--model.optimizer.fused with --trainer.gradient_clip_val",
    "val_check_interval": "--trainer.val_check_interval",
    "Tried to step": "--model.lr_scheduler",
    "C++ compile error": "--model.compile: TORCHINDUCTOR_CACHE_DIR has to be a folder without spaces",
    "C++ compiler": "--model.compile needs a C++ compiler, install g++ or leave the option out",
    " is out of bounds.": "--model.num_classes: labels have to be below it, and not negative",
    "expected target dtype": "--data: labels have to be of torch.int64",
    "of spatial targets supported": "--data: a batch of labels has to have the shape [B, H, W]",
    "multi-target not supported": "--data: a batch of labels has to have the shape [B]",
    "Expected more than 1 value per channel": "--data.batch_size: give a larger one, or your own loader drop_last",
    **dict.fromkeys(("Early stopping conditioned on", "could not find the monitored key"), "--trainer.callbacks"),
    "ReduceLROnPlateau conditioned on": "--model.lr_scheduler.monitor",
}


def explain_parsing(message: str, cause: str = "") -> str:
    """Condense jsonargparse's tree of an error, and its cause, to one line."""
    nested = re.findall(r"Given value: NestedArg\(key='([^']*)'", message)
    keys = list(dict.fromkeys(re.findall(r'Parser key "([^"]+)"', message) or re.findall(r"^--([\w.]+): ", message)))
    option = ".".join([keys[0], nested[-1]] if nested and keys else keys)
    lines = f"{message}\n{cause}"
    values = (
        found[-1].partition(". Got value: ")[0]
        for pattern in VALUES
        if (found := re.findall(pattern, lines, re.MULTILINE))
    )
    value = next(values, "").strip("'\"")
    if option.startswith("trainer.logger"):
        return f"--{option} {value}: {LOGGER_WAY_OUT}"
    distinct = dict.fromkeys(_reasons(message, option))
    if A_CLASS in distinct and "callbacks" in option:
        distinct.pop("expected list", None)
    reasons = _joined(list(distinct))
    if not reasons or not option:
        return reasons or " ".join(message.split())
    return f"--{option.rstrip('+')}{value and f' {value}'}: {reasons}".replace("\n", " ")


def _joined(reasons: Sequence[str]) -> str:
    """Join reasons; what is a number or a list may also be a tensor for torch, but no user means a class."""
    if missing := [reason for reason in reasons if reason.startswith("missing")]:
        return missing[0]
    if {"expected int", "expected float", "expected list"} & set(reasons):
        reasons = [reason for reason in reasons if reason != A_CLASS]
    return re.sub(r", or expected (?=int|float)", " or ", ", or ".join(reasons))


def _reasons(message: str, option: str) -> Iterator[str]:
    if missing := re.search(MISSING_FILE, message):
        yield no_such_file(Path(missing[1]))
        return
    for line in message.splitlines():
        matches = ((text, match[1]) for pattern, text in REASONS if (match := re.search(pattern, line)))
        for text, found in islice(matches, 1):
            name = re.sub(r"<class '([\w.]+)'>", r"\1", found).replace("typing.", "")
            is_missing = option and text.startswith("missing")
            name = re.sub(r"Literal\[(.*?)\]", lambda choice: choice[1].replace("'", ""), name)
            yield text.format(f"--{option}.{name}" if is_missing else TYPES.get(name, name))


def library_error(error: Exception, own: Path) -> str | None:
    """Explain an error that a library raised, and name the user's line that led there, if any; `own` is the project."""
    frames = [frame for frame in extract_tb(error.__traceback__) if not frame.filename.startswith("<frozen")]
    libraries = [Path(get_paths()[name]) for name in ("purelib", "platlib", "stdlib")]
    known = [*libraries, Path(__file__).parents[2], own / "loops", own / "__main__.py"]
    files = [Path(frame.filename) for frame in frames]
    if not _is_below(files[-1], libraries) or "Original Traceback" in str(error):  # of the user's code, in a worker
        return None
    where = f"{type(error).__name__} in {'/'.join(files[-1].parts[-3:])}:{frames[-1].lineno}"
    if users := [frame for frame, file in zip(frames, files, strict=True) if not _is_below(file, known)]:
        where = f"{type(error).__name__} from {short_path(Path(users[-1].filename))}:{users[-1].lineno}"
    way_out = f"change {'that line, or ' if users else ''}the options that it names; LAMPHOUSE_TRACEBACK=1 shows more"
    return f"{explain_training(error) or first_plain_message(error)} ({where}): {way_out}"


def _is_below(file: Path, folders: Iterable[Path]) -> bool:
    return any(file.is_relative_to(folder) for folder in folders)


def first_plain_message(error: BaseException) -> str:
    """Return the message of the first error of a chain that is not one of jsonargparse's trees, on one line."""
    return " ".join(str(plain_cause(error)).split())


def explain_training(error: Exception) -> str | None:
    """Name the option that an error within a run is about; None if that is not known."""
    message = " ".join(str(error).split())
    return next((f"{option}: {message}" for text, option in IN_TRAINING.items() if text in message), None)
