"""A data module for the user's own images, one folder per class."""

import os
from collections.abc import Sequence
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

import torch
from jsonargparse.typing import OpenUnitInterval, PositiveInt
from torchvision.datasets.folder import IMG_EXTENSIONS, find_classes, make_dataset

from lamphouse.data.image_files import read_images
from lamphouse.data.images import ImageDataModule
from lamphouse.data.samples import Samples, stratified_split
from lamphouse.errors import InputError

LAYOUT = "expected one folder of images per class, or train/ (and val/, test/) with one folder per class each"


class ImageFolderDataModule(ImageDataModule):
    """Images in `root/<class>/` or `root/{train,val,test}/<class>/`, scaled once and kept in memory as bytes.

    Without `val` or `test` folders, those images are held out from the training images, class by class; the test
    images are the same for every seed.

    Args:
        root: the folder of folders.
        image_size: height and width to which images are scaled and cropped, in pixels.
        channels: 3 for color, 1 for grayscale.
        test_fraction: part of the images that is held out for the test if there is no `test` folder.
        cache_dir: where scaled images are kept until their files change; null keeps none.
        **kwargs: see `ImageDataModule`.

    Raises:
        InputError: a folder is missing or empty, there are fewer than two classes, or a file is not a readable image.
    """

    def __init__(
        self,
        root: Path | str,
        image_size: PositiveInt = 64,
        channels: Literal[1, 3] = 3,
        test_fraction: OpenUnitInterval = 0.1,
        cache_dir: Path | str | None = ".cache/images",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.root, self.test_fraction = Path(root), test_fraction
        self.cache_dir = Path(cache_dir) if cache_dir else None
        self.input_shape = (channels, int(image_size), int(image_size))  # plain integers, for YAML

    @cached_property
    def classes(self) -> list[str]:  # type: ignore[override]  # found, where other data sets know theirs
        folder = self._training_folder
        try:
            classes: list[str] = find_classes(str(folder))[0]
        except OSError as error:
            raise InputError(f"{folder}: no folder of images ({error.strerror or 'it is empty'}): {LAYOUT}") from error
        if len(classes) < 2:
            raise InputError(f"{folder}: a single class, {classes[0]!r}: {LAYOUT}, at least two")
        return classes

    def prepare_data(self) -> None:
        """Check that every class has images before any is read."""
        for folder in filter(None, (self._training_folder, self._own_folder("val"), self._own_folder("test"))):
            self._files(folder)

    def setup(self, stage: str) -> None:
        if not hasattr(self, "mean"):
            super().setup("fit")  # which measures the training images
        super().setup(stage)

    def load(self, train: bool) -> Samples:
        part, test_folder = "train" if train else "test", self._own_folder("test")
        files = self._files(self._training_folder if train or not test_folder else test_folder)
        if not test_folder:
            split = stratified_split(torch.tensor([label for _, label in files]), self.test_fraction, seed=0)
            files = [files[i] for i in split[0 if train else 1]]
        return self._read(part, files)

    def load_train_and_val(self) -> dict[str, Samples]:
        if folder := self._own_folder("val"):
            parts = {"train": self.load(train=True), "val": self._read("val", self._files(folder))}
        else:
            parts = super().load_train_and_val()
        self.mean, self.std = channel_statistics(parts["train"])
        return parts

    def state_dict(self) -> dict[str, Any]:
        """Return what was found in the images, so that a checkpoint is enough for predictions."""
        return {"classes": list(self.classes), "mean": list(self.mean), "std": list(self.std)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.classes, self.mean, self.std = state_dict["classes"], state_dict["mean"], state_dict["std"]

    @property
    def _training_folder(self) -> Path:
        return self._own_folder("train") or self.root

    def _own_folder(self, part: str) -> Path | None:
        split = any(path.is_dir() for path in (self.root / "train").glob("*"))
        return self.root / part if split and (self.root / part).is_dir() else None

    def _files(self, folder: Path) -> list[tuple[str, int]]:
        labels = {name: label for label, name in enumerate(self.classes)}
        try:
            if unknown := set(find_classes(str(folder))[0]) - set(labels):
                raise InputError(f"{folder / min(unknown)}: not a class of the training images: remove or rename it")
            return list(make_dataset(str(folder), labels, IMG_EXTENSIONS))
        except FileNotFoundError as error:
            raise InputError(f"{folder}: {str(error).splitlines()[0].rstrip('. ')}: {LAYOUT}") from error

    def _read(self, part: str, files: Sequence[tuple[str, int]]) -> Samples:
        name = blake2b(os.fsencode(f"{self.root.absolute()}\0{part}\0{self.input_shape}"), digest_size=16).hexdigest()
        cache = self.cache_dir / f"{name}.images" if self.cache_dir else None
        images = read_images([path for path, _ in files], self.input_shape, cache)
        return Samples(images, torch.tensor([label for _, label in files]))


def channel_statistics(part: Samples, chunk: int = 256) -> tuple[list[float], list[float]]:
    """Compute mean and standard deviation per channel of a part's images, for values 0..1."""
    sums = torch.zeros(2, part.inputs.shape[1], dtype=torch.float64)
    for indices in torch.arange(len(part)).split(chunk):  # few images stay in the processor's cache
        values = part[indices][0].float()
        sums += torch.stack([values.sum((0, 2, 3)), values.square_().sum((0, 2, 3))])
    pixels = len(part) * part.inputs[0, 0].numel()
    mean, square = sums / pixels / torch.tensor([[255], [255**2]])
    std = (square - mean.square()).clamp(min=1e-6).sqrt()
    return mean.tolist(), std.tolist()
