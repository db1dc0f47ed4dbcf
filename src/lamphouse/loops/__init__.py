"""Comparing training loops, and running hand-written ones."""

from typing import Literal

Loop = Literal["automatic", "manual", "handwritten"]
