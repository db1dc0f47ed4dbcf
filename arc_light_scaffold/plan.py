"""The plan: every file of the user's project, in memory."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from arc_light_scaffold.errors import TemplateError
from arc_light_scaffold.fences import strip_fences
from arc_light_scaffold.lock import prune_lock, requirements
from arc_light_scaffold.manifest import Answers, Manifest, derived
from arc_light_scaffold.mentions import drop_definitions, drop_entries, drop_rows
from arc_light_scaffold.python_source import drop_imports, merge_names, wrap_imports
from arc_light_scaffold.tracked import tracked_files
from arc_light_scaffold.verify import verify

LICENCES = "arc_light_scaffold/licences"
PYPROJECT, LOCK = "pyproject.toml", "requirements.lock"


@dataclass(frozen=True)
class File:
    """A planned file."""

    content: bytes
    executable: bool


Content = str | bytes  # text, or what is none
Plan = dict[str, File]  # by path in the project, with slashes


def make_plan(root: Path, answers: Answers) -> Plan:
    """Plan the project that the answers ask for from the living one at `root`.

    Raises:
        TemplateError: the manifest and the living project do not fit each other.
    """
    manifest, answers = Manifest.read(root), derived(answers)
    left_out, tracked = manifest.left_out(answers), tracked_files(root)
    kept = [path for path in tracked if manifest.parts(path) and not manifest.parts(path) & left_out]
    living = {path: read(root, path, answers) for path in kept}
    gone = {module_of(path) for path in {*tracked} - {*kept} if path.startswith("src/") and path.endswith(".py")}
    manifest.check("stand_ins", living, answers)
    changed = {path: stand_in(content, manifest.stand_ins(path, answers)) for path, content in living.items()}
    pruned = {path: prune(path, content, manifest, left_out, gone) for path, content in changed.items()}
    pruned = {path: text for path, text in pruned.items() if not manifest.is_bare_test(path, text)}
    dropped = requirements(str(living[PYPROJECT])) - requirements(str(pruned[PYPROJECT]))
    pruned[LOCK] = prune_lock(str(living[LOCK]), dropped)
    manifest.check("edits", pruned, answers)
    plan = {
        spell(path, manifest.spellings("", answers)): File(
            finished(path, content, manifest.spellings(path, answers)), path in manifest.data["executable"]
        )
        for path, content in pruned.items()
    }
    verify({path: file.content for path, file in plan.items()}, manifest, answers)
    return plan


def read(root: Path, path: str, answers: Answers) -> Content:
    """Read a file, as text with plain line ends or else as bytes; the licence is the one that was chosen."""
    chosen = root / LICENCES / f"{answers['licence']}.txt"
    content = (chosen if path == "LICENSE" and chosen.is_file() else root / path).read_bytes()
    return content if b"\0" in content else content.decode("utf-8").replace("\r\n", "\n")


def module_of(path: str) -> str:
    """Name the module in a file below `src/`."""
    return ".".join(PurePosixPath(path).with_suffix("").parts[1:]).removesuffix(".__init__")


def stand_in(content: Content, spellings: Mapping[str, str]) -> Content:
    """Put what stands in for it in the place of what will be left out."""
    if isinstance(content, bytes) or not any(old in content for old in spellings):
        return content
    return merge_names(spell(content, spellings))


def prune(path: str, content: Content, manifest: Manifest, left_out: set[str], modules: set[str]) -> Content:
    """Leave out of a file what belongs to parts and modules that are left out."""
    if isinstance(content, bytes):
        return content
    try:
        whole, text = strip_fences(content, set()), strip_fences(content, left_out)
    except TemplateError as error:
        raise TemplateError(f"{path}: {error}") from error
    words = manifest.words(left_out, path)
    if words and path.endswith(".md"):
        return drop_rows(text, words)
    if not path.endswith(".py"):
        return text
    if words:
        text = drop_entries(text, words)
        text = drop_definitions(text, words) if manifest.follows(path) else text
    return drop_imports(text, whole, modules)


def finished(path: str, content: Content, spellings: Mapping[str, str]) -> bytes:
    """Spell the user's names, and keep to the width of a line with them."""
    if isinstance(content, bytes):
        return content
    text = spell(content, spellings)
    return (wrap_imports(text) if path.endswith(".py") else text).encode("utf-8")


def spell(text: str, spellings: Mapping[str, str]) -> str:
    """Replace all spellings in one pass, the longest first, so that nothing is replaced twice."""
    longest_first = sorted(spellings, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, longest_first)), lambda found: spellings[found[0]], text)
