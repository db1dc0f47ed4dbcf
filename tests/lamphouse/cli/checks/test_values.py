"""What values are read as."""

from collections.abc import Callable

import pytest
from jsonargparse import ArgumentParser

from lamphouse.cli.parser import integers_first


def float_first(limit: float | int | None = None) -> None:
    """Take a number of batches or a share of them."""


def text_too(limit: float | str | int = 1) -> None:
    """Take a text as well."""


@pytest.mark.parametrize("function", [float_first, text_too])
@pytest.mark.parametrize(("given", "expected"), [("1", 1), ("1.0", 1.0), ("0.5", 0.5)])
def test_an_integer_is_not_made_a_float(function: Callable[..., None], given: str, expected: float) -> None:
    integers_first(function)
    parser = ArgumentParser()
    parser.add_function_arguments(function)
    limit = parser.parse_args([f"--limit={given}"]).limit
    assert (type(limit), limit) == (type(expected), expected)
