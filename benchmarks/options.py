"""Options of the benchmarks."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.rates import Rates, measure_rates


@dataclass(frozen=True)
class Options:
    """Which benchmarks run, and how thoroughly.

    Args:
        names: of the benchmarks.
        repeats: runs of each; the median counts. A quick run has one.
        largest: largest multiple of MNIST's size, and of 1,000 files.
        quick: tiny sizes, to check that everything runs.
        picture: file of an image for a figure.

    Raises:
        ValueError: a number is less than 1.
    """

    names: Sequence[str]
    repeats: int = 5
    largest: int = 100
    quick: bool = False
    picture: Path | None = None

    def __post_init__(self) -> None:
        """Validate the numbers."""
        for name in ("repeats", "largest"):
            if getattr(self, name) < 1:
                raise ValueError(f"argument --{name}: {getattr(self, name)}: expected a value >=1")
        if self.quick:
            object.__setattr__(self, "repeats", 1)

    @cached_property
    def rates(self) -> Rates:
        """Measure the machine's limits, once."""
        return measure_rates(self.quick)

    @property
    def factors(self) -> list[int]:
        """Return the multiples 1, 10, ..., up to the largest."""
        return [1] if self.quick else [10**i for i in range(len(str(self.largest)))]
