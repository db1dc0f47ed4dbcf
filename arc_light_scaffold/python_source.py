"""What must change in a Python file beside names: imports of what is left out, and the width of imports."""

import ast
import re
from collections.abc import Iterator
from functools import cache

WIDTH = 120  # of a line, as in pyproject.toml
Import = ast.Import | ast.ImportFrom


def drop_imports(text: str, before: str, modules: set[str]) -> str:
    """Leave out imports from modules that are left out, and of what only pruned lines had used.

    Args:
        text: source of a Python file, pruned.
        before: the same before it was pruned.
        modules: dotted names, those of packages standing for all that is in them.
    """
    if text == before and not any(module in text for module in modules):
        return text
    used, used_before = names_in(parsed(text)), names_in(parsed(before))
    exported: set[str] = set()
    lines = text.splitlines(keepends=True)
    for node in imports(parsed(text)):
        from_there = isinstance(node, ast.ImportFrom) and _is_in(node.module, modules)
        gone = {name for name in bound(node) if from_there or (name in used_before and name not in used)}
        if gone:
            _drop(lines, node, gone)
            exported |= gone if from_there else set()
    pruned = _without_exports(_closed_up(lines), exported)
    return pruned if pruned == text else drop_imports(pruned, before, modules)


@cache
def parsed(text: str) -> ast.Module:
    """Parse a source, once."""
    return ast.parse(text)


@cache
def names_in(tree: ast.AST) -> frozenset[str]:
    """Collect the names that code uses, also in annotations that are text and in `__all__`."""
    nodes = list(ast.walk(tree))
    texts = [text for node in nodes for text in _texts_of_names(node)]
    return frozenset(node.id for node in nodes if isinstance(node, ast.Name)).union(
        *(re.findall(r"\w+", text) for text in texts)
    )


def imports(tree: ast.AST) -> Iterator[Import]:
    """Go through all imports, nested ones too."""
    yield from (node for node in ast.walk(tree) if isinstance(node, Import))


def _texts_of_names(node: ast.AST) -> Iterator[str]:
    exports = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    names = ["value"] if exports else ["annotation", "returns"]
    parts = [getattr(node, name, None) for name in names]
    for part in filter(None, parts):
        yield from (
            leaf.value for leaf in ast.walk(part) if isinstance(leaf, ast.Constant) and isinstance(leaf.value, str)
        )


def bound(node: Import) -> list[str]:
    """Name what an import binds."""
    return [(alias.asname or alias.name).split(".")[0] for alias in node.names]


def _is_in(module: str | None, modules: set[str]) -> bool:
    return any(module == other or (module or "").startswith(f"{other}.") for other in modules)


def _drop(lines: list[str], node: Import, gone: set[str]) -> None:
    """Blank out an import, or those of its names that are gone."""
    first, last = node.lineno - 1, node.end_lineno or node.lineno
    if gone == set(bound(node)):
        lines[first:last] = [""] * (last - first)
        return
    for alias, name in zip(node.names, bound(node), strict=True):
        if name in gone and last - first > 1:
            lines[alias.lineno - 1] = ""
    if last - first == 1:
        kept = [ast.unparse(alias) for alias, name in zip(node.names, bound(node), strict=True) if name not in gone]
        lines[first] = re.sub(r"(import ).*?(?=  #|\n)", rf"\g<1>{', '.join(kept)}", lines[first])


def _closed_up(lines: list[str]) -> str:
    """Join lines, of two empty ones with nothing but dropped imports between them only the second."""
    kept: list[str] = []
    for index, line in enumerate(lines):
        follows_gap = line == "\n" and index > 0 and lines[index - 1] == ""
        if follows_gap and kept and kept[-1] == "\n":
            continue
        kept += [line] if line else []
    return "".join(kept)


def _without_exports(text: str, names: set[str]) -> str:
    exports = re.search(r"^__all__ = \[.*?\]\n", text, re.M | re.S)
    if not exports:
        return text
    kept = exports[0]
    for name in names:
        kept = re.sub(rf'\n    "{name}",(?=\n)|"{name}", |, "{name}"(?=\])', "", kept)
    return text.replace(exports[0], kept)


def merge_names(text: str) -> str:
    """Sort the names of each import as ruff does, and leave out those that are there twice."""
    return re.sub(r"(?m)^( *from \S+ import )(\w+(?:, \w+)+)$", _merged, text)


def _merged(found: re.Match[str]) -> str:
    names = set(found[2].split(", "))
    return found[1] + ", ".join(sorted(names, key=lambda name: (name[0].islower(), not name.isupper(), name)))


def wrap_imports(text: str) -> str:
    """Break imports that a long name has made wider than a line, as ruff does."""
    return "".join(map(_wrapped, text.splitlines(keepends=True)))


def _wrapped(line: str) -> str:
    found = re.fullmatch(r"( *)(from \S+ import )(\w+(?:, \w+)*)\n", line)
    if not found or len(line) <= WIDTH + 1:
        return line
    indent, start, names = found.groups()
    return f"{indent}{start}(\n" + "".join(f"{indent}    {name},\n" for name in names.split(", ")) + f"{indent})\n"
