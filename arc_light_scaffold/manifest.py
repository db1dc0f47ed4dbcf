"""The manifest: which files belong to what, what an answer leaves out, and what is spelled anew."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import translate
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from arc_light_scaffold.errors import TemplateError

Answers = Mapping[str, str]


@dataclass(frozen=True)
class Manifest:
    """What `manifest.yaml` says; see there."""

    data: Mapping[str, Any]

    @classmethod
    def read(cls, root: Path) -> "Manifest":
        """Read the manifest of the template at `root`."""
        return cls(yaml.safe_load((root / "arc_light_scaffold/manifest.yaml").read_text(encoding="utf-8")))

    @cached_property
    def patterns(self) -> dict[str, re.Pattern[str]]:
        """Compile the patterns of every part; `project` is what every project has."""
        parts = {"project": self.data["project"], **self.data["parts"]}
        return {part: re.compile("|".join(map(_expression, patterns))) for part, patterns in parts.items()}

    def parts(self, path: str) -> set[str]:
        """Name the parts that a file belongs to: it is generated where all of them are kept; no part, unknown file."""
        return {part for part, pattern in self.patterns.items() if pattern.fullmatch(path)}

    def left_out(self, answers: Answers) -> set[str]:
        """Name the parts that the answers leave out, the template's own always among them."""
        return {part for rule in self.data["without"] if applies(rule, answers) for part in rule["parts"]}

    def words(self, left_out: set[str], path: str = "") -> re.Pattern[str] | None:
        """Compile the words by which a file mentions what is left out, or None where nothing with words is."""
        all_words = [self.data["words"], self.data["follow_words"] if self.follows(path) else {}]
        words = [word for by_part in all_words for part, word in by_part.items() if part in left_out]
        return re.compile("|".join(words), re.I) if words else None

    def follows(self, path: str) -> bool:
        """Tell whether definitions in a Python file go with what they mention."""
        return matches(self.data["follow"], path)

    def is_bare_test(self, path: str, text: str | bytes) -> bool:
        """Tell whether this is a file of tests of which none is left."""
        return matches(["tests/*test_*.py"], path) and "def test_" not in str(text)

    def stand_ins(self, path: str, answers: Answers) -> dict[str, str]:
        """Map what a file of the living project has to what stands in for it."""
        return self._spelled("stand_ins", path, answers)

    def spellings(self, path: str, answers: Answers) -> dict[str, str]:
        """Map what a file of the living project spells to what the user's file does.

        Args:
            path: of the file in the living project.
            answers: with those that follow from them, see `derived`.
        """
        spellings = {**self.data["names"], **self._spelled("edits", path, answers)}
        return {old: new.format_map(answers) for old, new in spellings.items()}

    def _spelled(self, section: str, path: str, answers: Answers) -> dict[str, str]:
        rules = [rule for rule in self.data[section] if applies(rule, answers) and matches(rule["files"], path)]
        return {old: new for rule in rules for old, new in rule["spell"].items()}

    def check(self, section: str, texts: Mapping[str, Any], answers: Answers) -> None:
        """Check that everything that a section replaces is there.

        Raises:
            TemplateError: it is not.
        """
        for rule in self.data[section]:
            found = [str(text) for path, text in texts.items() if matches(rule["files"], path)]
            for old in rule["spell"] if applies(rule, answers) else ():
                if not any(old in text for text in found):
                    raise TemplateError(f"{', '.join(rule['files'])}: {old!r} is not there to be replaced")

    def traces(self, text: str, answers: Answers) -> list[str]:
        """Find what tells of the template, but for words of the user's own."""
        words = re.findall("|".join(self.data["traces"]), text, re.I)
        return [word for word in words if not any(word in answer for answer in answers.values())]


def applies(rule: Mapping[str, Any], answers: Answers) -> bool:
    """Tell whether the answers are among those that a rule is for."""
    return all(answers[name] in values for name, values in rule.get("when", {}).items())


def matches(patterns: Iterable[str], path: str) -> bool:
    """Tell whether one of the patterns, in which `*` stands for any text, slashes included, is for the path."""
    return any(re.fullmatch(_expression(pattern), path) for pattern in patterns)


def _expression(pattern: str) -> str:
    return translate(pattern.replace("[", "[[]"))


def derived(answers: Answers) -> dict[str, str]:
    """Add to the answers what follows from them."""
    package, author, email = answers["package_name"], answers["author"], answers["email"]
    contact = f', email = "{email}"' if email else ""
    return {
        **{name: answer for name, answer in answers.items() if not name.startswith("_")},
        "class_name": "".join(word.capitalize() for word in package.split("_")),
        "constant_name": package.upper(),
        "spdx": "LicenseRef-Proprietary" if answers["licence"] == "proprietary" else answers["licence"],
        "sentence": answers["description"].rstrip(".") + ".",
        "author_table": f'{{ name = "{author}"{contact} }}',
    }
