"""The plan: every file of the user's project, in memory."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from arc_light_scaffold.errors import TemplateError
from arc_light_scaffold.fences import strip_fences
from arc_light_scaffold.lock import prune_lock, requirements
from arc_light_scaffold.manifest import Answers, Manifest, derived
from arc_light_scaffold.tracked import tracked_files
from arc_light_scaffold.verify import verify

LICENCES = "arc_light_scaffold/licences"
PYPROJECT, LOCK = "pyproject.toml", "requirements.lock"


@dataclass(frozen=True)
class File:
    """A planned file."""

    content: bytes
    executable: bool


Content = str | bytes  # text that may change, or what is copied
Plan = dict[str, File]  # by path in the project, with slashes


def make_plan(root: Path, answers: Answers) -> Plan:
    """Plan the project that the answers ask for, from the repository at `root`.

    Raises:
        TemplateError: the manifest and the repository contradict each other.
    """
    manifest, answers = Manifest.read(root), derived(answers)
    left_out = manifest.left_out(answers)
    kept = [path for path in tracked_files(root) if manifest.parts(path) and not manifest.parts(path) & left_out]
    whole = {path: read(root, path, answers, manifest) for path in kept}
    pruned = {path: prune(path, content, left_out) for path, content in whole.items()}
    dropped = requirements(str(whole[PYPROJECT])) - requirements(str(pruned[PYPROJECT]))
    pruned[LOCK] = prune_lock(str(whole[LOCK]), dropped)
    manifest.check_edits(pruned, answers)
    files = {
        spell(path, manifest.spellings("", answers)): spelled(content, manifest.spellings(path, answers))
        for path, content in pruned.items()
    }
    verify(files, manifest, answers)
    return {path: File(content, path in manifest.data["executable"]) for path, content in files.items()}


def read(root: Path, path: str, answers: Answers, manifest: Manifest) -> Content:
    """Read a file with the line ends of Unix; the licence is the chosen one."""
    chosen = root / LICENCES / f"{answers['licence']}.txt"
    content = (chosen if path == "LICENSE" and chosen.is_file() else root / path).read_bytes()
    if b"\0" in content:
        return content
    content = content.replace(b"\r\n", b"\n")
    return content if manifest.is_unchanged(path) else content.decode("utf-8")


def prune(path: str, content: Content, left_out: set[str]) -> Content:
    """Remove the fenced lines of parts that are left out."""
    try:
        return content if isinstance(content, bytes) else strip_fences(content, left_out)
    except TemplateError as error:
        raise TemplateError(f"{path}: {error}") from error


def spelled(content: Content, spellings: Mapping[str, str]) -> bytes:
    """Spell the user's names in a text."""
    return content if isinstance(content, bytes) else spell(content, spellings).encode("utf-8")


def spell(text: str, spellings: Mapping[str, str]) -> str:
    """Replace all spellings in one pass, the longest first, so that nothing is replaced twice."""
    longest_first = sorted(spellings, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, longest_first)), lambda found: spellings[found[0]], text)
