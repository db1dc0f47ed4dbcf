"""The makers of tiny data, under one name."""

from tiny_data import images_of, labels_of, md5
from tiny_data.cifar10 import expect_cifar10, write_cifar10
from tiny_data.image_folder import write_folder, write_image
from tiny_data.mnist import expect_mnist, write_idx, write_mnist

__all__ = [
    "expect_cifar10",
    "expect_mnist",
    "images_of",
    "labels_of",
    "md5",
    "write_cifar10",
    "write_folder",
    "write_idx",
    "write_image",
    "write_mnist",
]
