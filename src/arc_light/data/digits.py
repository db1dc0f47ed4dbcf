"""Handwritten digits that come with the package."""

from importlib.resources import files

import numpy as np
import torch

from lamphouse.data import ImageDataModule, Samples


class DigitsDataModule(ImageDataModule):
    """1,797 handwritten digits of 8×8 pixels with 17 gray levels, for a start without a download.

    The test set of "Optical Recognition of Handwritten Digits" (E. Alpaydin & C. Kaynak 1998, UCI Machine Learning
    Repository, doi:10.24432/C50P49, CC BY 4.0). A fifth of each class is held out here for the test, the same for
    every seed.
    """

    classes = tuple("0123456789")
    input_shape = (1, 8, 8)
    mean, std = (0.305,), (0.376,)

    def load(self, train: bool) -> Samples:
        """Read the embedded file."""
        with files(__package__).joinpath("digits.npz").open("rb") as file, np.load(file) as arrays:
            levels, labels = torch.from_numpy(arrays["images"]), torch.from_numpy(arrays["labels"]).long()
        images = (levels.float() * (255 / 16)).round().byte().unsqueeze(1)
        return Samples(images, labels).split(0.2, seed=0)[0 if train else 1]
