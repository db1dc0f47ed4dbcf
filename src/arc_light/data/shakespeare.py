"""Shakespeare's plays, as characters."""

import lzma
from importlib.resources import files
from string import ascii_letters

import torch
from torch import Tensor

from lamphouse.errors import InputError
from arc_light.data.text import WindowsOfText


class ShakespeareDataModule(WindowsOfText):
    """1,115,394 characters of Shakespeare's plays, of 65 kinds ("tiny Shakespeare", Karpathy 2015; public domain)."""

    classes = tuple(sorted("\n !$&',-.3:;?" + ascii_letters))
    num_classes = len(classes)

    def read(self) -> str:
        """Read the embedded file, whose checksum is verified."""
        return lzma.decompress(files(__package__).joinpath("shakespeare.txt.xz").read_bytes()).decode()

    def encode(self, text: str) -> Tensor:
        """Return the indices of characters, int64 [T]; raise an `InputError` if there is none, or another."""
        if not text or (unknown := sorted({*text} - {*self.classes})):
            problem = f"{unknown[0]!r} is not among the characters of the data" if text else "is empty"
            raise InputError(f"{text[:50]!r}: {problem}: use {''.join(self.classes).strip()}")
        indices = text.translate({ord(character): index for index, character in enumerate(self.classes)})
        return torch.frombuffer(bytearray(indices, "latin-1"), dtype=torch.uint8).long()

    def decode(self, indices: Tensor) -> str:
        """Return the text of indices, [T]."""
        return "".join(self.classes[index] for index in indices.tolist())
