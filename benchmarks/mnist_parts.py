"""MNIST with few training images, and with few of some classes."""

import torch

from lamphouse.data import Samples
from benchmarks.unchecked_mnist import UncheckedMNIST

RARE = 5  # classes from this one on
ONE_IN = 50  # of their images are kept


class SmallMNIST(UncheckedMNIST):
    """What `val_fraction` leaves to train on; tested on the same images, so that the test shows what was memorized."""

    def load(self, train: bool) -> Samples:
        """Read the official training split, or return the images to train on."""
        return super().load(train) if train else self.parts["train"]


class UnevenMNIST(UncheckedMNIST):
    """Few images of half of the classes to train on and to validate with; the test is the official one."""

    def load(self, train: bool) -> Samples:
        """Read a split, and thin it out if it is the one to train on."""
        samples = super().load(train)
        kept = (samples.targets < RARE) | (torch.arange(len(samples)) % ONE_IN == 0)
        return Samples(samples.inputs[kept], samples.targets[kept]) if train else samples
