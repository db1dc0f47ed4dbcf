"""Print the script by which a shell completes commands, options and values."""

import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from lamphouse.cli.parser import CommandParser
from lamphouse.cli.project import Project
from lamphouse.errors import InputError

DEEPEST = 2  # classes within classes whose options are completed: an optimizer's among a model's
OF_FIT = re.compile("those of\\s+fit|--OPTION VALUE")  # in the help of commands that take an experiment's options
SCRIPT = """\
{start}{function}() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} words=""
  local every="{every}"
  if [ "$COMP_CWORD" = 1 ]; then words="{commands}"
  else case "$previous" in
{values}
    *) case "$current" in -*) case "${{COMP_WORDS[1]}}" in
{options}
    esac ;; esac ;;
  esac; fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F {function} {program}"""
ZSH = "autoload -U +X bashcompinit && bashcompinit\n"


def main(project: Project, args: Sequence[str]) -> None:
    """Print a script that completes commands, options and values; a shell evaluates it when it starts."""
    parser = CommandParser(project, "completion", main.__doc__, run=False)
    parser.add_argument("shell", choices=["bash", "zsh"], help="for which shell")
    shell = parser.parse_args(args).shell
    commands = import_module("lamphouse.cli.main").COMMANDS
    # jsonargparse has a script, too, in which every option of every class within every class takes 200 MB
    schema = json.loads(_printed(project, "fit", "--print_schema"))
    every: dict[str, set[str]] = {}
    for name, values in _options(schema, schema["$defs"]):
        every.setdefault(f"--{name}", set()).update(values)
    helps = {command: _printed(project, command, "--help") for command in commands if command != "completion"}
    own = {command: {"--help", *re.findall(r"(?<!\S)\[?(--[a-z][\w.]+)", text)} for command, text in helps.items()}
    options = {
        name: [*sorted(found), *(["$every"] if OF_FIT.search(helps[name]) else [])] for name, found in own.items()
    }
    scripts = entry_points(group="console_scripts", module=f"{project.package}.__main__")
    words = {
        "start": ZSH if shell == "zsh" else "",
        "function": f"_{project.package}",
        "program": next((script.name for script in scripts), project.package.replace("_", "-")),
        "commands": " ".join(commands),
        "every": " ".join(sorted(every)),
        "values": _cases({name: sorted(values) for name, values in sorted(every.items()) if values}),
        "options": _cases(options),
    }
    print(SCRIPT.format(**words))


def _cases(words: Mapping[str, Sequence[str]]) -> str:
    return "\n".join(f'    {name}) words="{" ".join(one)}" ;;' for name, one in words.items())


def _printed(project: Project, command: str, option: str) -> str:
    """Return what a command prints; nothing if the project lacks what it needs, such as a second loop."""
    text = io.StringIO()
    with redirect_stdout(text), redirect_stderr(io.StringIO()), suppress(SystemExit, InputError):
        import_module(f"lamphouse.cli.commands.{command}").main(project, [option])
    return text.getvalue()


def _options(
    tree: Mapping[str, Any], definitions: Mapping[str, Any], prefix: str = "", depth: int = 0
) -> Iterator[tuple[str, list[str]]]:
    """Yield the options of a schema, and the values that they are known to have."""
    for name, value in tree.get("properties", {}).items():
        choices = value.get("anyOf", []) + value.get("allOf", []) + [value]
        classes = [definitions[one["$ref"].rpartition("/")[2]] for one in choices if "$ref" in one]
        names = [one for spec in classes for one in spec.get("anyOf", [{}])[0].get("enum", [])]
        listed = [str(one) for choice in choices for one in choice.get("enum", [])]
        truths = ["true", "false"] if any(one.get("type") == "boolean" for one in choices) else []
        if "properties" not in value:
            yield f"{prefix}{name}", [*listed, *truths, *names]
        yield from _options(value, definitions, f"{prefix}{name}.", depth)
        for spec in classes if depth < DEEPEST else ():
            for case in spec.get("anyOf", [{}])[-1].get("allOf", []):
                inner = case["then"]["properties"]["init_args"]["$ref"].rpartition("/")[2]
                yield from _options(definitions[inner], definitions, f"{prefix}{name}.", depth + 1)
