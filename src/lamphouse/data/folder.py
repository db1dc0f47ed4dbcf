"""A data module for the user's own images, one folder per class."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from hashlib import blake2b
from itertools import islice
from math import prod
from pathlib import Path
from typing import Any, Literal

import torch
from jsonargparse.typing import OpenUnitInterval, PositiveInt

from lamphouse.data.image_files import (
    FoundImages,
    ImageFiles,
    find_images,
    kind_of,
    read_images,
    refuse_unreadable,
    sorted_entries,
)
from lamphouse.data.images import ImageDataModule
from lamphouse.data.samples import Samples, stratified_split
from lamphouse.errors import InputError
from lamphouse.files import printable
from lamphouse.shards import Readable, StreamedSamples

LAYOUT = "expected one folder of images per class, or train/ (and val/, test/) with one folder per class each"
PARTS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
OUTSIDE = {"image": "images outside the folders of classes", "folder": "other folders"}
TITLES = {"train": "training", "val": "validation", "test": "test"}
MOST_NAMES = 20  # in a line


class ImageFolderDataModule(ImageDataModule):
    """Images in `root/<class>/` or `root/{train,val,test}/<class>/`, scaled once and kept in memory as bytes.

    `training`, `valid` and `validation` are names of these folders, too, in any case. Images in folders below those of
    the classes are taken, and hidden files are not. Of an animation, the first frame is read.

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
    def folders(self) -> dict[str, Path]:
        """The folders of the parts: the root alone is "train" unless it has a folder of that name."""
        if self.shards:  # whose state has the classes
            return {part: self.shards / part for part in self.stream.parts}
        if not self.root.is_dir():
            raise InputError(f"--data.root {self.root}: no folder of images: {LAYOUT}")
        found: dict[str, list[Path]] = {}
        inside = class_folders(self.root)
        for name in inside:
            found.setdefault(PARTS.get(name.lower(), ""), []).append(self.root / name)
        split = any(class_folders(path) for path in found.get("train", []))
        if not split and len(inside) > 1 and "" not in found:
            raise InputError(f"{self.root}: {' and '.join(inside)} have no folders of classes: {LAYOUT}")
        if not split:
            return {"train": self.root}
        for part, (_, *others) in found.items():
            if part and others:
                raise InputError(f"{others[0]}: a second folder of {part} images: merge it with {found[part][0]}")
        return {part: found[part][0] for part in TITLES if part in found}

    @cached_property
    def classes(self) -> list[str]:  # type: ignore[override]  # found, where other data sets know theirs
        folder = self.folders["train"]
        classes = class_folders(folder)
        if not classes:
            raise InputError(f"{folder}: no folder of images (it is empty): {LAYOUT}")
        if len(classes) < 2:
            raise InputError(f"{folder}: a single class, {classes[0]!r}: {LAYOUT}, at least two")
        return classes

    @cached_property
    def found(self) -> dict[str, dict[str, FoundImages]]:
        """The image files of each class of each part that has a folder."""
        for folder in self.folders.values():
            if unknown := set(class_folders(folder)) - set(self.classes):
                raise InputError(f"{folder / min(unknown)}: not a class of the training images: remove or rename it")
        found = {part: {name: find_images(path / name) for name in self.classes} for part, path in self.folders.items()}
        for part, by_class in found.items():
            if empty := [name for name, images in by_class.items() if not images.files]:
                raise InputError(f"{self.folders[part]}: no images of {', '.join(empty)}: {LAYOUT}")
        return found

    def prepare_data(self) -> None:
        """Check that every class has images before any is read."""
        self.found  # noqa: B018  # raises

    def load_parts(self, stage: str) -> None:
        if not hasattr(self, "mean"):
            super().load_parts("fit")  # which measures the training images
        super().load_parts(stage)

    def load(self, train: bool) -> Samples:
        return self._read("train" if train else "test", self._split_files(train))

    def load_train_and_val(self) -> dict[str, Samples]:
        if self._has_val():
            parts = {"train": self.load(train=True), "val": self._read("val", self._files("val"))}
        else:
            parts = super().load_train_and_val()
        self.examine(parts["train"])
        return parts

    def examine(self, samples: Samples | StreamedSamples) -> None:
        mean, std = channel_statistics(samples)
        self.mean, self.std = getattr(self, "mean", mean), getattr(self, "std", std)

    def parts_to_write(self) -> dict[str, Readable]:
        train, test = (self._split_files(train) for train in (True, False))
        if self._has_val():
            parts = {"train": train, "val": self._files("val"), "test": test}
        else:
            rows = self.hold_out(Samples(torch.arange(len(train)), torch.tensor([label for _, label in train])))
            held_out = {part: [train[i] for i in of[:][0].tolist()] for part, of in rows.items()}
            parts = {**held_out, "test": test}
        return {part: ImageFiles(files, self.input_shape) for part, files in parts.items()}

    def describe(self) -> list[str]:
        if self.shards:
            return super().describe()
        lines = [*found_images(self.folders, self.found), *notes(self.folders, self.found, self.root)]
        return [printable(line) for line in lines]

    def state_dict(self) -> dict[str, Any]:
        """Return what was found in the images, so that a checkpoint is enough for predictions."""
        return {"classes": list(self.classes), "mean": list(self.mean), "std": list(self.std)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.classes, self.mean, self.std = state_dict["classes"], state_dict["mean"], state_dict["std"]

    def _has_val(self) -> bool:
        if "val" in self.folders and self.num_folds:
            way_out = "merge the folder with the training images, or leave num_folds out"
            raise InputError(f"--data.num_folds {self.num_folds}: {self.folders['val']} is for validation: {way_out}")
        return "val" in self.folders

    def _split_files(self, train: bool) -> list[tuple[str, int]]:
        part = "train" if train else "test"
        files = self._files(part if part in self.folders else "train")
        if "test" in self.folders:
            return files
        split = stratified_split(torch.tensor([label for _, label in files]), self.test_fraction, seed=0)
        return [files[i] for i in split[0 if train else 1].tolist()]

    def _files(self, part: str) -> list[tuple[str, int]]:
        return [(file, i) for i, name in enumerate(self.classes) for file in self.found[part][name].files]

    def _read(self, part: str, files: Sequence[tuple[str, int]]) -> Samples:
        name = blake2b(os.fsencode(f"{self.root.absolute()}\0{part}\0{self.input_shape}"), digest_size=16).hexdigest()
        cache = self.cache_dir / f"{name}.images" if self.cache_dir else None
        try:
            images = read_images([path for path, _ in files], self.input_shape, cache)
        except InputError:
            every = [path for part in self.folders for path, _ in self._files(part)]
            refuse_unreadable(every, self.input_shape)  # all of them at once
            raise
        return Samples(images, torch.tensor([label for _, label in files]))


def class_folders(folder: Path) -> list[str]:
    """List the folders in a folder that are not hidden."""
    return [entry.name for entry in sorted_entries(folder) if kind_of(entry) == "folder"]


def found_images(folders: Mapping[str, Path], found: Mapping[str, Mapping[str, FoundImages]]) -> Iterator[str]:
    """Count the images of each folder and class."""
    for part, by_class in found.items():
        counts = {name: len(images.files) for name, images in by_class.items()}
        nested = sum(images.nested for images in by_class.values())
        below = f", {nested:,} of them in folders within" if nested else ""
        yield f"{folders[part]}: {sum(counts.values()):,} images{below}; classes: {listed(counts)}"


def notes(folders: Mapping[str, Path], found: Mapping[str, Mapping[str, FoundImages]], root: Path) -> Iterator[str]:
    """Say what was skipped, and which classes have too few images for every part."""
    taken, skipped = {*folders.values()}, Counter[str]()
    for part, by_class in found.items():
        taken |= {folders[part] / name for name in by_class}
        skipped.update(sum((images.skipped for images in by_class.values()), Counter()))
    for folder in {root, *folders.values()}:
        skipped.update(kind_of(entry) for entry in sorted_entries(folder) if Path(entry.path) not in taken)
    if skipped:
        yield f"{root}: skipped: {listed({OUTSIDE.get(kind, kind): n for kind, n in sorted(skipped.items())})}"
    parts = [title for part, title in TITLES.items() if part == "train" or part not in folders]
    if few := {name: len(i.files) for name, i in found["train"].items() if len(i.files) < len(parts)}:
        yield f"{root}: too few images to be in each of {', '.join(parts)}: {listed(few)}"


def listed(counts: Mapping[str, int]) -> str:
    """List counts by name, the first of many."""
    some = ", ".join(f"{name} {count:,}" for name, count in islice(counts.items(), MOST_NAMES))
    return some + (f", and {len(counts) - MOST_NAMES:,} more" if len(counts) > MOST_NAMES else "")


def channel_statistics(part: Samples | StreamedSamples, chunk: int = 256) -> tuple[list[float], list[float]]:
    """Compute mean and standard deviation per channel of a part's images, for values 0..1."""
    sums = torch.zeros(2, part.inputs.shape[1], dtype=torch.float64)
    for indices in torch.arange(len(part)).split(chunk):  # few images stay in the processor's cache
        values = part[indices][0].float()
        sums += torch.stack([values.sum((0, 2, 3)), values.square_().sum((0, 2, 3))])
    pixels = len(part) * prod(part.inputs.shape[2:])
    mean, square = sums / pixels / torch.tensor([[255], [255**2]])
    std = (square - mean.square()).clamp(min=1e-6).sqrt()
    return mean.tolist(), std.tolist()
