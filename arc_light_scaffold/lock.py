"""Pruning of requirements.lock, for a project that needs fewer requirements."""

import re

ROOT = re.compile(r".* \(pyproject\.toml(?::\w+)?\)")  # how uv names the project in its annotations
REQUIREMENT = re.compile(r'"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?\s*[<>=!~][^"]*"')


def requirements(pyproject: str) -> set[str]:
    """Return the requirements of a pyproject.toml, in all groups."""
    return {re.sub(r"[-_.]+", "-", name).lower() for name in REQUIREMENT.findall(pyproject)}


def prune_lock(lock: str, dropped: set[str]) -> str:
    """Remove from a lock what only `dropped` requirements need.

    Args:
        lock: as `uv pip compile` writes it, with hashes and annotations.
        dropped: requirements that the project no longer has.
    """
    blocks = re.split(r"^(?=\S)", lock, flags=re.M)[1:]
    required_by = {block: _annotation(block, dropped) for block in blocks}
    kept: set[str] = set()
    found = {_name(block) for block in blocks if any(map(ROOT.fullmatch, required_by[block]))}
    while found:
        kept |= found
        found = {_name(block) for block in blocks if kept & set(required_by[block])} - kept
    return "".join(
        _annotated(block, [name for name in required_by[block] if name in kept or ROOT.fullmatch(name)])
        for block in blocks
        if _name(block) in kept
    )


def _name(block: str) -> str:
    return block.partition("==")[0].partition("[")[0]


def _annotation(block: str, dropped: set[str]) -> list[str]:
    names = re.findall(r"^    # (?:via|  ) ?(\S.*)$", block, re.M)
    return [name for name in names if not (ROOT.fullmatch(name) and _name(block) in dropped)]


def _annotated(block: str, names: list[str]) -> str:
    start = block.partition("    # via")[0]
    if len(names) == 1:
        return f"{start}    # via {names[0]}\n"
    return f"{start}    # via\n" + "".join(f"    #   {name}\n" for name in names)
