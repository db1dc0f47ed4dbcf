"""Read what W&B recorded offline: protocol buffers in LevelDB's log format."""

import struct
from collections.abc import Iterator
from pathlib import Path

from wandb.proto.wandb_internal_pb2 import Record

HEADER = 7  # bytes: W&B's own at the start of the file, and each chunk's checksum, length and type
BLOCK = 32_768  # bytes; no chunk goes beyond a block
LAST = {1, 4}  # types of chunks that end a record: whole, and last


def records(path: Path) -> Iterator[Record]:
    """Yield the records of a .wandb file."""
    content, position, parts = path.read_bytes(), HEADER, b""
    assert content.startswith(b":W&B")
    while position + HEADER <= len(content):
        if BLOCK - position % BLOCK < HEADER:  # the rest of a block is padding
            position += BLOCK - position % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", content, position)
        parts += content[position + HEADER : position + HEADER + length]
        position += HEADER + length
        if kind in LAST:
            yield Record.FromString(parts)
            parts = b""
