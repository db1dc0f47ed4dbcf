"""A last check of a plan before anything of it is written."""

import ast
from collections.abc import Iterator, Mapping

import yaml

from arc_light_scaffold.errors import TemplateError
from arc_light_scaffold.manifest import Answers, Manifest


def verify(files: Mapping[str, bytes], manifest: Manifest, answers: Answers) -> None:
    """Check that in what was changed nothing is broken, and that nothing of the template is left.

    Args:
        files: content by path.
        manifest: lists the words that only the template uses.
        answers: words in them are the user's own.

    Raises:
        TemplateError: a file does not parse, imports a module that is left out, or names the template.
    """
    for path, content in files.items():
        if b"\0" not in content and not manifest.is_unchanged(path):
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
    except (SyntaxError, yaml.YAMLError) as error:
        yield f"does not parse ({' '.join(str(error).split())})"


def _missing(text: str, files: Mapping[str, bytes], package: str) -> Iterator[str]:
    """Find imports of modules of the project that are not planned."""
    for node in ast.walk(ast.parse(text)):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for module in modules:
            path = f"src/{module.replace('.', '/')}"
            if module.split(".")[0] == package and not {f"{path}.py", f"{path}/__init__.py"} & files.keys():
                yield module
