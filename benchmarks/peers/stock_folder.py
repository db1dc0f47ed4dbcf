"""torchvision's ImageFolder as it is used: a process for each core reads images, batch by batch.

Usage: python stock_folder.py ROOT BATCH_SIZE [SIDE]. It prints, as JSON, seconds to the first batch and for the rest.
"""

import json
import os
import sys
from time import perf_counter

from torch.utils.data import DataLoader
from torchvision import datasets, transforms


def main(root: str, batch_size: int, *side: int) -> None:
    """Go through the images once, scaled to a side if one is given."""
    start = perf_counter()
    scaled = [transforms.Resize(side[0]), transforms.CenterCrop(side[0])] if side else []
    prepared = transforms.Compose([*scaled, transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.25] * 3)])
    dataset = datasets.ImageFolder(root, prepared)
    set_up = perf_counter()
    batches = iter(DataLoader(dataset, batch_size, shuffle=True, num_workers=os.cpu_count() or 1))
    next(batches)
    first = perf_counter()
    for _ in batches:
        pass
    print(json.dumps({"setup": set_up - start, "first batch": first - set_up, "epoch": perf_counter() - first}))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
