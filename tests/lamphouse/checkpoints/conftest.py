"""Processes that tests kill."""

from collections.abc import Iterator
from typing import Any

import pytest
from killed import processes


@pytest.fixture(scope="package")
def context() -> Iterator[Any]:
    """Start processes quickly."""
    with processes() as started:
        yield started
