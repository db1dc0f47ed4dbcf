"""Start-up, memory, and settings that are fast on the machine at hand. Importing this room does not import torch."""

from lamphouse.machine.start import run

__all__ = ["run"]
