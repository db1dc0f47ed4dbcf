"""MNIST."""

from pathlib import Path
from typing import Any, ClassVar

from torchvision import datasets

from lamphouse.data import ImageDataModule, Samples, ensure_downloaded


class MNISTDataModule(ImageDataModule):
    """70,000 handwritten digits of 28×28 gray pixels (LeCun et al. 1998, doi:10.1109/5.726791).

    Args:
        data_dir: where `MNIST/raw/` is, or is downloaded to.
        **kwargs: see `ImageDataModule`.

    Raises:
        InputError: a file is damaged, or missing and cannot be downloaded.
    """

    classes = tuple("0123456789")
    input_shape = (1, 28, 28)
    mean, std = (0.1307,), (0.3081,)
    md5: ClassVar = {  # of the unpacked files; torchvision has those of the archives
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    }

    def __init__(self, data_dir: Path | str = "data", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_dir = Path(data_dir)

    def prepare_data(self) -> None:
        """Verify the files, and download them if any is missing."""
        folder = self.data_dir / "MNIST" / "raw"
        ensure_downloaded(datasets.MNIST, self.data_dir, folder, self.md5)

    def load(self, train: bool) -> Samples:
        """Read the official split."""
        dataset = datasets.MNIST(self.data_dir, train)
        return Samples(dataset.data.unsqueeze(1), dataset.targets)
