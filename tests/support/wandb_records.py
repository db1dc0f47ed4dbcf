"""Read what W&B recorded: protocol buffers in LevelDB's log format (github.com/google/leveldb, doc/log_format.md)."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

HEADER = 7  # bytes: W&B's own at the start of the file, and each chunk's checksum, length and type
BLOCK = 32_768  # bytes; no chunk goes beyond a block
LAST = {1, 4}  # types of chunks that end a record: whole, and last


def records(path: Path) -> Iterator[Any]:
    """Yield the records of a .wandb file up to its end, or to where it was cut off."""
    content, position, parts = path.read_bytes(), HEADER, b""
    while position + HEADER <= len(content):
        if BLOCK - position % BLOCK < HEADER:  # the rest of a block is padding
            position += BLOCK - position % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", content, position)
        position += HEADER
        if kind == 0 or position + length > len(content):
            return
        parts += content[position : position + length]
        position += length
        if kind in LAST:
            yield wandb_internal_pb2.Record.FromString(parts)
            parts = b""
