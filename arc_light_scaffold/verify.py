"""The last look at a plan, before anything of it is written."""

import ast
from collections.abc import Iterator, Mapping
from functools import cache

import yaml

from arc_light_scaffold.errors import TemplateError
from arc_light_scaffold.manifest import Answers, Manifest
from arc_light_scaffold.python_source import Import, bound, imports, parsed


def verify(files: Mapping[str, bytes], manifest: Manifest, answers: Answers) -> None:
    """Look for what must not be in a project.

    Args:
        files: content by path.
        manifest: says which words give the template away.
        answers: words in them are the user's own.

    Raises:
        TemplateError: a file does not parse, imports what is not there, or tells of the template.
    """
    for path, content in files.items():
        if b"\0" in content:
            continue
        for problem in _problems(path, content.decode("utf-8"), files, manifest, answers):
            raise TemplateError(f"{path}: {problem}")


def _problems(path: str, text: str, files: Mapping[str, bytes], manifest: Manifest, answers: Answers) -> Iterator[str]:
    for word in manifest.traces(text, answers):
        yield f"{word!r} is left"
    try:
        if path.endswith(".py"):
            yield from (f"imports {name}, which is left out" for name in _missing(text, files, answers["package_name"]))
        elif path.endswith((".yaml", ".yml")):
            list(yaml.safe_load_all(text))
        elif path.endswith(".toml"):
            _parse_toml(text)
    except (SyntaxError, ValueError, yaml.YAMLError) as error:
        yield f"does not parse ({' '.join(str(error).split())})"


def _parse_toml(text: str) -> None:
    try:
        import tomllib  # noqa: PLC0415  # Python 3.10, which cookiecutter may run on, has none
    except ImportError:
        return
    tomllib.loads(text)


def _missing(text: str, files: Mapping[str, bytes], package: str) -> Iterator[str]:
    """Name what is imported from the project's own modules, helpers of the tests included, but is not there."""
    for node in imports(parsed(text)):
        modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
        for module in modules:
            path = _path_of(module, files)
            if path is None and module.split(".")[0] == package:
                yield module
            elif path and isinstance(node, ast.ImportFrom):
                there = _bound_in(files[path].decode("utf-8"))
                names = (alias.name for alias in node.names if _path_of(f"{module}.{alias.name}", files) is None)
                yield from (f"{module}.{name}" for name in names if name not in there)


def _path_of(module: str, files: Mapping[str, bytes]) -> str | None:
    path = module.replace(".", "/")
    places = (f"src/{path}.py", f"src/{path}/__init__.py", f"tests/{path}.py")
    return next((place for place in places if place in files), None)


@cache
def _bound_in(text: str) -> set[str]:
    """Collect the names that a module binds anywhere."""
    nodes = list(ast.walk(parsed(text)))
    names = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    names |= {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    return names | {name for node in nodes if isinstance(node, Import) for name in bound(node)}
