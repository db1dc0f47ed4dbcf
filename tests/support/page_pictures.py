"""Take the pictures of a page in docs/images: `python tests/support/page_pictures.py RUN`, after `make report`."""

import sys
from io import BytesIO
from pathlib import Path

from browser import Browser, browser
from PIL import Image

IMAGES = Path(__file__).parents[2] / "docs" / "images"
HEIGHT = 1400  # pixels that are seen at once
SCALE = 0.625
COLORS = 128  # of a picture, which keeps it small
TEST_SET = "[...document.querySelectorAll('h2')].find(e => e.innerText.startsWith('Test set')).scrollIntoView()"


def main(run: Path) -> None:
    """Show the page on a desk, in light and dark, and on a phone."""
    url = (run / "report.html").absolute().as_uri()
    with browser() as page:
        light, dark = seen(page, url, 1280, "light"), seen(page, url, 1280, "dark", TEST_SET)
        both = Image.new("RGB", (light.width + dark.width, light.height))
        both.paste(light)
        both.paste(dark, (light.width, 0))
        save(both, "page.png")
        save(seen(page, url, 390, "dark", TEST_SET), "page_phone.png")


def seen(page: Browser, url: str, width: int, scheme: str, script: str = "") -> Image.Image:
    """Open the page, and return what is seen, without scroll bars, after a script."""
    page.emulate(width, scheme, HEIGHT)
    page.open(url)
    page.run(f"document.documentElement.style.scrollbarWidth = 'none'; {script}")
    return Image.open(BytesIO(page.screenshot())).convert("RGB")


def save(image: Image.Image, name: str) -> None:
    """Write a picture, reduced."""
    size = round(image.width * SCALE), round(image.height * SCALE)
    image.resize(size, Image.Resampling.LANCZOS).quantize(COLORS, Image.Quantize.FASTOCTREE).save(IMAGES / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
