"""CIFAR-10."""

from pathlib import Path
from typing import Any

import torch
from torchvision import datasets

from lamphouse.data import ImageDataModule, Samples, ensure_downloaded


class CIFAR10DataModule(ImageDataModule):
    """60,000 color photographs of 32×32 pixels in ten classes.

    A. Krizhevsky 2009, "Learning multiple layers of features from tiny images".

    Args:
        data_dir: where `cifar-10-batches-py/` is, or is downloaded to.
        **kwargs: see `ImageDataModule`.

    Raises:
        InputError: a file is damaged, or missing and cannot be downloaded.
    """

    classes = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    input_shape = (3, 32, 32)
    mean, std = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)

    def __init__(self, data_dir: Path | str = "data", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_dir = Path(data_dir)

    def prepare_data(self) -> None:
        """Verify the files, and download them if any is missing."""
        known = datasets.CIFAR10
        md5 = dict([*known.train_list, *known.test_list, (known.meta["filename"], known.meta["md5"])])
        folder = self.data_dir / datasets.CIFAR10.base_folder
        ensure_downloaded(datasets.CIFAR10, self.data_dir, folder, md5)

    def load(self, train: bool) -> Samples:
        """Read the official split."""
        dataset = datasets.CIFAR10(self.data_dir, train)
        return Samples(torch.from_numpy(dataset.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(dataset.targets))
