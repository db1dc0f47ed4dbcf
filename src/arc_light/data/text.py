"""Texts: windows of them, and a text of one's own, as bytes."""

from abc import abstractmethod
from pathlib import Path
from typing import Any

import torch
from jsonargparse.typing import PositiveInt
from lightning.pytorch import LightningDataModule
from torch import Tensor

from lamphouse.data import Samples, TensorDataModule
from lamphouse.errors import InputError


class WindowsOfText(TensorDataModule):
    """Windows of a text, and as their targets windows one character further (abstract).

    A training window begins anywhere in the first part of the text, or at every `stride` characters. Validation covers
    the rest once, window after window. There is no test.

    Args:
        context: characters in a window.
        stride: characters from one training window to the next; `context` for shards of hardly twice the text's size.
        **kwargs: see `TensorDataModule`; `val_fraction` is cut off from the end of the text.
    """

    test_dataloader = LightningDataModule.test_dataloader  # none

    def __init__(self, context: PositiveInt = 64, stride: PositiveInt = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.input_shape, self.stride = (int(context),), int(stride)

    @abstractmethod
    def read(self) -> str:
        """Return the whole text."""

    @abstractmethod
    def encode(self, text: str) -> Tensor:
        """Return the indices of the characters of a text, int64 [T]; raise an `InputError` if that cannot be."""

    @abstractmethod
    def decode(self, indices: Tensor) -> str:
        """Return the text of indices, [T]."""

    def load(self, train: bool) -> Samples:
        """Cut windows out of the training or the other part."""
        return self.windows(self.encode(self.read()), train)

    def windows(self, text: Tensor, train: bool) -> Samples:
        """Cut windows out of a part of a text, [T]: views, which take no memory."""
        border, context = int(len(text) * (1 - self.val_fraction)), self.input_shape[0]
        part = text[:border] if train else text[border:]
        if len(part) <= context:
            raise InputError(f"--data.context {context}: a part of the text has {len(part):,} characters: give fewer")
        windows = part.unfold(0, context + 1, self.stride if train else context)  # [N, context + 1]
        return Samples(windows[:, :-1], windows[:, 1:])

    def load_train_and_val(self) -> dict[str, Samples]:
        """Load both parts."""
        if self.num_folds is not None:
            raise InputError(f"--data.num_folds {self.num_folds}: a text has no folds: use several seeds")
        text = self.encode(self.read())
        return {"train": self.windows(text, train=True), "val": self.windows(text, train=False)}


class TextDataModule(WindowsOfText):
    """A text file in UTF-8, in any language, as bytes, of which there are 256 kinds; a window counts bytes.

    Args:
        path: the file.
        **kwargs: see `WindowsOfText`.
    """

    num_classes = 256

    def __init__(self, path: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.path = path

    def read(self) -> str:
        """Read the file; raise an `InputError` if there is none, or no text in it."""
        try:
            if self.path and (text := Path(self.path).read_text(encoding="utf-8")):
                return text
            problem = "is empty" if self.path else "missing"
        except (OSError, UnicodeDecodeError) as error:
            problem = str(error)
        raise InputError(f"--data.path {self.path}: {problem}: name a text file in UTF-8")

    def encode(self, text: str) -> Tensor:
        """Return the bytes of a text, int64 [T]; raise an `InputError` if it is empty."""
        if not text:
            raise InputError("'': is empty: give a character to begin with")
        return torch.frombuffer(bytearray(text, "utf-8"), dtype=torch.uint8).long()

    def decode(self, indices: Tensor) -> str:
        """Return the text of bytes, [T]; a replacement character stands for what is no UTF-8."""
        return bytes(indices.tolist()).decode(errors="replace")
