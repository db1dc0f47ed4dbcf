"""Pillow alone: a process for each core decodes files at full size, and does nothing with them.

Usage: python decoder.py ROOT. It prints, as JSON, the seconds that all files take.
"""

import json
import os
import sys
from multiprocessing import Pool
from pathlib import Path
from time import perf_counter

from PIL import Image


def decode(path: str) -> None:
    """Decode a file."""
    with Image.open(path) as image:
        image.load()


def main(root: str) -> None:
    """Decode all files, once the processes have started."""
    files = [str(path) for path in Path(root).rglob("*.jpg")]
    cores = os.cpu_count() or 1
    with Pool(cores) as pool:
        pool.map(decode, files[:cores], chunksize=1)
        start = perf_counter()
        pool.map(decode, files, chunksize=16)
        print(json.dumps({"epoch": perf_counter() - start}))


if __name__ == "__main__":
    main(sys.argv[1])
