"""The user's own images, one folder a class."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from jsonargparse.typing import OpenUnitInterval, PositiveInt
from torchvision.datasets.folder import IMG_EXTENSIONS, find_classes, make_dataset

from lamphouse.data.folder_cache import ImageCache
from lamphouse.data.images import ImageDataModule
from lamphouse.data.samples import Samples, stratified_split
from lamphouse.errors import InputError

LAYOUT = "it should hold one folder of images a class, or train/ (and val/, test/) with one folder a class each"


class ImageFolderDataModule(ImageDataModule):
    """Samples in `root/<class>/` or `root/{train,val,test}/<class>/`, scaled once and kept in memory as bytes.

    What has no folder of its own is put aside from the training images, class by class; the test images are the same
    for every seed.

    Args:
        root: the folder of folders.
        image_size: height and width that the images are scaled and cropped to, in pixels.
        channels: 3 for colour, 1 for grey.
        test_fraction: part of the images that is kept for the test where there is no `test` folder.
        cache_dir: where scaled images are kept for the next start, until their files change; null keeps none.
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
        self.input_shape = (channels, int(image_size), int(image_size))  # plain, to be written down

    @cached_property
    def classes(self) -> list[str]:  # type: ignore[override]  # found, where the others know theirs
        """Name the classes after the folders."""
        folder = self._training_folder
        try:
            classes, _ = find_classes(str(folder))
        except OSError as error:
            raise InputError(f"{folder}: no folder of images ({error.strerror or 'it is empty'}): {LAYOUT}") from error
        if len(classes) < 2:
            raise InputError(f"{folder}: a single class, {classes[0]!r}: {LAYOUT}, two at least")
        return list(classes)

    def prepare_data(self) -> None:
        """Check that every class has images, before anything is read."""
        for folder in (self._training_folder, self._own_folder("val"), self._own_folder("test")):
            if folder:
                self._files(folder)

    def load(self, train: bool) -> Samples:
        """Read the training or the test images."""
        own = self._own_folder("test")
        if own:
            return self._read("train" if train else "test", self._files(self._training_folder if train else own))
        files = self._files(self._training_folder)
        parts = stratified_split(torch.tensor([label for _, label in files]), self.test_fraction, seed=0)
        return self._read("train" if train else "test", [files[i] for i in parts[0 if train else 1]])

    def load_train_and_val(self) -> dict[str, Samples]:
        """Use the `val` folder where there is one, and measure the training images."""
        own = self._own_folder("val")
        parts = (
            {"train": self.load(train=True), "val": self._read("val", self._files(own))}
            if own
            else super().load_train_and_val()
        )
        self.mean, self.std = channel_statistics(parts["train"])
        return parts

    def state_dict(self) -> dict[str, Any]:
        """Return what was found in the images, for a checkpoint to be enough for predictions."""
        return {"classes": list(self.classes), "mean": list(self.mean), "std": list(self.std)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what the training run found."""
        self.classes, self.mean, self.std = state_dict["classes"], state_dict["mean"], state_dict["std"]

    @property
    def _training_folder(self) -> Path:
        return self._own_folder("train") or self.root

    def _own_folder(self, part: str) -> Path | None:
        split = any(path.is_dir() for path in (self.root / "train").glob("*"))
        return self.root / part if split and (self.root / part).is_dir() else None

    def _files(self, folder: Path) -> list[tuple[str, int]]:
        indices = {name: label for label, name in enumerate(self.classes)}
        try:
            unknown = set(find_classes(str(folder))[0]) - set(indices)
            if unknown:
                raise InputError(f"{folder / min(unknown)}: no such class in the training images: remove or rename it")
            return list(make_dataset(str(folder), indices, IMG_EXTENSIONS))
        except FileNotFoundError as error:
            raise InputError(f"{folder}: {str(error).splitlines()[0].rstrip('. ')}: {LAYOUT}") from error

    def _read(self, part: str, files: Sequence[tuple[str, int]]) -> Samples:
        cache = ImageCache(self.cache_dir, self.root, part, self.input_shape)
        images = cache.read([path for path, _ in files])
        return Samples(images, torch.tensor([label for _, label in files]))


def channel_statistics(part: Samples, chunk: int = 256) -> tuple[list[float], list[float]]:
    """Compute mean and standard deviation per channel of a part's images, with values 0..1."""
    count, (_, channels, height, width) = len(part), part.inputs.shape
    rows = torch.arange(count) if part.rows is None else part.rows
    sums = torch.zeros(2, channels, dtype=torch.float64)
    for some in rows.split(chunk):  # few stay in the processor's cache
        values = part.inputs[some].float()
        sums += torch.stack([values.sum((0, 2, 3)), values.square_().sum((0, 2, 3))])
    mean, square = sums / (count * height * width) / torch.tensor([[255], [255**2]])
    std = (square - mean.square()).clamp(min=1e-6).sqrt()
    return mean.tolist(), std.tolist()
