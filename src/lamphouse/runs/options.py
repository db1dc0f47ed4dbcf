"""The options of a run by their names on the command line, which YAML nests in the classes that they belong to."""

from collections.abc import Iterator, Mapping
from typing import Any

SPEC_KEYS = {"class_path", "init_args", "dict_kwargs"}  # which YAML has where the command line has none


def named_options(options: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the name and value of each option in nested mappings, such as "model.optimizer.lr"."""
    for key, value in options.items():
        option = prefix.rstrip(".") if key in SPEC_KEYS else f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from named_options(value, f"{option}.")
        elif value or key not in SPEC_KEYS:
            yield option, value
