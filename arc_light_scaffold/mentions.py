"""Code that mentions what is left out: entries of tables and, in tests and benchmarks, whole definitions."""

import ast
import re
from collections.abc import Iterator, Sequence

from arc_light_scaffold.python_source import names_in, parsed

Words = re.Pattern[str]
Definition = ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign
Table = ast.List | ast.Tuple | ast.Dict | ast.Set


def drop_entries(text: str, words: Words) -> str:
    """Leave out entries that mention the words from the tables of assignments and decorators at the top level.

    Where an entry is a set, its own entries are looked at first. A table that would have no entry left stays as it is.
    """
    if not words.search(text):
        return text
    for tables_of in (_inner_sets, _tables):
        spans = [span for table in tables_of(parsed(text)) for span in _spans(text, table, words)]
        for start, end in sorted(spans, reverse=True):
            text = text[:start] + text[end:]
    return text


def drop_rows(text: str, words: Words) -> str:
    """Leave out rows that mention the words from the tables of a Markdown file."""
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if not (line.startswith("|") and words.search(line)))


def drop_definitions(text: str, words: Words) -> str:
    """Leave out definitions at the top level that mention the words, and in turn those that use what they define."""
    gone: set[str] = set()
    while gone or words.search(text):
        definitions = [node for node in parsed(text).body if isinstance(node, Definition)]
        found = [node for node in definitions if _mentions(text, node, words) or (gone and gone & _used(node))]
        if not found:
            break
        gone |= {name for node in found for name in _defined(node)}
        text = _without(text, found)
    return text


def _tables(module: ast.Module) -> Iterator[Table]:
    """Find the outermost tables."""
    for statement in module.body:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and isinstance(statement.value, Table):
            yield statement.value
        for decorator in getattr(statement, "decorator_list", ()):
            yield from (value for value in getattr(decorator, "args", ()) if isinstance(value, Table))


def _inner_sets(module: ast.Module) -> Iterator[ast.Set]:
    for table in _tables(module):
        entries = table.values if isinstance(table, ast.Dict) else table.elts
        yield from (entry for entry in entries if isinstance(entry, ast.Set))


def _spans(text: str, table: Table, words: Words) -> list[tuple[int, int]]:
    """Locate the entries that mention the words, each with the comma that goes with it."""
    if isinstance(table, ast.Dict):
        entries = [(key or value, value) for key, value in zip(table.keys, table.values, strict=True)]
    else:
        entries = [(value, value) for value in table.elts]
    ends = [(_offset(text, first.lineno, first.col_offset), _end(text, last)) for first, last in entries]
    gone = [bool(words.search(text[start:end])) for start, end in ends]
    if all(gone):
        return []
    kept = [index for index, is_gone in enumerate(gone) if not is_gone]
    before_last = [(start, ends[index + 1][0]) for index, (start, _) in enumerate(ends[: kept[-1]]) if gone[index]]
    return [*before_last, *([(ends[kept[-1]][1], ends[-1][1])] if gone[-1] else [])]


def _offset(text: str, line: int, column: int) -> int:
    """Convert a position of `ast`, which counts bytes, to one in the text."""
    lines = text.splitlines(keepends=True)
    return sum(map(len, lines[: line - 1])) + len(lines[line - 1].encode()[:column].decode())


def _end(text: str, node: ast.expr) -> int:
    return _offset(text, node.end_lineno or node.lineno, node.end_col_offset or 0)


def _mentions(text: str, node: Definition, words: Words) -> bool:
    nodes = (node, *getattr(node, "decorator_list", ()))
    first = min(part.lineno for part in nodes)
    return bool(words.search("\n".join(text.split("\n")[first - 1 : node.end_lineno])))


def _defined(node: Definition) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def _used(node: ast.stmt) -> frozenset[str]:
    """Name what a definition uses; fixtures are arguments, or texts in a decorator."""
    fixtures = {argument.arg for argument in ast.walk(node) if isinstance(argument, ast.arg)}
    leaves = [leaf for decorator in getattr(node, "decorator_list", ()) for leaf in ast.walk(decorator)]
    return names_in(node) | fixtures | {str(leaf.value) for leaf in leaves if isinstance(leaf, ast.Constant)}


def _without(text: str, nodes: Sequence[Definition]) -> str:
    """Cut out definitions with the comments above and the empty lines before them."""
    lines = text.splitlines(keepends=True)
    for node in reversed(nodes):
        first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", ()))]) - 1
        last = node.end_lineno or node.lineno
        while first and lines[first - 1].startswith("#"):
            first -= 1
        if last == len(lines) or not lines[last].strip():
            while first and not lines[first - 1].strip():
                first -= 1
        del lines[first:last]
    return "".join(lines)
