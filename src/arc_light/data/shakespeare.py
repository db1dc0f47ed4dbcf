"""Shakespeare's plays, as characters."""

import lzma
from importlib.resources import files
from string import ascii_letters
from typing import Any

import torch
from jsonargparse.typing import PositiveInt
from lightning.pytorch import LightningDataModule
from torch import Tensor

from lamphouse.data import Samples, TensorDataModule
from lamphouse.errors import InputError


class ShakespeareDataModule(TensorDataModule):
    """1,115,394 characters of Shakespeare's plays, of 65 kinds ("tiny Shakespeare", A. Karpathy 2015; public domain).

    Samples are windows of the text; their targets are windows one character further. A training window begins
    anywhere in the first part of the text. Validation covers the rest once, window after window. There is no test.

    Args:
        context: characters in a window.
        **kwargs: see `TensorDataModule`; `val_fraction` is cut off from the end of the text.
    """

    classes = tuple(sorted("\n !$&',-.3:;?" + ascii_letters))
    num_classes = len(classes)
    test_dataloader = LightningDataModule.test_dataloader  # none

    def __init__(self, context: PositiveInt = 64, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.input_shape = (int(context),)

    def load(self, train: bool) -> Samples:
        """Read the embedded file, whose checksum is verified, and cut windows out of the training or the other part."""
        text = self.encode(lzma.decompress(files(__package__).joinpath("shakespeare.txt.xz").read_bytes()).decode())
        border = int(len(text) * (1 - self.val_fraction))
        part, context = text[:border] if train else text[border:], self.input_shape[0]
        if len(part) <= context:
            raise InputError(f"--data.context {context}: a part of the text has {len(part):,} characters: give fewer")
        windows = part.unfold(0, context + 1, 1 if train else context)  # views, [N, context + 1]
        return Samples(windows[:, :-1], windows[:, 1:])

    def load_train_and_val(self) -> dict[str, Samples]:
        """Load both parts."""
        if self.num_folds is not None:
            raise InputError(f"--data.num_folds {self.num_folds}: a text has no folds: use several seeds")
        return {"train": self.load(train=True), "val": self.load(train=False)}

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
