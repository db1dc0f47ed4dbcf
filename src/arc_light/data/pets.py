"""Oxford-IIIT Pet: cats and dogs, and which pixels are theirs."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np
import torch
from jsonargparse.typing import PositiveInt
from PIL import Image, ImageOps
from torch import Tensor
from torchvision import datasets

from lamphouse.data import ImageDataModule, Samples, ensure_downloaded
from lamphouse.errors import InputError


class OxfordPetsDataModule(ImageDataModule):
    """7,349 photographs of cats and dogs, whose pixels are labelled as pet, background or the border between them.

    O. Parkhi et al. 2012, "Cats and dogs", doi:10.1109/CVPR.2012.6248092. Images and labels are scaled to cover a
    square, and cropped at the center.

    Args:
        data_dir: where `oxford-iiit-pet/` is, or is downloaded to: 800 MB, and as much again unpacked.
        image_size: height and width of an image, in pixels.
        **kwargs: see `ImageDataModule`.

    Raises:
        InputError: a file is damaged, or missing and cannot be downloaded.
    """

    classes = ("pet", "background", "border")
    mean, std = (0.48, 0.45, 0.40), (0.26, 0.26, 0.27)
    md5: ClassVar = {  # of the archives, as torchvision has them
        "images.tar.gz": "5c4f3ee8e5d25df40f4fd59a7f44e54c",
        "annotations.tar.gz": "95a8c909bbe2e81eed6a22bccdf3f68f",
    }

    def __init__(self, data_dir: Path | str = "data", image_size: PositiveInt = 128, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_dir = Path(data_dir)
        self.input_shape = (3, int(image_size), int(image_size))  # plain integers, for YAML
        self.folder = self.data_dir / "oxford-iiit-pet"

    def prepare_data(self) -> None:
        """Unpack the archives unless that is done; download them first if one is missing, and verify them."""
        missing = [name for name in self.md5 if not (self.folder / name.removesuffix(".tar.gz")).is_dir()]
        if missing:
            ensure_downloaded(datasets.OxfordIIITPet, self.data_dir, self.folder, self.md5)
        for name in missing:
            with TemporaryDirectory(dir=self.folder) as scratch:  # what is there is complete
                datasets.utils.extract_archive(str(self.folder / name), scratch)
                unpacked = Path(scratch, name.removesuffix(".tar.gz"))
                with suppress(OSError):  # where another process was faster
                    unpacked.rename(self.folder / unpacked.name)

    def load(self, train: bool) -> Samples:
        """Read the official split."""
        path = self.folder / "annotations" / ("trainval.txt" if train else "test.txt")
        try:
            names = [line.split()[0] for line in path.read_text(encoding="utf-8").splitlines()]
        except (OSError, IndexError, ValueError) as error:
            raise InputError(
                f"{path}: not readable ({error}): delete {path.parent} to have it unpacked again"
            ) from error
        with ThreadPoolExecutor() as threads:
            images = [*threads.map(self.read, [self.folder / "images" / f"{name}.jpg" for name in names])]
            labels = [*threads.map(self.read_labels, [path.parent / "trimaps" / f"{name}.png" for name in names])]
        return Samples(torch.stack(images), torch.stack(labels))

    def read_labels(self, path: Path) -> Tensor:
        """Read the class of each pixel, uint8 [H, W], which the file counts from 1."""
        try:
            with Image.open(path) as trimap:
                fitted = ImageOps.fit(trimap, self.input_shape[:0:-1], Image.Resampling.NEAREST)
        except Exception as error:  # a damaged file makes Pillow raise almost anything
            raise InputError(f"{path}: not a readable image ({error}): delete its folder to unpack it again") from error
        return torch.from_numpy(np.array(fitted)) - 1
