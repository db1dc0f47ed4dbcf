"""An image file is read right or refused in one line that names it."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Outcome
from hypothesis import strategies as st
from PIL import Image
from tries import MARKER, assert_clear, assert_refused, damaged, tries

from lamphouse.data.image_files import read_image

Predict = Callable[[bytes], Outcome]

pytestmark = pytest.mark.slow
NAME = "image.png"
FORMATS = ["BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"]


@pytest.fixture
def predict(arc: Callable[..., Outcome], trained: Path) -> Predict:
    def run(content: bytes) -> Outcome:
        Path(NAME).write_bytes(content)
        return arc("predict", "--run", trained, "--input", NAME)

    return run


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def picture() -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    return Image.fromarray(values)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, content: bytes = b"", colour: int = 2, before: bytes = b"") -> bytes:
    """Write a PNG file that says to have this size, whatever it holds."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + before + chunk(b"IDAT", zlib.compress(content)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", FORMATS)
def test_a_damaged_image(predict: Predict, kind: str) -> None:
    tries(30, lambda content: assert_clear(predict(content), NAME), content=damaged(encoded(picture(), kind)))


def test_junk_with_a_beginning(predict: Predict) -> None:
    begins = st.sampled_from(
        [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a", b"II*\0", b"RIFF", b"BM", b"P6"]
    )

    def check(begin: bytes, rest: bytes) -> None:
        assert_refused(predict(begin + rest), NAME)

    tries(30, check, begin=begins, rest=st.binary(max_size=200))


BOMBS = {
    "100,000 pixels a side": png(100_000, 100_000),
    "12,000 pixels a side": png(12_000, 12_000),
    "a line of pixels": png(1, 100_000_000),
    "all that fits into 31 bits": png(2**31 - 1, 2**31 - 1),
    "no pixel": png(0, 0),
    "9,000 pixels a side, all there": png(9_000, 9_000, bytes(9_000 * 27_001)),
    "a comment of 100 MB": png(4, 4, bytes(52), before=chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(10**8)))),
    "a PPM of 100,000 pixels a side": b"P6 100000 100000 255\n" + bytes(99),
    "a program": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(" + MARKER.encode() + b") (w) file\n",
    "a web page": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
}


@pytest.mark.parametrize("content", BOMBS.values(), ids=BOMBS.keys())
def test_bombs(predict: Predict, content: bytes) -> None:
    assert_refused(predict(content), NAME)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK", "YCbCr", "I;16", "I;16B"])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_mode_gives_the_same_grey(mode: str, channels: int) -> None:
    """A white half and a black one stay so; 16 bits are not all taken for white."""
    grey = np.zeros((8, 8), np.uint8)
    grey[:, 4:] = 255
    image = Image.fromarray(grey)
    wide = Image.fromarray(grey.astype(np.uint16) * 257)
    (wide if mode.startswith("I;16") else image.convert(mode)).save("mode.tif")
    read = read_image("mode.tif", (channels, 8, 8))
    assert np.abs(read.astype(int) - grey).max() <= 2


@pytest.mark.parametrize("level", [0, 300, 0x7FFF, 0xFFFF])
def test_sixteen_bits_become_eight(level: int) -> None:
    Image.fromarray(np.full((8, 8), level, np.uint16)).save("grey.png")
    assert np.unique(read_image("grey.png", (1, 8, 8))).tolist() == [level >> 8]


@pytest.mark.parametrize("kind", ["GIF", "PNG", "TIFF", "WEBP"])
def test_the_first_of_several_frames_is_read(kind: str) -> None:
    first, second = (Image.new("RGB", (8, 8), colour) for colour in ((255, 0, 0), (0, 0, 255)))
    Path("moving").write_bytes(encoded(first, kind, save_all=True, append_images=[second]))
    assert read_image("moving", (3, 8, 8))[0].mean() > 250


def test_a_photograph_turned_upright_by_its_tag() -> None:
    tag = Image.Exif()
    tag[0x0112] = 3  # upside down
    image = Image.new("RGB", (8, 8), (255, 255, 255))
    image.paste((0, 0, 0), (0, 0, 8, 4))
    image.save("turned.png", exif=tag)
    read = read_image("turned.png", (1, 8, 8))
    assert read[0, 0].tolist() == [255] * 8
    assert read[0, -1].tolist() == [0] * 8
