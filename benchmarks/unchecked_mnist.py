"""MNIST with generated files."""

from arc_light.data.mnist import MNISTDataModule


class UncheckedMNIST(MNISTDataModule):
    """MNIST without checks of the files."""

    def prepare_data(self) -> None:
        """Skip the checksums."""
