"""Write the embedded digits as image files, to try a folder of images with."""

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torchvision.transforms.functional import to_pil_image

from arc_light.data.digits import DigitsDataModule


def write_digits(folder: str) -> None:
    """Write `folder/{train,test}/<class>/<number>.png`; the folder appears when it is complete."""
    root = Path(folder)
    root.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=root.parent) as scratch:
        for part in ("train", "test"):
            digits = DigitsDataModule().load(part == "train")
            images, labels = digits[torch.arange(len(digits))]
            for number, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
                path = Path(scratch, root.name, part, DigitsDataModule.classes[label], f"{number:04}.png")
                path.parent.mkdir(parents=True, exist_ok=True)
                to_pil_image(image).save(path)
        Path(scratch, root.name).rename(root)
