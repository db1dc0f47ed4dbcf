"""Three training loops that compute the same bits: Lightning's two, and one in plain PyTorch."""

from typing import Literal

Loop = Literal["automatic", "manual", "handwritten"]
