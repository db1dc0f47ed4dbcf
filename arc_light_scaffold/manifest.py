"""The manifest: which files a project gets, which of them an answer leaves out, and what is spelled anew."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import translate
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from arc_light_scaffold.errors import TemplateError

Answers = Mapping[str, str]


@dataclass(frozen=True)
class Manifest:
    """The content of `manifest.yaml`, which explains its sections."""

    data: Mapping[str, Any]

    @classmethod
    def read(cls, root: Path) -> "Manifest":
        """Read the manifest of the template at `root`."""
        return cls(yaml.safe_load((root / "arc_light_scaffold/manifest.yaml").read_text(encoding="utf-8")))

    def is_unchanged(self, path: str) -> bool:
        """Return whether every project gets this file byte for byte."""
        return matches(self.data["unchanged"], path)

    def parts(self, path: str) -> set[str]:
        """Return the parts that a file belongs to, all of which have to be kept; none for an unknown file."""
        if self.is_unchanged(path):
            return {"project"}
        parts = {"project": self.data["project"], **self.data["parts"]}
        return {part for part, patterns in parts.items() if matches(patterns, path)}

    def left_out(self, answers: Answers) -> set[str]:
        """Return the parts that the answers leave out, among them always the template's own."""
        return {part for rule in self.data["without"] if applies(rule, answers) for part in rule["parts"]}

    def spellings(self, path: str, answers: Answers) -> dict[str, str]:
        """Map what a file of this repository spells to what the project spells.

        Args:
            path: of the file in this repository.
            answers: with those that follow from them, see `derived`.
        """
        edits = {old: new for files, old, new in self._edits(answers) if matches(files, path)}
        return {old: new.format_map(answers) for old, new in (self.data["names"] | edits).items()}

    def check_edits(self, texts: Mapping[str, Any], answers: Answers) -> None:
        """Check that each edit finds what it replaces.

        Raises:
            TemplateError: it does not.
        """
        for files, old, _ in self._edits(answers):
            if not any(old in str(text) for path, text in texts.items() if matches(files, path)):
                raise TemplateError(f"{', '.join(files)}: {old!r} is not there to be replaced")

    def _edits(self, answers: Answers) -> Iterator[tuple[list[str], str, str]]:
        for rule in self.data["edits"]:
            if applies(rule, answers):
                yield from ((rule["files"], old, new) for old, new in rule["spell"].items())

    def traces(self, text: str, answers: Answers) -> list[str]:
        """Find names and words of the template, except for those in the user's own answers."""
        words = re.findall("|".join(self.data["traces"]), text, re.I)
        return [word for word in words if not any(word in answer for answer in answers.values())]


def applies(rule: Mapping[str, Any], answers: Answers) -> bool:
    """Return whether a rule is for these answers."""
    return all(answers[name] in values for name, values in rule.get("when", {}).items())


def matches(patterns: Iterable[str], path: str) -> bool:
    """Return whether one of the patterns matches the whole path."""
    return any(_compiled(pattern).match(path) for pattern in patterns)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern.replace("[", "[[]")))


def derived(answers: Answers) -> dict[str, str]:
    """Add to the answers what follows from them."""
    author, email = answers["author"], answers["email"]
    contact = f', email = "{email}"' if email else ""
    return {
        **{name: answer for name, answer in answers.items() if not name.startswith("_")},
        "spdx": "LicenseRef-Proprietary" if answers["licence"] == "proprietary" else answers["licence"],
        "template": answers.get("_template", "<path or URL of the template>"),
        "sentence": answers["description"].rstrip(".") + ".",
        "author_table": f'{{ name = "{author}"{contact} }}',
    }
